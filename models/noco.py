"""NoCo: how far each place's projected features are from a centre that is drawn at random."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.centre import Centre
from dlkd.blocks.projector import Projector
from dlkd.contract import require
from dlkd.losses.sphere import Sphere
from dlkd.models.detector import Detector
from dlkd.models.optimizers.optimizer import AdamW, OptimizerSettings
from dlkd.models.parts.anomaly_map import Border, image_map
from dlkd.models.parts.crop import SMALLEST, Window, middle_part
from dlkd.models.teachers.teacher import Teacher
from dlkd.registry import register

LEAKY_WIDE_RESNET = functools.partial(Teacher, backbone="wide_resnet50_2.tv_in1k", last_slope=0.01)
ADAMW_OF_NOCO = functools.partial(AdamW, lr=1e-4, weight_decay=5e-4, amsgrad=True)
"""The authors' (`train_mvtec.py`)."""


@register("model", "noco")
class NoCo(Detector):
    """The norm-constrained method (the paper's [4]). Calling it gives anomaly maps.

    Defaults are those of the authors' repository, casivi-research/noco-ad; docs/systems.md lists what its script leaves
    open: the schedule (`optimizer.schedule`), the number of epochs and the centre's norm (`centre.margin`).

    Args:
        teacher: class of the frozen network whose stages are taken.
        projector: class of the trained map of these stages to vectors; gets their channels.
        centre: class of the distance of these vectors from a centre.
        loss: class of the loss of the distances, a list of one map.
        crop: part of each side of the image that is looked at, in the middle; the authors crop 224 of 256 pixels. At
            least 32 pixels are. Outside of it a map has its minimum.
        sigma: Gaussian smoothing of the anomaly map, in pixels; the score is taken after it.
        border: of the smoothing, see `dlkd.models.parts.anomaly_map.Border`.
        align_corners: how the map is upsampled to the image.
        optimizer: class of the optimiser's settings.

    Raises:
        ValueError: an argument makes no sense.
    """

    frozen = ("teacher",)
    compiled = ("distances",)
    graphed = True

    def __init__(
        self,
        *,
        teacher: Callable[[], Teacher] = LEAKY_WIDE_RESNET,
        projector: Callable[..., nn.Module] = Projector,
        centre: Callable[..., nn.Module] = Centre,
        loss: Callable[[], nn.Module] = Sphere,
        crop: float = 0.875,
        sigma: float = 4.0,
        border: Border = "symmetric",
        align_corners: bool = False,
        optimizer: Callable[[], OptimizerSettings] = ADAMW_OF_NOCO,
    ) -> None:
        super().__init__()
        if not 0 < crop <= 1:
            raise ValueError(f"noco: crop must be above 0 and at most 1, got {crop}")
        if sigma < 0:
            raise ValueError(f"noco: sigma must be at least 0 pixels, got {sigma}")
        self.teacher = teacher()
        self.mean, self.std = self.teacher.mean, self.teacher.std
        self.projector: Any = projector(self.teacher.channels)
        self.centre = centre(self.projector.out_channels)
        self.loss = loss()
        self.crop = crop
        self.sigma = sigma
        self.border: Border = border
        self.align_corners = align_corners
        self.optimizer = optimizer()
        self.paced = self.optimizer.paced

    def distances(self, features: Sequence[Tensor]) -> Tensor:
        """From the centre, (b, h_1, w_1), of the teacher's features [(b, c_k, h_k, w_k), ...], largest map first."""
        found: Tensor = self.centre(self.projector(features))
        return found

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w), normalised by the teacher's statistics -> anomaly maps (b, h, w)."""
        window = self._window(images)
        maps = self.distances(self.teacher(window.cut(images)))
        made = image_map([maps], window.size, sigma=self.sigma, align_corners=self.align_corners, border=self.border)
        return window.uncut(made)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w); see `Detector.losses`."""
        return {"total": self.loss([self.distances(self.clean(images) if clean is None else clean)])}

    def clean(self, images: Tensor) -> list[Tensor]:
        """The teacher's features of the crop of images (b, 3, h, w), the same in every epoch."""
        return self.teacher.clean(self._window(images).cut(images)).features

    def clean_key(self) -> str:
        """The teacher's network, and the crop."""
        return repr((self.teacher.clean_key(), self.crop))

    def optimizers(self) -> list[Optimizer]:
        """One, of the projector, of the loss's radius, and of the centre, if that has something to train."""
        parts = (self.projector, self.centre, self.loss)
        return [self.optimizer(projector=[p for part in parts for p in part.parameters()])]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by the optimiser's schedule."""
        self.optimizer.begin_step(step, steps, optimizers)

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """The crop, the teacher's features of it, what they are projected to, the distances and the anomaly map."""
        crop = self._window(images).cut(images)
        features = self.teacher(crop)
        return {
            "crop": crop,
            "teacher": features,
            "projected": self.projector(features),
            "distances": self.distances(features),
            "anomaly map": self(images),
        }

    def _window(self, images: Tensor) -> Window:
        """What is looked at."""
        for axis, side in zip("hw", images.shape[2:], strict=True):
            require("noco", axis, side, f">= {SMALLEST}")
        return middle_part(images.shape[-2:], self.crop)
