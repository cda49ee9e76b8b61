"""Thresholds of models that keep what they were fitted to come from images that they were fitted without."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from dlkd.data import Folder
from dlkd.models.detector import Detector
from dlkd.training import TrainConfig
from dlkd.training.data_module import CategoryData
from dlkd.training.held_out import held_out_range


class Seen(Detector):
    """Scores an image 0 if it was fitted to it, else 1; refuses to fit to fewer than `least`."""

    def __init__(self, least: int = 1) -> None:
        super().__init__()
        self.least = least
        self.register_buffer("bank", torch.zeros(0))

    def forward(self, images: Tensor) -> Tensor:
        far = (images.flatten(1)[:, None] - self.bank[None]).abs().amax(dim=2).amin(dim=1)
        return (far > 0).float()[:, None, None].expand(-1, 4, 4)

    def fit(self, batches: Iterable[Tensor]) -> None:
        images = torch.cat(list(batches))
        if len(images) < self.least:
            raise ValueError(f"seen: needs {self.least} images, got {len(images)}")
        self.bank = images.flatten(1)


@pytest.mark.parametrize(
    ("images", "least", "said"),
    [
        (6, 3, ""),
        (6, 4, "6 training images are too few to hold half of them out (seen: needs 4 images, got 3)"),
        (3, 1, "3 training images are too few to hold half of them out (half of them are fewer than two)"),
    ],
)
def test_held_out_range(
    tiny_folder: Path, caplog: pytest.LogCaptureFixture, images: int, least: int, said: str
) -> None:
    category = Folder(str(tiny_folder)).load("disc")
    model = Seen(least)
    data = CategoryData(
        replace(category, train=category.train[:images]), TrainConfig(image_size=32, batch_size=4), model, 0
    )
    with caplog.at_level(logging.WARNING, "dlkd"):
        found = held_out_range(model, data, 0)
    assert (found is None) == bool(said)
    assert said in caplog.text
    assert bool(caplog.text) == bool(said)
    assert found is None or found.threshold == 1.0  # of no image that a copy was fitted to
    assert model.bank.numel() == 0
