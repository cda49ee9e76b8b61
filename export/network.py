"""A detector in the form in which its graph is made."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from dlkd.models.detector import Detector


class Network(nn.Module):
    """A detector whose call is `detect`."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        """Images (b, 3, h, w), normalised -> scores (b,) and maps (b, h', w')."""
        scores, maps = self.detector.detect(images)
        return scores, maps


def exportable(detector: Detector) -> nn.Module:
    """A copy in eval mode that can be exported: images (b, 3, h, w), normalised -> scores (b,), maps or None."""
    return Network(copy.deepcopy(detector).eval())
