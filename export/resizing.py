"""Resizing inside a file: the two products of `dlkd.data.pictures.resize`, with matrices made of the sizes."""

from __future__ import annotations

import torch
from torch import Tensor


def resize_matrix(source: int, target: int) -> Tensor:
    """The matrix (target, source) of `resize_weights`, in operators that a graph repeats for any `source`: float32.

    With the centre (2i + 1) s / 2t of pixel i in source pixels, all weights of a row have the common factor
    1 / (2t max(s / t, 1)), and what is left of them are whole numbers: max(0, 2 max(s, t) - |(2j + 1) t - (2i + 1) s|).
    So every weight is the quotient of two whole numbers, which float32 holds up to 2^24: rounded once, the same in
    every runtime.
    """
    i, j = torch.arange(target).unsqueeze(1), torch.arange(source)
    size = (j + 1).amax(dim=0)  # a tensor: Python's max of two sizes would fix which is the larger one
    far = ((2 * j + 1) * target - (2 * i + 1) * size).abs()
    shares = (2 * size.clamp(min=target) - far).clamp(min=0).to(torch.float32)
    return shares / shares.sum(dim=1, keepdim=True)


def resized(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Pictures (b, h, w, 3) of grey levels 0 to 255, of any size, as images (b, 3, height, width) in the same unit.

    As `dlkd.data.pictures.resize.resize`, vertically first, in float32 and without rounding.
    """
    b, h, w, channels = pictures.shape
    height, width = size
    down = resize_matrix(h, height) @ pictures.to(torch.float32).flatten(2)
    across = down.reshape(b, height, w, channels).permute(0, 3, 1, 2)
    return across @ resize_matrix(w, width).T
