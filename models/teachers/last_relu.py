"""The negative values that the last ReLU of a ResNet's stage removes, kept in part in the stage's map."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


def leak(network: nn.Module, slope: float, backbone: str) -> None:
    """Give each stage whose map is taken a leaky ReLU as its last one; the stage after it takes what it took before.

    Args:
        network: timm's features-only network, changed in place.
        slope: of the leaky ReLU below zero, from 0 to below 1; 0 changes nothing.
        backbone: its name, for the error.

    Raises:
        ValueError: the slope is out of range; or a stage is none of a ResNet's, whose units end in a ReLU.
    """
    if not 0 <= slope < 1:
        raise ValueError(f"teacher: last_slope must be from 0 to below 1, got {slope}")
    if slope == 0:
        return
    info: Any = network.feature_info
    in_order = dict(network.named_children())
    names = list(in_order)
    for name in info.module_name():
        unit, last = _last_relu(in_order.get(name), backbone)
        setattr(unit, last, nn.LeakyReLU(slope))
        for after in names[names.index(name) + 1 :][:1]:
            in_order[after].register_forward_pre_hook(_positive)


def _last_relu(stage: nn.Module | None, backbone: str) -> tuple[nn.Module, str]:
    """The unit that a stage ends with, and the name of its last ReLU."""
    from timm.models.resnet import BasicBlock, Bottleneck

    if isinstance(stage, nn.Sequential) and len(stage):
        unit = stage[-1]
        last = {BasicBlock: "act2", Bottleneck: "act3"}.get(type(unit), "")
        if isinstance(getattr(unit, last, None), nn.ReLU):
            return unit, last
    raise ValueError(
        f"teacher: last_slope is for the ReLU that ends a stage of a ResNet, and {backbone} has a stage among those "
        f"taken that does not end in one; set `last_slope: 0`, which takes the maps as they are, or another backbone"
    )


def _positive(module: nn.Module, args: tuple[Tensor, ...]) -> Tensor:
    """What a stage takes: the ReLU of what it is given; for `register_forward_pre_hook`."""
    del module
    return torch.relu(args[0])
