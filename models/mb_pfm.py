"""MB-PFM: mappings between the features of two frozen networks, both ways and at every scale."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.feature_mapping import FeatureMapping
from dlkd.contract import require
from dlkd.losses.mse import MSE
from dlkd.models.detector import Detector
from dlkd.models.optimizers.optimizer import Adam, OptimizerSettings
from dlkd.models.parts.anomaly_map import Combine, image_map, squared_map, unit
from dlkd.models.teachers.teacher import Teacher
from dlkd.registry import register

RESNET34 = functools.partial(Teacher, backbone="resnet34.tv_in1k")
RESNET50 = functools.partial(Teacher, backbone="resnet50.tv_in1k")
ADAM_OF_MB_PFM = functools.partial(Adam, lr=0.003, weight_decay=1e-5)
"""The authors' (`run_PFM.sh`); the second and third scale have a tenth of this rate."""


@register("model", "mb_pfm")
class MBPFM(Detector):
    """Multi-hierarchical bidirectional pretrained feature mapping (Wan et al., 2022). Calling it gives anomaly maps.

    Defaults are those of the authors' repository; docs/systems.md names it.

    Args:
        teacher: class of the first frozen network.
        second_teacher: class of the second one, with maps of the same sides.
        mapping: class of the mapping of a scale; gets the channels of both networks' maps, and `latent`.
        latents: width of the narrow layer of each scale's mapping, largest map first.
        loss: class of the loss between the networks' features, of norm 1 at each location, and their predictions.
        combine: how the scales' maps are combined, see `dlkd.models.parts.anomaly_map.Combine`.
        sigma: Gaussian smoothing of the anomaly map, in pixels.
        align_corners: how the maps are upsampled to the image.
        optimizer: class of the settings of the optimisers, of which each scale has its own.
        lr_factors: of the learning rate of each scale.
    """

    frozen = ("teacher", "second_teacher")
    compiled = ("predict",)
    graphed = True

    def __init__(
        self,
        *,
        teacher: Callable[[], Teacher] = RESNET34,
        second_teacher: Callable[[], Teacher] = RESNET50,
        mapping: Callable[..., nn.Module] = FeatureMapping,
        latents: Sequence[int] = (200, 400, 900),
        loss: Callable[[], nn.Module] = MSE,
        combine: Combine = "mean",
        sigma: float = 0.0,
        align_corners: bool = False,
        optimizer: Callable[[], OptimizerSettings] = ADAM_OF_MB_PFM,
        lr_factors: Sequence[float] = (1.0, 0.1, 0.1),
    ) -> None:
        super().__init__()
        if sigma < 0:
            raise ValueError(f"mb_pfm: sigma must be at least 0 pixels, got {sigma}")
        self.teacher, self.second_teacher = teacher(), second_teacher()
        _require_alike(self.teacher, self.second_teacher)
        self.mean, self.std = self.teacher.mean, self.teacher.std
        pairs = list(zip(self.teacher.channels, self.second_teacher.channels, strict=True))
        for name, values in (("latents", latents), ("lr_factors", lr_factors)):
            if len(values) != len(pairs) or min(values) <= 0:
                raise ValueError(f"mb_pfm: {name} must be {len(pairs)} numbers above 0, one per scale, got {values}")
        self.mappings = nn.ModuleList(mapping(pair, latent=n) for pair, n in zip(pairs, latents, strict=True))
        self.loss = loss()
        self.combine: Combine = combine
        self.sigma = sigma
        self.align_corners = align_corners
        self.optimizer = optimizer()
        self.lr_factors = tuple(lr_factors)
        self.paced = self.optimizer.paced

    def predict(self, pairs: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
        """Of both networks' maps of each scale each from the other: [[(b, c_k, h_k, w_k), (b, d_k, h_k, w_k)], ...]."""
        return [mapping(pair) for mapping, pair in zip(self.mappings, pairs, strict=True)]

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w), normalised by the teachers' statistics -> anomaly maps (b, h, w)."""
        for axis, side in (("h", images.shape[-2]), ("w", images.shape[-1])):
            require("mb_pfm", axis, side, ">= 32")
        return image_map(
            self.scale_maps(_units(self.clean(images))),
            (images.shape[-2], images.shape[-1]),
            sigma=self.sigma,
            align_corners=self.align_corners,
            combine=self.combine,
        )

    def scale_maps(self, pairs: Sequence[Sequence[Tensor]]) -> list[Tensor]:
        """The mean of both directions' squared errors, [(b, h_k, w_k), ...], of features of norm 1 as in `predict`."""
        both = zip(pairs, self.predict(pairs), strict=True)
        return [torch.stack([squared_map(t, s) for t, s in zip(*one, strict=True)]).mean(dim=0) for one in both]

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w); see `Detector.losses`."""
        pairs = _units(self.clean(images) if clean is None else clean)
        made = self.predict(pairs)
        return {"total": self.loss([x for pair in pairs for x in pair], [x for pair in made for x in pair])}

    def clean(self, images: Tensor) -> list[list[Tensor]]:
        """Features of images (b, 3, h, w), the same in every epoch: those of the first network, of the second."""
        return [each.clean(images).features for each in (self.teacher, self.second_teacher)]

    def clean_key(self) -> str:
        """Both networks."""
        return repr([each.clean_key() for each in (self.teacher, self.second_teacher)])

    def optimizers(self) -> list[Optimizer]:
        """One per scale; parameters of the loss, if it has any, go with the last."""
        groups = [list(mapping.parameters()) for mapping in self.mappings]
        groups[-1] += self.loss.parameters()
        rates = [factor * self.optimizer.lr for factor in self.lr_factors]
        return [self.optimizer(mapping=group) for group in zip(groups, rates, strict=True)]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by the optimiser's schedule."""
        self.optimizer.begin_step(step, steps, optimizers)

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Features of both networks, their predictions, the scales' maps and the anomaly map."""
        clean = self.clean(images)
        pairs = _units(clean)
        first, second = zip(*self.predict(pairs), strict=True)
        return {
            "teacher": clean[0],
            "second teacher": clean[1],
            "first from second": first,
            "second from first": second,
            "maps of the scales": self.scale_maps(pairs),
            "anomaly map": self(images),
        }


def _units(clean: Sequence[Sequence[Tensor]]) -> list[list[Tensor]]:
    """Per scale both networks' maps, of norm 1 at each location."""
    return [[unit(x) for x in pair] for pair in zip(*clean, strict=True)]


def _require_alike(first: Teacher, second: Teacher) -> None:
    """Raise ValueError unless both take the same images and give maps at the same scales."""
    if first.reductions != second.reductions:
        raise ValueError(
            f"mb_pfm: teacher and second_teacher must have maps at the same scales, got 1/{first.reductions} and "
            f"1/{second.reductions} of the image; set `stages` of one of them"
        )
    if (first.mean, first.std) != (second.mean, second.std):
        raise ValueError(
            f"mb_pfm: teacher and second_teacher must take images of the same mean and std, and {first.backbone} "
            f"takes {first.mean}, {first.std}, {second.backbone} {second.mean}, {second.std}"
        )
