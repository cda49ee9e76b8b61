"""RD: a decoder reproduces the teacher's features from a narrow embedding of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.ocbe import OCBE
from dlkd.contract import require
from dlkd.losses.flat_cosine import FlatCosine
from dlkd.models.anomaly_map import Border, Combine, cosine_map, image_map
from dlkd.models.detector import Detector
from dlkd.models.optimizer import Adam, OptimizerSettings
from dlkd.models.residual_decoder import ResidualDecoder
from dlkd.models.teacher import Teacher
from dlkd.registry import register

WIDE_RESNET = functools.partial(Teacher, backbone="wide_resnet50_2.tv_in1k")
ADAM_OF_RD = functools.partial(Adam, lr=0.005, betas=(0.5, 0.999))
"""The authors' (main.py)."""


@register("model", "reverse_distillation")
class ReverseDistillation(Detector):
    """Reverse distillation (Deng and Li, CVPR 2022), RD or RD4AD. Calling it gives anomaly maps.

    Defaults are those of the authors' repository, hq-deng/RD4AD; docs/systems.md lists where anomalib differs.

    Args:
        teacher: class of the frozen teacher.
        fusion: class of the fusion with its embedding.
        decoder: class of the decoder; gets the features as a third argument if it has a true `takes_features`.
        loss: class of the loss between the teacher's features and the decoder's.
        combine: how the scales' maps are combined, see `dlkd.models.anomaly_map.Combine`.
        sigma: Gaussian smoothing of the anomaly map, in pixels.
        border: of the smoothing, see `dlkd.models.anomaly_map.Border`.
        align_corners: how the maps are upsampled to the image.
        optimizer: class of the optimiser's settings.
    """

    frozen = ("teacher",)
    compiled = ("reconstruct",)

    def __init__(
        self,
        *,
        teacher: Callable[[], Teacher] = WIDE_RESNET,
        fusion: Callable[..., nn.Module] = OCBE,
        decoder: Callable[..., nn.Module] = ResidualDecoder,
        loss: Callable[[], nn.Module] = FlatCosine,
        combine: Combine = "sum",
        sigma: float = 4.0,
        border: Border = "symmetric",
        align_corners: bool = True,
        optimizer: Callable[[], OptimizerSettings] = ADAM_OF_RD,
    ) -> None:
        super().__init__()
        if sigma < 0:
            raise ValueError(f"reverse_distillation: sigma must be at least 0 pixels, got {sigma}")
        self.teacher = teacher()
        self.mean, self.std = self.teacher.mean, self.teacher.std
        channels, reductions = self.teacher.channels, self.teacher.reductions
        self.fusion: Any = fusion(channels, reductions=reductions)
        self.decoder = decoder(channels, in_channels=self.fusion.out_channels, reductions=reductions)
        self.loss = loss()
        self.combine: Combine = combine
        self.sigma = sigma
        self.border: Border = border
        self.align_corners = align_corners
        self.optimizer = optimizer()
        self.paced = self.optimizer.paced

    def reconstruct(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The decoder's features of the teacher's, shapes as the teacher's, largest map first."""
        sizes = [(x.shape[2], x.shape[3]) for x in features]
        takes_features = getattr(self.decoder, "takes_features", False)
        made: list[Tensor] = self.decoder(self.fusion(features), sizes, *([features] if takes_features else []))
        return made

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w), normalised by the teacher's statistics -> anomaly maps (b, h, w)."""
        for axis, side in (("h", images.shape[-2]), ("w", images.shape[-1])):
            require("reverse_distillation", axis, side, ">= 32")
        features = self.teacher(images)
        maps = [cosine_map(t, s) for t, s in zip(features, self.reconstruct(features), strict=True)]
        return image_map(
            maps,
            (images.shape[-2], images.shape[-1]),
            sigma=self.sigma,
            align_corners=self.align_corners,
            combine=self.combine,
            border=self.border,
        )

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w); see `Detector.losses`."""
        features = self.clean(images) if clean is None else clean
        return {"total": self.loss(features, self.reconstruct(features))}

    def clean(self, images: Tensor) -> list[Tensor]:
        """The teacher's features of images (b, 3, h, w), the same in every epoch."""
        return self.teacher.clean(images).features

    def clean_key(self) -> str:
        """The teacher's network."""
        return self.teacher.clean_key()

    def optimizers(self) -> list[Optimizer]:
        """One, of fusion, decoder and loss."""
        parts = (self.fusion, self.decoder, self.loss)
        return [self.optimizer(student=[p for part in parts for p in part.parameters()])]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by the optimiser's schedule."""
        self.optimizer.begin_step(step, steps, optimizers)

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """The teacher's features, the embedding, the decoder's features and the anomaly map."""
        features = self.teacher(images)
        return {
            "teacher": features,
            "embedding": self.fusion(features),
            "decoder": self.reconstruct(features),
            "anomaly map": self(images),
        }
