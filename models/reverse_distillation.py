"""RD: a decoder reproduces the teacher's features from a narrow embedding of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.norm import Block
from dlkd.blocks.ocbe import OCBE
from dlkd.blocks.prl import refine
from dlkd.contract import require
from dlkd.losses.flat_cosine import FlatCosine
from dlkd.models.detector import Detector
from dlkd.models.optimizers.optimizer import Adam, OptimizerSettings
from dlkd.models.parts.anomaly_map import Border, Combine, cosine_map, image_map
from dlkd.models.parts.fitted import standardising
from dlkd.models.parts.residual_decoder import ResidualDecoder
from dlkd.models.teachers.teacher import Teacher
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
        refiner: block class of DLKD's precise refinement learner behind the decoder (eq. 5), None to leave it out. The
            loss is then the sum of that of the decoder's features and that of the refined ones, and the anomaly map is
            that of the refined ones.
        loss: class of the loss between the teacher's features and the decoder's.
        combine: how the scales' maps are combined, see `dlkd.models.parts.anomaly_map.Combine`.
        sigma: Gaussian smoothing of the anomaly map, in pixels.
        border: of the smoothing, see `dlkd.models.parts.anomaly_map.Border`.
        align_corners: how the maps are upsampled to the image.
        standardise: class that standardises the maps by those of normal images before they are combined, such as
            `dlkd.blocks.standardise.Standardise`; None for none.
        optimizer: class of the optimiser's settings; its learning rate is that of fusion, decoder and loss.
        lr_refiner: learning rate of the refiner.
    """

    frozen = ("teacher",)
    compiled = ("reconstruct",)
    graphed = True

    def __init__(
        self,
        *,
        teacher: Callable[[], Teacher] = WIDE_RESNET,
        fusion: Callable[..., nn.Module] = OCBE,
        decoder: Callable[..., nn.Module] = ResidualDecoder,
        refiner: Block | None = None,
        loss: Callable[[], nn.Module] = FlatCosine,
        combine: Combine = "sum",
        sigma: float = 4.0,
        border: Border = "symmetric",
        align_corners: bool = True,
        standardise: Callable[..., nn.Module] | None = None,
        optimizer: Callable[[], OptimizerSettings] = ADAM_OF_RD,
        lr_refiner: float = 0.002,
    ) -> None:
        super().__init__()
        if sigma < 0:
            raise ValueError(f"reverse_distillation: sigma must be at least 0 pixels, got {sigma}")
        if lr_refiner <= 0:
            raise ValueError(f"reverse_distillation: lr_refiner must be above 0, got {lr_refiner}")
        self.teacher = teacher()
        self.mean, self.std = self.teacher.mean, self.teacher.std
        channels, reductions = self.teacher.channels, self.teacher.reductions
        self.fusion: Any = fusion(channels, reductions=reductions)
        self.decoder = decoder(channels, in_channels=self.fusion.out_channels, reductions=reductions)
        self.refiners = None if refiner is None else nn.ModuleList(refiner(c) for c in channels)
        self.loss = loss()
        self.combine: Combine = combine
        self.sigma = sigma
        self.border: Border = border
        self.align_corners = align_corners
        self.standardise = standardising("reverse_distillation", standardise, len(channels), combine)
        self.optimizer = optimizer()
        self.lr_refiner = lr_refiner
        self.paced = self.optimizer.paced

    def reconstruct(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The decoder's features of the teacher's, shapes as the teacher's, largest map first."""
        sizes = [(x.shape[2], x.shape[3]) for x in features]
        takes_features = getattr(self.decoder, "takes_features", False)
        made: list[Tensor] = self.decoder(self.fusion(features), sizes, *([features] if takes_features else []))
        return made

    def refined(self, features: Sequence[Tensor], made: Sequence[Tensor]) -> list[Tensor]:
        """The decoder's features `made` after the refiner, compared with the teacher's; unchanged without one."""
        if self.refiners is None:
            return list(made)
        return [refine(p, s, cosine_map(t, s)) for p, t, s in zip(self.refiners, features, made, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w), normalised by the teacher's statistics -> anomaly maps (b, h, w)."""
        for axis, side in (("h", images.shape[-2]), ("w", images.shape[-1])):
            require("reverse_distillation", axis, side, ">= 32")
        maps = self.scale_maps(self.teacher(images))
        return image_map(
            maps if self.standardise is None else self.standardise(maps),
            (images.shape[-2], images.shape[-1]),
            sigma=self.sigma,
            align_corners=self.align_corners,
            combine=self.combine,
            border=self.border,
        )

    def scale_maps(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The scales' maps [(b, h_k, w_k), ...] for the teacher's features, largest first."""
        made = self.refined(features, self.reconstruct(features))
        return [cosine_map(t, s) for t, s in zip(features, made, strict=True)]

    @property
    def fits(self) -> bool:
        """Whether a part is fitted without gradient."""
        return self.standardise is not None

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fit `standardise`, where it is there, to normal images (b, 3, h, w)."""
        if self.standardise is not None:
            self.standardise.fit(self.scale_maps(self.teacher(images)) for images in batches)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w); see `Detector.losses`."""
        features = self.clean(images) if clean is None else clean
        made = self.reconstruct(features)
        loss = self.loss(features, made)
        if self.refiners is None:
            return {"total": loss}
        precise = self.loss(features, self.refined(features, made))
        return {"decoder": loss, "refiner": precise, "total": loss + precise}

    def clean(self, images: Tensor) -> list[Tensor]:
        """The teacher's features of images (b, 3, h, w), the same in every epoch."""
        return self.teacher.clean(images).features

    def clean_key(self) -> str:
        """The teacher's network."""
        return self.teacher.clean_key()

    def optimizers(self) -> list[Optimizer]:
        """One, with a separate learning rate for the refiner."""
        parts = (self.fusion, self.decoder, self.loss)
        refiner = () if self.refiners is None else self.refiners.parameters()
        student = [p for part in parts for p in part.parameters()]
        return [self.optimizer(student=student, refiner=(refiner, self.lr_refiner))]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by the optimiser's schedule."""
        self.optimizer.begin_step(step, steps, optimizers)

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """The teacher's features, the embedding, the decoder's features, the refined ones and the anomaly map."""
        features = self.teacher(images)
        made = self.reconstruct(features)
        return {
            "teacher": features,
            "embedding": self.fusion(features),
            "decoder": made,
            **({} if self.refiners is None else {"refined": self.refined(features, made)}),
            "anomaly map": self(images),
        }
