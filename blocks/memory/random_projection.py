"""Random linear maps to fewer dimensions, which keep distances nearly as they are."""

from __future__ import annotations

import math
from typing import Literal, TypeAlias

import torch
from torch import Tensor

Projection: TypeAlias = Literal["uniform", "sparse", "none"]
"""Entries of the map: uniform, as an untrained linear layer of PyTorch has them; mostly zero, as in very sparse random
projections (Li, Hastie and Church, KDD 2006); or no map at all."""


def random_projection(channels: int, width: int, kind: Projection) -> Tensor | None:
    """A map (width, channels) from PyTorch's own generator; None for the kind "none".

    "uniform" is in ±1/√channels. An entry of "sparse" is ±√(√channels / width), each sign with the probability
    1 / (2 √channels), and 0 otherwise.

    >>> random_projection(16, 4, "sparse").shape
    torch.Size([4, 16])
    """
    if kind == "none":
        return None
    drawn = 2 * torch.rand(width, channels) - 1
    if kind == "uniform":
        return drawn / math.sqrt(channels)
    root = math.sqrt(channels)
    return drawn.sign() * (drawn.abs() < 1 / root) * math.sqrt(root / width)


def safe_width(points: int, distortion: float = 0.9) -> int:
    """Dimensions that keep all distances of so many points within a factor 1 ± `distortion`, by the lemma of Johnson
    and Lindenstrauss (Dasgupta and Gupta, 2003): 4 ln n / (ε²/2 - ε³/3), cut.

    >>> safe_width(163_856)
    296
    """
    return int(4 * math.log(points) / (distortion**2 / 2 - distortion**3 / 3))
