"""STFPM: a student network of the teacher's own layout learns the teacher's features at every scale."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.norm import Block
from dlkd.contract import require
from dlkd.losses import CKD
from dlkd.models.detector import Detector
from dlkd.models.optimizers.optimizer import SGD, OptimizerSettings
from dlkd.models.parts.anomaly_map import Combine, distance_map, image_map
from dlkd.models.parts.fitted import standardising
from dlkd.models.parts.student import Student
from dlkd.models.teachers.teacher import Teacher
from dlkd.registry import register

CombineAt: TypeAlias = Literal["largest", "image"]
"""The size at which the scales' maps are combined: that of the largest map, or that of the image."""

SGD_OF_STFPM = functools.partial(SGD, lr=0.4, momentum=0.9, weight_decay=1e-4)
"""The authors' (`main.py`)."""


@register("model", "stfpm")
class STFPM(Detector):
    """Student-teacher feature pyramid matching (Wang et al., BMVC 2021). Calling it gives anomaly maps.

    Defaults are those of the authors' repository, gdwang08/STFPM; docs/systems.md lists where anomalib differs. The
    student has the teacher's stages up to the last that is compared; the authors' has the last stage too, which gets no
    gradient and changes nothing.

    Args:
        teacher: class of the frozen teacher; the student is an untrained network of the same backbone.
        zero_init_last: the last norm of each residual unit of the student starts at zero, as timm does it in ResNets;
            torchvision, which the authors take, does not.
        block: class of a block behind each stage of the student, such as FRM; None for none.
        loss: class of the loss of the scales' distance maps.
        factor: of the distance of each scale, in the loss and in the map.
        batch_sum: the loss is summed over the batch instead of averaged.
        combine: how the scales' maps are combined, see `dlkd.models.parts.anomaly_map.Combine`.
        combine_at: at which size, see `CombineAt`.
        sigma: Gaussian smoothing of the anomaly map, in pixels.
        align_corners: how maps are upsampled.
        standardise: class that standardises the maps by those of normal images before they are combined, such as
            `dlkd.blocks.standardise.Standardise`; None for none. Needs another `combine` than the product.
        optimizer: class of the optimiser's settings.
    """

    frozen = ("teacher",)
    graphed = True

    def __init__(
        self,
        *,
        teacher: Callable[[], Teacher] = Teacher,
        zero_init_last: bool = False,
        block: Block | None = None,
        loss: Callable[[], nn.Module] = CKD,
        factor: float = 1.0,
        batch_sum: bool = False,
        combine: Combine = "product",
        combine_at: CombineAt = "largest",
        sigma: float = 0.0,
        align_corners: bool = False,
        standardise: Callable[..., nn.Module] | None = None,
        optimizer: Callable[[], OptimizerSettings] = SGD_OF_STFPM,
    ) -> None:
        super().__init__()
        if factor <= 0:
            raise ValueError(f"stfpm: factor must be above 0, got {factor}")
        if sigma < 0:
            raise ValueError(f"stfpm: sigma must be at least 0 pixels, got {sigma}")
        self.teacher = teacher()
        self.mean, self.std = self.teacher.mean, self.teacher.std
        self.student = Student(self.teacher, zero_init_last=zero_init_last, block=block)
        self.loss = loss()
        self.factor = factor
        self.batch_sum = batch_sum
        self.combine: Combine = combine
        self.combine_at: CombineAt = combine_at
        self.sigma = sigma
        self.align_corners = align_corners
        self.standardise = standardising("stfpm", standardise, len(self.teacher.channels), combine)
        self.optimizer = optimizer()
        self.paced = self.optimizer.paced

    def distances(self, images: Tensor, features: Sequence[Tensor]) -> list[Tensor]:
        """Of the student of images (b, 3, h, w) from the teacher's `features`: [(b, h_k, w_k), ...], largest first."""
        student = self.student(images)
        return [self.factor * distance_map(t, s) for t, s in zip(features, student, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w), normalised by the teacher's statistics -> anomaly maps (b, h, w)."""
        for axis, side in (("h", images.shape[-2]), ("w", images.shape[-1])):
            require("stfpm", axis, side, ">= 32")
        maps = self.distances(images, self.teacher(images))
        if self.standardise is not None:
            maps = self.standardise(maps)
        size = (images.shape[-2], images.shape[-1])
        at = size if self.combine_at == "image" else (maps[0].shape[-2], maps[0].shape[-1])
        combined = image_map(maps, at, sigma=0.0, align_corners=self.align_corners, combine=self.combine)
        return image_map([combined], size, sigma=self.sigma, align_corners=self.align_corners)

    @property
    def fits(self) -> bool:
        """Whether a part is fitted without gradient."""
        return self.standardise is not None

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fit `standardise`, where it is there, to normal images (b, 3, h, w)."""
        if self.standardise is not None:
            self.standardise.fit(self.distances(images, self.teacher(images)) for images in batches)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w); see `Detector.losses`."""
        loss = self.loss(self.distances(images, self.clean(images) if clean is None else clean))
        return {"total": loss * len(images) if self.batch_sum else loss}

    def clean(self, images: Tensor) -> list[Tensor]:
        """The teacher's features of images (b, 3, h, w), the same in every epoch."""
        return self.teacher.clean(images).features

    def clean_key(self) -> str:
        """The teacher's network."""
        return self.teacher.clean_key()

    def optimizers(self) -> list[Optimizer]:
        """One, of the student and of the loss."""
        return [self.optimizer(student=[*self.student.parameters(), *self.loss.parameters()])]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by the optimiser's schedule."""
        self.optimizer.begin_step(step, steps, optimizers)

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Features of both networks, their distances and the anomaly map."""
        features = self.teacher(images)
        return {
            "teacher": features,
            "student": self.student(images),
            "distances": self.distances(images, features),
            "anomaly map": self(images),
        }
