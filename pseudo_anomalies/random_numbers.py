"""Random numbers of pseudo-anomalies: few, drawn on the CPU, so that they do not depend on the images' device."""

from __future__ import annotations

import torch
from torch import Tensor

PRIME = 0x9E3779B97F4A7C15
"""Takes neighbouring offsets of a generator to distant seeds."""


def on_the_cpu(generator: torch.Generator | None) -> torch.Generator:
    """A generator of the CPU: the one given, one seeded by it where it is a GPU's, or PyTorch's own for None."""
    if generator is None:
        return torch.default_generator
    if generator.device.type == "cpu":
        return generator
    # By the place that the generator is at, and not by a number of it, which would have to come from the GPU.
    seed = generator.initial_seed() + PRIME * generator.get_offset()
    torch.rand((), generator=generator, device=generator.device)  # moves it on
    return torch.Generator().manual_seed(seed % 2**63)


def uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    """(count,) float32 numbers from `low` to below `high`."""
    return low + (high - low) * torch.rand(count, generator=generator)


def one(low: float, high: float, generator: torch.Generator) -> float:
    """One number from `low` to below `high`."""
    return float(uniform(1, low, high, generator))


def whole(low: int, high: int, count: int, generator: torch.Generator) -> Tensor:
    """(count,) whole numbers from `low` to `high`, both included."""
    return torch.randint(low, high + 1, (count,), generator=generator)
