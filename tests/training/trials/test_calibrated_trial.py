"""Trials whose threshold is for a wanted rate: from held out images in the training, or from others after it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dlkd.data import Folder
from dlkd.models.detector import Detection, Detector
from dlkd.registry import default_registry
from dlkd.training import TrainConfig, TrainedModel, TrialError, TrialSpec, load_model, read_result, run_trial
from dlkd.training.data_module import CategoryData
from dlkd.training.normal_images import range_after_training
from dlkd.training.prediction.calibrate import refuse_trained_on
from dlkd.training.thresholds.calibrate_config import Calibrate
from dlkd.training.thresholds.calibration import CalibrationError
from dlkd.training.trials.trial_folder import THRESHOLDS
from dlkd.training.trials.trial_spec import load_category

REGISTRY = default_registry()
MakeSpec = Callable[..., TrialSpec]


@pytest.fixture(scope="module")
def trained(make_spec: MakeSpec, tmp_path_factory: pytest.TempPathFactory) -> TrainedModel:
    """With three of six training images held out."""
    folder = tmp_path_factory.mktemp("calibrated") / "t"
    spec = make_spec(epochs=1, calibrate={"hold_out": 0.5, "false_alarm_rate": 0.25})
    run_trial(spec, folder, REGISTRY)
    return load_model(folder, REGISTRY)


@pytest.fixture
def copied(trained: TrainedModel, tmp_path: Path) -> TrainedModel:
    shutil.copytree(trained.folder, tmp_path / "t")
    return load_model(tmp_path / "t", REGISTRY)


def test_held_out_images_are_not_trained_on_and_give_the_threshold(trained: TrainedModel) -> None:
    category = load_category(trained.spec, REGISTRY)
    data = CategoryData(category, trained.spec.train, trained.detector, trained.spec.trial_seed)
    assert (len(data.train_set), len(data.held_set)) == (3, 3)
    assert {*data.train_set.samples, *data.held_set.samples} == set(category.train)
    assert sum(len(batch["index"]) for batch in data.train_dataloader()) == 3
    held = torch.stack([data.held_set[i]["image"] for i in range(3)])
    with torch.inference_mode():
        scores = trained.detector.detect(held).scores
    assert trained.threshold == pytest.approx(float(scores.max()) * 1.0001, rel=1e-5)
    assert trained.origin == (
        "the threshold lies just above score 3 of 3, in rising order, of normal training images that were held out: "
        "a new one like them is a false alarm with a probability of 0.25 at most; false-alarm rate 0.25 (95% interval "
        "0.0084 to 0.71, from 3 images)"
    )


def test_without_it_a_trial_is_as_before(make_spec: MakeSpec) -> None:
    spec = make_spec()
    assert "calibrate" not in spec.identity({})["train"]
    other = make_spec(calibrate={})
    assert other.identity({})["train"]["calibrate"] == {"hold_out": 0.2, "false_alarm_rate": 0.05}


def test_too_few_images_end_a_trial_before_it_begins(make_spec: MakeSpec, tmp_path: Path) -> None:
    with pytest.raises(TrialError, match=r"train\.calibrate: tiny\d*/disc: of 6 training images, 1 normal training"):
        run_trial(make_spec(calibrate={}), tmp_path / "t", REGISTRY)
    assert not (tmp_path / "t").exists()


class Bank(Detector):
    """Scores an image by its distance from the nearest that it was fitted to."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("bank", torch.zeros(0))

    def detect(self, images: torch.Tensor) -> Detection:
        return Detection(torch.cdist(images.flatten(1), self.bank).amin(dim=1), None)

    def fit(self, batches) -> None:
        self.bank = torch.cat([images.flatten(1) for images in batches])


def test_held_out_images_are_no_part_of_a_memory_bank(tiny_folder: Path) -> None:
    config = TrainConfig(image_size=32, batch_size=2, calibrate=Calibrate(hold_out=0.5, false_alarm_rate=0.5))
    model = Bank()
    data = CategoryData(Folder(str(tiny_folder)).load("disc"), config, model, 0)
    model.fit(data.train_batches(torch.device("cpu")))
    assert len(model.bank) == 3
    scores = model.detect(torch.stack([data.held_set[i]["image"] for i in range(3)])).scores
    assert scores.min() > 0
    found = range_after_training(model, data)
    assert found.threshold == pytest.approx(float(scores.sort().values[1]) * 1.0001, rel=1e-5)
    assert found.images == 3


