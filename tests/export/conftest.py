"""A model that is exported in a second."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import Tensor

from dlkd.data import Folder
from dlkd.models.detector import Detection, Detector
from dlkd.training import TrainConfig, TrainedModel, TrialResult, TrialSpec
from dlkd.training.trials.trial_result import METRICS, Alarm, NormalRange


class Toy(Detector):
    """Maps at half the image's size; `maps` false leaves them out."""

    mean, std = (0.4, 0.5, 0.6), (0.2, 0.3, 0.1)

    def __init__(self, maps: bool = True) -> None:
        super().__init__()
        self.maps = maps
        self.first = torch.nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.second = torch.nn.Conv2d(8, 8, 3, padding=1)

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.second(self.first(images).relu()).abs().mean(dim=1)
        return made

    def detect(self, images: Tensor) -> Detection:
        maps = self(images)
        return Detection(self.score(maps), maps if self.maps else None)


@pytest.fixture(scope="session")
def toy(tiny_folder: Path) -> TrainedModel:
    """On the tiny folder, at 32 x 36 pixels, with a threshold among the scores of its test images."""
    torch.manual_seed(0)
    detector = Toy().eval()
    spec = TrialSpec(
        variant="toy", model={"name": "toy"}, dataset={"name": "folder", "root": str(tiny_folder)}, category="disc",
        train=TrainConfig(image_size=(32, 36)),
    )  # fmt: skip
    result = TrialResult(
        dict.fromkeys(METRICS, float("nan")), {}, {}, [], NormalRange(0.5, 1.0, 6, 0.8), Alarm(1.0, 0, 0, 0, 0)
    )
    trained = TrainedModel(Path("toy"), spec, detector, result)
    scores = [each.score for each in trained.predict([s.image for s in Folder(tiny_folder).load("disc").test])]
    normal = NormalRange(0.5, sum(scores) / len(scores), 6, 0.8)
    result.metrics["image_auroc"] = 1.0
    return TrainedModel(Path("toy"), spec, detector, TrialResult(result.metrics, {}, {}, [], normal, result.alarm))
