"""PatchCore: how far each patch's features are from the nearest of a memory bank of normal ones."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.blocks.memory.memory_bank import MemoryBank
from dlkd.blocks.memory.patch_pooling import PatchPooling
from dlkd.contract import require
from dlkd.models.detector import Detection, Detector
from dlkd.models.parts.anomaly_map import Border, gaussian_blur
from dlkd.models.parts.crop import SMALLEST, Window, middle_part
from dlkd.models.teachers.teacher import Teacher
from dlkd.registry import register

WIDE_RESNET = functools.partial(Teacher, backbone="wide_resnet50_2.tv_in1k", stages=(2, 3))
"""Stages 2 and 3, at 1/8 and 1/16 of the image."""

Upsampling: TypeAlias = Literal["bilinear", "nearest"]
"""How a map of patches is brought to the size of the image."""


@register("model", "patchcore")
class PatchCore(Detector):
    """PatchCore (Roth et al., CVPR 2022; the paper's [9]). Calling it gives anomaly maps.

    Nothing is trained by gradient: `fit` fills the memory. Defaults are those of the authors' repository,
    amazon-science/patchcore-inspection; docs/systems.md lists where anomalib differs.

    Args:
        teacher: class of the frozen network whose stages are taken.
        patches: class of the patch features, of the teacher's maps.
        memory: class of the memory bank.
        crop: part of each side of the image that is looked at, in the middle; the authors crop 224 of 256 pixels. At
            least 32 pixels are. Outside of it a map has its minimum.
        score_neighbors: neighbours in the memory that weight an image's score: it is multiplied by one minus the
            softmax, over these distances, of the distance to the nearest. 1 leaves the weight out: the score is the
            largest distance, as in the authors' code. The paper has the weight.
        upsampling: see `Upsampling`.
        sigma: Gaussian smoothing of the anomaly map, in pixels; the score is taken before it.
        border: of the smoothing, see `dlkd.models.parts.anomaly_map.Border`.

    Raises:
        ValueError: an argument makes no sense; or the memory is empty when an image is compared with it.
    """

    frozen = ("teacher",)

    def __init__(
        self,
        *,
        teacher: Callable[[], Teacher] = WIDE_RESNET,
        patches: Callable[..., nn.Module] = PatchPooling,
        memory: Callable[..., MemoryBank] = MemoryBank,
        crop: float = 0.875,
        score_neighbors: int = 1,
        upsampling: Upsampling = "bilinear",
        sigma: float = 4.0,
        border: Border = "symmetric",
    ) -> None:
        super().__init__()
        if not 0 < crop <= 1:
            raise ValueError(f"patchcore: crop must be above 0 and at most 1, got {crop}")
        if score_neighbors < 1:
            raise ValueError(f"patchcore: score_neighbors must be at least 1, got {score_neighbors}")
        if sigma < 0:
            raise ValueError(f"patchcore: sigma must be at least 0 pixels, got {sigma}")
        self.teacher = teacher()
        self.mean, self.std = self.teacher.mean, self.teacher.std
        self.patches: Any = patches(self.teacher.channels)
        self.memory = memory(self.patches.out_channels)
        self.crop = crop
        self.score_neighbors = score_neighbors
        self.upsampling: Upsampling = upsampling
        self.sigma = sigma
        self.border: Border = border

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fill the memory from normal images (b, 3, h, w)."""
        self.memory.fit(self.features(images) for images in batches)

    def features(self, images: Tensor) -> Tensor:
        """Patch features of the crop of images (b, 3, h, w), normalised by the teacher's statistics: (b, c, h', w')."""
        for axis, side in zip("hw", images.shape[2:], strict=True):
            require("patchcore", axis, side, f">= {SMALLEST}")
        features: Tensor = self.patches(self.teacher(self._window(images).cut(images)))
        return features

    def detect(self, images: Tensor) -> Detection:
        """Scores and maps of images (b, 3, h, w); see `Detector.detect`."""
        vectors = self.features(images).permute(0, 2, 3, 1)
        b, h, w, _ = vectors.shape
        vectors = vectors.flatten(0, 2)
        far, numbers = self.memory.search(vectors, self.memory.neighbors)
        patches = far.mean(dim=1)
        per_image = patches.view(b, h * w)
        scores, worst = per_image.max(dim=1)
        if self.score_neighbors > 1:
            at = worst + h * w * torch.arange(b, device=worst.device)
            scores = scores * self._weight(vectors[at], numbers[at, 0])
        return Detection(scores, self._map(patches.view(b, h, w), self._window(images)))

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w), normalised by the teacher's statistics -> anomaly maps (b, h, w)."""
        maps = self.detect(images).maps
        assert maps is not None
        return maps

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """The teacher's features and the patch features; with a filled memory the score and the anomaly map too."""
        crop = self._window(images).cut(images)
        found = {"crop": crop, "teacher": self.teacher(crop), "patch features": self.features(images)}
        return {**found, **super().stages(images)} if len(self.memory.bank) else found

    def _window(self, images: Tensor) -> Window:
        """What is looked at."""
        return middle_part(images.shape[-2:], self.crop)

    def _weight(self, vectors: Tensor, nearest: Tensor) -> Tensor:
        """The weight (b,) of the paper's equation 7.

        Args:
            vectors: (b, c), the patch of each image that is farthest from the memory.
            nearest: (b,), the number of its nearest vector in the memory.
        """
        bank = self.memory.bank
        _, around = self.memory.search(bank[nearest], self.score_neighbors)
        far = (vectors.unsqueeze(1) - bank[around]).square().sum(dim=2)
        return 1 - F.softmax(far.sqrt() if self.memory.distance == "euclidean" else far, dim=1)[:, 0]

    def _map(self, patches: Tensor, window: Window) -> Tensor:
        """Distances (b, h', w') as maps (b, h, w) of the whole image."""
        maps = F.interpolate(patches.unsqueeze(1), window.size, mode=self.upsampling).squeeze(1)
        return window.uncut(gaussian_blur(maps, self.sigma, self.border))
