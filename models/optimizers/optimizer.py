"""Optimisers as components: kind, learning rate, schedule, and the parameters without weight decay."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import nn

from dlkd.models.optimizers.schedule import Schedule
from dlkd.registry import register

Spared: TypeAlias = Literal["none", "marked", "vectors"]
"""Parameters without weight decay: none; those that a block marks (`_no_weight_decay`, as the scan's A and D); those
and all with fewer than two axes, which are biases and norms."""

Group: TypeAlias = Iterable[nn.Parameter]


class OptimizerSettings:
    """Settings that make an optimiser of a model's parameters, and its learning rates as the training goes on.

    Raises:
        ValueError: `lr` is not positive, or `weight_decay` is negative.
    """

    def __init__(
        self,
        kind: type[torch.optim.Optimizer],
        lr: float,
        weight_decay: float,
        spared: Spared,
        schedule: Callable[[], Schedule] | None,
        **settings: Any,
    ) -> None:
        name = kind.__name__.lower()
        if lr <= 0:
            raise ValueError(f"{name}: lr must be above 0, got {lr}")
        if weight_decay < 0:
            raise ValueError(f"{name}: weight_decay must be at least 0, got {weight_decay}")
        self.kind = kind
        self.lr = lr
        self.spared: Spared = spared
        self.schedule = None if schedule is None else schedule()
        self.settings = {"lr": lr, "weight_decay": weight_decay, **settings}

    @property
    def paced(self) -> bool:
        """Whether a learning rate depends on how long the training is."""
        return self.schedule is not None

    def __call__(self, **groups: Group | tuple[Group, float]) -> torch.optim.Optimizer:
        """The optimiser of groups of parameters by name, at `lr`, or at a rate of their own: (parameters, rate)."""
        made: list[dict[str, Any]] = []
        for name, group in groups.items():
            parameters, lr = group if isinstance(group, tuple) else (group, self.lr)
            decayed, spared = self._split(parameters)
            if decayed:
                made.append({"params": decayed, "lr": lr, "name": name})
            if spared:
                made.append({"params": spared, "lr": lr, "weight_decay": 0.0, "name": f"{name}, no decay"})
        for one in made:
            one["initial_lr"] = one["lr"]
        return self.kind(made, **self.settings)

    def begin_step(self, step: int, steps: int, optimizers: Sequence[torch.optim.Optimizer]) -> None:
        """Set the learning rates of `step` of `steps`; for `Detector.begin_step`."""
        if self.schedule is not None:
            factor = self.schedule.factor(step / max(1, steps))
            for optimizer in optimizers:
                for group in optimizer.param_groups:
                    group["lr"] = factor * group["initial_lr"]

    def _split(self, parameters: Iterable[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
        """Those with weight decay, and those without."""
        decayed: list[nn.Parameter] = []
        spared: list[nn.Parameter] = []
        for p in parameters:
            marked = self.spared != "none" and getattr(p, "_no_weight_decay", False)
            (spared if marked or (self.spared == "vectors" and p.dim() < 2) else decayed).append(p)
        return decayed, spared


@register("optimizer", "adam")
class Adam(OptimizerSettings):
    """Adam; its weight decay is an L2 penalty.

    Args:
        lr: learning rate.
        betas: decays of both moments.
        weight_decay: see above.
        spared: parameters without it, see `Spared`.
        schedule: class of the learning rate's schedule, None for a constant one.
        amsgrad: divide by the largest second moment so far (Reddi et al., 2018) instead of the present one.
    """

    kind: type[torch.optim.Optimizer] = torch.optim.Adam

    def __init__(
        self,
        *,
        lr: float = 0.001,
        betas: Sequence[float] = (0.9, 0.999),
        weight_decay: float = 0.0,
        spared: Spared = "marked",
        schedule: Callable[[], Schedule] | None = None,
        amsgrad: bool = False,
    ) -> None:
        if len(betas) != 2 or not all(0 <= beta < 1 for beta in betas):
            raise ValueError(f"adam: betas must be two numbers from 0 to below 1, got {list(betas)}")
        settings = {"betas": tuple(betas), "amsgrad": amsgrad, "fused": True}
        super().__init__(type(self).kind, lr, weight_decay, spared, schedule, **settings)


@register("optimizer", "adamw")
class AdamW(Adam):
    """Adam with decoupled weight decay; arguments as `Adam`."""

    kind = torch.optim.AdamW


@register("optimizer", "sgd")
class SGD(OptimizerSettings):
    """Stochastic gradient descent.

    Args:
        lr: learning rate.
        momentum: of the gradient.
        weight_decay: an L2 penalty.
        spared: parameters without it, see `Spared`.
        schedule: class of the learning rate's schedule, None for a constant one.
    """

    def __init__(
        self,
        *,
        lr: float = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        spared: Spared = "marked",
        schedule: Callable[[], Schedule] | None = None,
    ) -> None:
        if not 0 <= momentum < 1:
            raise ValueError(f"sgd: momentum must be from 0 to below 1, got {momentum}")
        super().__init__(torch.optim.SGD, lr, weight_decay, spared, schedule, momentum=momentum)
