"""A detector with all that stands before and behind it: from raw pictures to a verdict."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.export.resizing import resized

INPUTS = ("pictures", "threshold")
OUTPUTS = ("score", "label", "map", "mask")


class PictureDetector(nn.Module):
    """Resizing, normalisation, the network, and its answer at the pictures' size and by a threshold.

    The same as `TrainedModel.predict` of each picture.

    Args:
        network: images (b, 3, height, width), normalised -> scores (b,), maps (b, h', w') or None.
        size: (height, width) of its images.
        mean, std: of each channel in [0, 1].
    """

    mean: Tensor
    std: Tensor

    def __init__(self, network: nn.Module, size: tuple[int, int], mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        self.size = size
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1))
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1))

    def forward(self, pictures: Tensor, threshold: Tensor) -> tuple[Tensor, ...]:
        """The outputs of a file: uint8 (b, h, w, 3) RGB and a float32 () -> those of `OUTPUTS`, the first two without
        maps: score (b,), label (b,), map (b, h, w), mask (b, h, w).
        """
        images = (resized(pictures, self.size) / 255 - self.mean) / self.std
        scores, maps = self.network(images)
        if maps is None:
            return scores, scores > threshold
        at = F.interpolate(maps.unsqueeze(1), (pictures.shape[1], pictures.shape[2]), mode="bilinear").squeeze(1)
        return scores, scores > threshold, at, at > threshold
