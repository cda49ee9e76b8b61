"""DeSTSeg: a student that removes pasted defects from the teacher's features, and a segmentation of what differs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.residual import Residual
from dlkd.blocks.segmentation.segmentation_head import SegmentationHead
from dlkd.contract import require
from dlkd.losses.distillation import CKD
from dlkd.losses.focal import Focal
from dlkd.models.detector import Detector
from dlkd.models.optimizers.optimizer import SGD, OptimizerSettings
from dlkd.models.parts.anomaly_map import Combine, cosine_map, image_map, image_score, unit
from dlkd.models.parts.bilinear_decoder import BilinearDecoder
from dlkd.models.parts.denoising_student import DenoisingStudent
from dlkd.models.teachers.teacher import Teacher
from dlkd.pseudo_anomalies import PastedTexture
from dlkd.registry import register

HEAD_OF_DESTSEG = functools.partial(SegmentationHead, width=256)
SPOILED_OF_DESTSEG = functools.partial(PastedTexture, probability=1.0, augmentation=None)
FOCAL_OF_DESTSEG = functools.partial(Focal, gamma=4.0, smoothing=0.0)
SGD_OF_DESTSEG = functools.partial(SGD, lr=0.4, momentum=0.9, weight_decay=1e-4)
"""The authors' (`train.py`), here the student's rate."""


@register("model", "destseg")
class DeSTSeg(Detector):
    """Segmentation-guided denoising student-teacher (Zhang et al., CVPR 2023). Calling it gives anomaly maps.

    A training has two stages. In the first the student learns to give the teacher's features of a clean image for the
    same image with a pasted defect; in the second, where the student is frozen, the head learns where the defect is.
    Defaults are those of the authors' repository, apple/ml-destseg; docs/systems.md names what they leave open.

    Args:
        teacher: class of the frozen teacher.
        decoder: class of the student's decoder, see `dlkd.models.parts.denoising_student`.
        zero_init_last: see `dlkd.models.parts.student.Student`.
        augmentation: class of the augmentation of normal images, before anything is pasted; None for none. With one the
            teacher's features of clean images differ in every epoch and are not kept.
        pseudo_anomaly: class of the pseudo-anomalies in images.
        head: block class of the segmentation; a 1x1 convolution makes a logit of its output. With None there is no
            second stage, and the map is that of the features' distances.
        loss: class of the loss of the scales' maps, 1 - cos, in the first stage.
        batch_sum: that loss is summed over the batch instead of averaged.
        focal: class of the loss of the second stage's probabilities.
        l1: weight of their mean absolute difference from the mask, beside it.
        first_stage: part of the training's steps in the first stage.
        combine: how the scales' maps are combined without a head, see `dlkd.models.parts.anomaly_map.Combine`.
        score_top: image score: 0 for the map's maximum, else the mean of its highest fraction.
        optimizer: class of the optimiser's settings; its learning rate is the student's.
        lr_residual: learning rate of residual units in the head.
        lr_head: learning rate of all else in the head.
    """

    frozen = ("teacher",)
    segmenting = False  # whether the step is of the second stage

    def __init__(
        self,
        *,
        teacher: Callable[[], Teacher] = Teacher,
        decoder: Callable[..., nn.Module] = BilinearDecoder,
        zero_init_last: bool = True,
        augmentation: Callable[[], nn.Module] | None = None,
        pseudo_anomaly: Callable[[], nn.Module] = SPOILED_OF_DESTSEG,
        head: Callable[[int], nn.Module] | None = HEAD_OF_DESTSEG,
        loss: Callable[[], nn.Module] = CKD,
        batch_sum: bool = True,
        focal: Callable[[], nn.Module] = FOCAL_OF_DESTSEG,
        l1: float = 1.0,
        first_stage: float = 0.2,
        combine: Combine = "product",
        score_top: float = 100 / 65536,
        optimizer: Callable[[], OptimizerSettings] = SGD_OF_DESTSEG,
        lr_residual: float = 0.1,
        lr_head: float = 0.01,
    ) -> None:
        super().__init__()
        for name, value in (("first_stage", first_stage), ("score_top", score_top)):
            if not 0 <= value <= 1:
                raise ValueError(f"destseg: {name} must lie in [0, 1], got {value}")
        for name, value in (("lr_residual", lr_residual), ("lr_head", lr_head)):
            if value <= 0:
                raise ValueError(f"destseg: {name} must be above 0, got {value}")
        if l1 < 0:
            raise ValueError(f"destseg: l1 must be at least 0, got {l1}")
        self.teacher = teacher()
        self.mean, self.std = self.teacher.mean, self.teacher.std
        self.student = DenoisingStudent(self.teacher, decoder, zero_init_last=zero_init_last)
        self.augmentation = None if augmentation is None else augmentation()
        self.pseudo_anomaly = pseudo_anomaly()
        total = sum(self.teacher.channels)
        self.head = None if head is None else head(total)
        self.logits = None if head is None else nn.Conv2d(getattr(self.head, "out_channels", total), 1, 1)
        self.loss, self.batch_sum = loss(), batch_sum
        self.focal, self.l1 = focal(), l1
        self.first_stage = first_stage
        self.combine: Combine = combine
        self.score_top = score_top
        self.optimizer = optimizer()
        self.lr_residual, self.lr_head = lr_residual, lr_head
        self.paced = self.optimizer.paced or head is not None

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w), normalised by the teacher's statistics -> anomaly maps (b, h, w)."""
        for axis, side in (("h", images.shape[-2]), ("w", images.shape[-1])):
            require("destseg", axis, side, ">= 32")
        teacher, student = self.both(images)
        size, largest = (images.shape[-2], images.shape[-1]), _sides(teacher)[0]
        if self.head is None:
            maps = [cosine_map(t, s) for t, s in zip(teacher, student, strict=True)]
            found = image_map(maps, largest, sigma=0.0, align_corners=False, combine=self.combine)
        else:
            found = self.segment(products(teacher, student))[:, 0].sigmoid()
        return image_map([found], size, sigma=0.0, align_corners=False)

    def score(self, maps: Tensor) -> Tensor:
        """Image scores of anomaly maps: (b, h, w) -> (b,)."""
        return image_score(maps, top=self.score_top)

    def both(self, images: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Features of the teacher and of the student, both of the same images (b, 3, h, w), largest map first."""
        teacher = self.teacher(images)
        return teacher, self.student(images, _sides(teacher))

    def segment(self, joined: Tensor) -> Tensor:
        """Logits (b, 1, h, w) of what `products` gives, (b, c, h, w)."""
        assert self.head is not None
        assert self.logits is not None
        logits: Tensor = self.logits(self.head(joined))
        return logits.to(torch.promote_types(logits.dtype, torch.float32))

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w), in the stage of `begin_step`; see `Detector.losses`."""
        mean, std = (images.new_tensor(values).view(-1, 1, 1) for values in (self.mean, self.std))
        pictures = (images * std + mean).clamp(0, 1)
        if self.augmentation is not None:
            pictures = self.augmentation(pictures, generator)
        spoiled, masks = self.pseudo_anomaly(pictures, generator)
        spoiled = (spoiled - mean) / std
        if self.segmenting:
            return self._segmentation(spoiled, masks)
        if self.augmentation is not None:
            features = self.teacher((pictures - mean) / std)
        else:
            features = self.clean(images) if clean is None else clean
        student = self.student(spoiled, _sides(features))
        loss = self.loss([cosine_map(t, s) for t, s in zip(features, student, strict=True)])
        loss = loss * len(images) if self.batch_sum else loss
        return {"distillation": loss, "total": loss}

    def _segmentation(self, spoiled: Tensor, masks: Tensor) -> dict[str, Tensor]:
        """Losses of the second stage of normalised images (b, 3, h, w) and masks (b, 1, h, w)."""
        with torch.no_grad():
            joined = products(*self.both(spoiled))
        found = self.segment(joined).sigmoid()
        small = F.interpolate(masks.to(found.dtype), found.shape[2:], mode="bilinear")
        truth = (small >= 0.5).to(found.dtype)
        focal, l1 = self.focal(torch.cat([1 - found, found], dim=1), truth), (found - truth).abs().mean()
        return {"focal": focal, "l1": l1, "total": focal + self.l1 * l1}

    def clean(self, images: Tensor) -> list[Tensor]:
        """The teacher's features of images (b, 3, h, w), the same in every epoch."""
        return self.teacher.clean(images).features

    def clean_key(self) -> str:
        """The teacher's network; "" with an augmentation, whose images are others in every epoch."""
        return self.teacher.clean_key() if self.augmentation is None else ""

    def optimizers(self) -> list[Optimizer]:
        """One, of the student, of the head's residual units and of the rest; losses go with their stage."""
        groups: dict[str, Any] = {"student": [*self.student.parameters(), *self.loss.parameters()]}
        if self.head is not None and self.logits is not None:
            units = [p for m in self.head.modules() if isinstance(m, Residual) for p in m.parameters()]
            held = set(units)
            rest = [p for part in (self.head, self.logits, self.focal) for p in part.parameters() if p not in held]
            groups |= {"residual": (units, self.lr_residual), "head": (rest, self.lr_head)}
        return [self.optimizer(**groups)]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """The stage, and learning rates by the optimiser's schedule."""
        self.segmenting = self.head is not None and step >= round(self.first_stage * steps)
        self.train(self.training)
        self.optimizer.begin_step(step, steps, optimizers)

    def train(self, mode: bool = True) -> DeSTSeg:
        """As any module, but the student stays in eval mode in the second stage: its norms' statistics are frozen."""
        super().train(mode)
        if self.segmenting:
            self.student.eval()
        return self

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Features of both networks, what the head takes and gives, and the anomaly map."""
        teacher, student = self.both(images)
        found: dict[str, Tensor | Sequence[Tensor]] = {"teacher": teacher, "student": student}
        if self.head is not None:
            joined = products(teacher, student)
            found |= {"products": joined, "head": self.head(joined), "logits": self.segment(joined)}
        return {**found, "anomaly map": self(images)}


def products(teacher: Sequence[Tensor], student: Sequence[Tensor]) -> Tensor:
    """The negative product, channel by channel, of both networks' features of norm 1 at each place.

    Two lists of maps [(b, c_k, h_k, w_k), ...] -> (b, sum of c_k, h_1, w_1), in float32 or wider.
    """
    each = [-unit(t) * unit(s) for t, s in zip(teacher, student, strict=True)]
    return torch.cat([F.interpolate(x, _sides(each)[0], mode="bilinear") for x in each], dim=1)


def _sides(features: Sequence[Tensor]) -> list[tuple[int, int]]:
    return [(x.shape[2], x.shape[3]) for x in features]
