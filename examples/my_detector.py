"""A detector of your own: how far each patch's features are from the nearest that a normal image has.

Nothing is trained by gradient: `fit` keeps features of the normal training images. The row and a variant are in
`my_detector.yaml`. Check it, train it, and ablate it beside dlkd's own:

    dlkd check examples/my_detector.yaml --import examples/my_detector.py
    dlkd train nearest-patch --registry examples/my_detector.yaml --import examples/my_detector.py
    dlkd ablate grid.yaml --registry examples/my_detector.yaml --import examples/my_detector.py
"""

from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F
from torch import Tensor

from dlkd.contract import require
from dlkd.models import Detector, Teacher
from dlkd.registry import register


@register("model", "nearest_patch")
class NearestPatch(Detector):
    """Distance to the nearest of `kept` feature vectors, at the teacher's second scale.

    Args:
        teacher: class of the frozen backbone; its maps are brought to one size and laid on each other.
        kept: feature vectors of normal patches in the memory, drawn evenly.
    """

    frozen = ("teacher",)
    bank: Tensor

    def __init__(self, *, teacher: Callable[[], Teacher] = Teacher, kept: int = 2000) -> None:
        super().__init__()
        self.teacher = teacher()
        self.mean, self.std = self.teacher.mean, self.teacher.std
        self.kept = kept
        self.register_buffer("bank", torch.empty(0, sum(self.teacher.channels)))

    def patches(self, images: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, h/8, w/8, c)."""
        for axis, side in zip("hw", images.shape[2:], strict=True):
            require("nearest_patch", axis, side, ">= 32")
        features = self.teacher(images)
        size = features[1].shape[-2:]
        return torch.cat([F.interpolate(x, size, mode="bilinear") for x in features], dim=1).permute(0, 2, 3, 1)

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Keep some patches of normal images (b, 3, h, w)."""
        every = torch.cat([self.patches(images).flatten(0, 2) for images in batches])
        self.bank = every[torch.randperm(len(every))[: self.kept]]

    def forward(self, images: Tensor) -> Tensor:
        """(b, 3, h, w) -> (b, h/8, w/8); the harness brings maps to the images' size."""
        patches = self.patches(images).to(self.bank.dtype)
        # Not by products, whose rounding is as large as the distance of a patch to itself.
        far = torch.cdist(patches.flatten(1, 2), self.bank, compute_mode="donot_use_mm_for_euclid_dist")
        return far.amin(dim=2).unflatten(1, patches.shape[1:3])
