"""A student with the layout of its teacher, untrained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dlkd.blocks.norm import Block
from dlkd.models.teachers.last_relu import leak
from dlkd.models.teachers.teacher import Teacher, backbone_features


class Student(nn.Module):
    """The teacher's backbone with random weights, up to the last stage that the teacher takes; all of it is trained.

    Args:
        teacher: gives backbone, stages and how these end.
        zero_init_last: keep the zeros that timm gives to the last norm of each residual unit; otherwise every norm
            starts at one, as in torchvision.
        stages: of the backbone that are given, instead of the teacher's.
        block: class of a block behind each stage, through which its map passes before it is given; the next stage
            takes the map without it. None for none.
    """

    def __init__(
        self,
        teacher: Teacher,
        *,
        zero_init_last: bool = False,
        stages: Sequence[int] | None = None,
        block: Block | None = None,
    ) -> None:
        super().__init__()
        self.network = backbone_features(teacher.backbone, "random", teacher.stages if stages is None else stages)
        leak(self.network, teacher.last_slope, teacher.backbone)
        self.gives_channels_last = teacher.gives_channels_last
        if not zero_init_last:
            for module in self.network.modules():
                if isinstance(module, nn.BatchNorm2d):
                    nn.init.ones_(module.weight)
        info: Any = self.network.feature_info
        self.blocks = None if block is None else nn.ModuleList(block(c) for c in info.channels())

    def forward(self, images: Tensor) -> list[Tensor]:
        """Images (b, 3, h, w) -> [(b, c_k, h / r_k, w / r_k), ...] as the teacher's, largest map first."""
        if images.device.type == "cpu":
            images = images.contiguous(memory_format=torch.channels_last)  # as in the teacher, for speed
        features: list[Tensor] = self.network(images)
        if self.gives_channels_last:
            features = [x.permute(0, 3, 1, 2) for x in features]
        return features if self.blocks is None else [f(x) for f, x in zip(self.blocks, features, strict=True)]