def test_a_threshold_after_the_training_is_used_and_the_earlier_ones_are_kept(
    copied: TrainedModel, tiny_folder: Path
) -> None:
    normal, square = tiny_folder / "disc/test/good", tiny_folder / "disc/test/square"
    scores = [each.score for each in copied.predict(normal)]
    chosen = copied.calibrate(normal, square, false_alarm_rate=0.25)
    assert chosen.threshold == pytest.approx(max(scores) * 1.0001, rel=1e-5) != copied.threshold
    assert not (copied.folder / THRESHOLDS).exists()
    assert chosen.predict(normal / "000.png").threshold == chosen.threshold
    kept = chosen.calibrate(anomalous=list(square.iterdir()), recall=0.8, source="test images", keep=True)
    found = min(each.score for each in copied.predict(square))
    assert kept.threshold == pytest.approx(found * 0.9999, rel=1e-5) != chosen.threshold
    again = load_model(copied.folder, REGISTRY)
    assert (again.threshold, again.origin) == (kept.threshold, kept.origin)
    assert "just below score 1 of 4, in rising order, of anomalous test images: one more of them" in again.origin
    assert read_result(copied.folder).normal.threshold == copied.threshold
    kept.calibrate(normal, false_alarm_rate=0.5, keep=True)
    held = json.loads((copied.folder / THRESHOLDS).read_text(encoding="utf-8"))
    assert [each["calibration"]["goal"] for each in held] == ["recall", "false_alarm_rate"]
    assert held[0]["threshold"] == kept.threshold

    longer = copied.spec.model_copy(update={"train": copied.spec.train.model_copy(update={"epochs": 2})})
    run_trial(longer, copied.folder, REGISTRY, resume=True)
    assert not (copied.folder / THRESHOLDS).exists()  # of other weights


def test_a_broken_file_says_how_to_go_on(copied: TrainedModel) -> None:
    (copied.folder / THRESHOLDS).write_text("{", encoding="utf-8")
    with pytest.raises(TrialError, match=r"thresholds\.json cannot be read.*delete it to go back to the threshold of"):
        load_model(copied.folder, REGISTRY)


def test_what_cannot_give_a_threshold_is_refused(copied: TrainedModel, tiny_folder: Path) -> None:
    normal = tiny_folder / "disc/test/good"
    for rates in ({}, {"recall": 0.5, "false_alarm_rate": 0.5}):
        with pytest.raises(CalibrationError, match="name one aim"):
            copied.calibrate(normal, normal, **rates)
    with pytest.raises(CalibrationError, match=r"3 normal pictures in .*good are too few for a false alarm rate"):
        copied.calibrate(normal, false_alarm_rate=0.1)
    with pytest.raises(CalibrationError, match="there are no anomalous pictures"):
        copied.calibrate(normal, recall=0.5)
    with pytest.raises(CalibrationError, match="3 of 6 normal pictures are among those that the model was trained on"):
        refuse_trained_on(copied.spec, REGISTRY, tiny_folder / "disc/train/good")
    refuse_trained_on(copied.spec, REGISTRY, normal)
    tiles = copied.spec.model_copy(update={"dataset": {"name": "tiles", "size": 32}})
    with pytest.raises(CalibrationError, match="trained on tiles"):
        replace(copied, spec=tiles).calibrate(normal, false_alarm_rate=0.25)


def test_raw_scores_are_never_clamped(copied: TrainedModel, tiny_folder: Path) -> None:
    """A score keeps its scale, however far it lies from the threshold."""
    detect = copied.detector.detect

    def far(images: torch.Tensor) -> Detection:
        found = detect(images)
        return Detection(found.scores * 1e6 - 5e5, None if found.maps is None else found.maps * -1e6)

    copied.detector.detect = far  # type: ignore[method-assign]
    picture = tiny_folder / "disc/test/good/000.png"
    found = copied.predict(picture)
    copied.detector.detect = detect  # type: ignore[method-assign]
    plain = copied.predict(picture)
    assert found.score == pytest.approx(plain.score * 1e6 - 5e5, rel=1e-5)
    np.testing.assert_allclose(found.map, plain.map * -1e6, rtol=1e-4)
    assert replace(found, score=-7.25).score == -7.25
