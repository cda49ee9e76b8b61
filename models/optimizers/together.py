"""Several optimisers as one, so that Lightning counts one step per training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.optim import Optimizer


def together(optimizers: Sequence[Optimizer]) -> Optimizer:
    """The only one of `optimizers`, or all of them as one. Raises ValueError where a parameter is in two of them."""
    return optimizers[0] if len(optimizers) == 1 else Together(optimizers)


class Together(Optimizer):
    """Steps all of `optimizers` at once; their states lie in one state_dict.

    Lightning counts the steps of each optimiser, and by its count a training ends, saves and draws its noise.

    Raises:
        ValueError: a parameter is in two of them.
    """

    def __init__(self, optimizers: Sequence[Optimizer]) -> None:
        self.optimizers = tuple(optimizers)
        super().__init__([group for each in optimizers for group in each.param_groups], {})

    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Compute the gradients by `closure` and step."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for each in self.optimizers:
            each.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """Of each optimiser."""
        return {"optimizers": [each.state_dict() for each in self.optimizers]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Of each optimiser."""
        for each, state in zip(self.optimizers, state_dict["optimizers"], strict=True):
            each.load_state_dict(state)
        self.param_groups = [group for each in self.optimizers for group in each.param_groups]
