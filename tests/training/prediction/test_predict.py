"""Predictions: streamed scores, pictures that are left out, batches, maps, how good the alarm is."""

import csv
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlkd.data import DataError
from dlkd.registry import default_registry
from dlkd.training import TrialError, TrialSpec, load_model, read_result, run_trial
from dlkd.training.evaluate import Evaluation, alarm
from dlkd.training.prediction import pictures as pictures_module
from dlkd.training.prediction.find_images import find_images
from dlkd.training.trials.trial_result import Alarm

REGISTRY = default_registry()


@pytest.fixture(scope="module")
def trial(make_spec: Callable[..., TrialSpec], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished trial, to be read only."""
    folder = tmp_path_factory.mktemp("trained") / "trial"
    run_trial(make_spec(epochs=1), folder, REGISTRY)
    return folder


def rows(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((out / "scores.csv").read_text().splitlines()))


def test_batches_give_the_scores_of_single_images_and_maps_are_at_the_pictures_size(
    trial: Path, tiny_folder: Path, tmp_path: Path, predict_images: Callable[..., Any]
) -> None:
    trained = load_model(trial, REGISTRY)
    images = tiny_folder / "disc" / "test"
    for size, kind in ((1, "npy"), (3, "png16"), (50, None)):
        done = predict_images(
            trained, images, tmp_path / str(size), batch_size=size, overlays=False, maps=kind, threshold=0.5
        )
        assert (done.scored, done.broken, done.undrawn) == (7, 0, 0)
    one, three, all_ = (rows(tmp_path / str(size)) for size in (1, 3, 50))
    scores = [[float(row["score"]) for row in table] for table in (one, three, all_)]
    assert scores[1] == pytest.approx(scores[0], abs=2e-6)
    assert scores[2] == pytest.approx(scores[0], abs=2e-6)
    assert {row["threshold"] for row in one} == {"0.500000"}
    assert [row["anomalous"] == "1" for row in one] == [score > 0.5 for score in scores[0]]
    plain = np.load(tmp_path / "1/good/000.png.map.npy")
    assert plain.shape == (40, 32)
    assert plain.dtype == np.float32
    with Image.open(tmp_path / "3/good/000.png.map.png") as picture:
        levels = np.array(picture).astype(float)
    scale = json.loads((tmp_path / "3/good/000.png.map.json").read_text())
    back = scale["low"] + levels / 65535 * (scale["high"] - scale["low"])
    assert np.abs(back - plain).max() < 1e-4 * (plain.max() - plain.min()) + 1e-6


def test_a_picture_that_cannot_be_drawn_costs_its_overlay_alone(
    trial: Path,
    tiny_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    predict_images: Callable[..., Any],
) -> None:
    trained = load_model(trial, REGISTRY)
    calls = []

    def draw(path: Path, *_: object, **__: object) -> None:
        calls.append(path)
        if len(calls) == 2:
            raise RuntimeError("no font")
        if len(calls) == 6:
            raise KeyboardInterrupt

    monkeypatch.setattr(pictures_module, "save_prediction", draw)
    with pytest.raises(KeyboardInterrupt):
        predict_images(trained, tiny_folder / "disc/test", tmp_path / "out", batch_size=3)
    assert len(rows(tmp_path / "out")) == 6  # both batches that were scored, the second one's drawing cut


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_a_full_disk_names_the_scores(
    trial: Path, tiny_folder: Path, tmp_path: Path, predict_images: Callable[..., Any]
) -> None:
    trained = load_model(trial, REGISTRY)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/scores.csv").symlink_to("/dev/full")
    images = tiny_folder / "disc/test"
    with pytest.raises(OSError, match=r"No space left on device: '.*out/scores\.csv'"):
        predict_images(trained, images, tmp_path / "out", overlays=False)


def test_only_a_users_own_pictures_are_found(tmp_path: Path) -> None:
    for name in (
        "a.png", "below/b.JPG", ".hidden/c.png", ".d.png", "out/e.png", "earlier/f.png", "trial/g.png",
        "a.png.overlay.png", "a.png.map.png", "a.png.mask.png", "lines/i.png", "labelled/h.png", "overlay.png",
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    (tmp_path / "earlier/scores.csv").write_text("image,score,threshold,anomalous,overlay\n")
    (tmp_path / "lines/scores.jsonl").write_text('{"image": "a.png", "score": 1.0}\n')
    (tmp_path / "labelled/scores.csv").write_text("image,mine\n")
    (tmp_path / "trial/trial.yaml").write_text("")
    os.symlink(tmp_path, tmp_path / "below/loop")
    os.symlink(tmp_path / "below", tmp_path / "twin")
    os.symlink(tmp_path.parent, tmp_path / "up")
    found = [str(f.relative_to(tmp_path)) for f in find_images(tmp_path, tmp_path / "out")]
    assert found == ["a.png", "overlay.png", "below/b.JPG", "labelled/h.png"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no image found"):
        find_images(tmp_path / "empty", tmp_path)


def test_a_trial_that_is_not_finished_or_lacks_weights_says_so(trial: Path, tmp_path: Path) -> None:
    trial = Path(shutil.copytree(trial, tmp_path / "t"))
    (trial / "weights.safetensors").unlink()
    with pytest.raises(TrialError, match="without its weights"):
        load_model(trial, REGISTRY)
    (trial / "result.json").unlink()
    with pytest.raises(TrialError, match="not finished"):
        load_model(trial, REGISTRY)


@pytest.mark.parametrize(
    ("labels", "says"),
    [
        ([0, 0, 1, 1, 1], "at threshold 2: 2 of 3 defects found, 1 of 2 false alarms"),
        ([0, 0, 0, 0, 0], "at threshold 2: no defects to find, 3 of 5 false alarms"),
        ([1, 1, 1, 1, 1], "at threshold 2: 3 of 5 defects found, no normal images"),
        ([], "at threshold 2: no test images"),
    ],
)
def test_how_good_the_alarm_is_in_words(labels: list[int], says: str) -> None:
    scores = np.array([1, 3, 2, 4, 5], np.float32)[: len(labels)]
    found = Evaluation(scores, np.array(labels, np.int64), np.empty((len(labels), 2, 2), np.float32), None)
    assert str(alarm(found, 2.0)) == says


def test_the_result_keeps_alarm_and_where_the_threshold_comes_from(trial: Path) -> None:
    result = read_result(trial)
    assert isinstance(result.alarm, Alarm)
    assert (result.alarm.anomalous, result.alarm.normal, result.alarm.threshold) == (4, 3, result.normal.threshold)
    assert result.normal.origin.endswith("mean + 3 standard deviations of the scores of 6 normal training images")
    assert result.normal.proportions == pytest.approx(0.8)


def test_names_of_any_kind_are_scored_and_drawn(
    trial: Path, tiny_folder: Path, tmp_path: Path, predict_images: Callable[..., Any]
) -> None:
    picture = (tiny_folder / "disc/test/good/000.png").read_bytes()
    names = ["$.png", "$a$b_^%#.png", "[x] :x:.png", "划痕.png", 'two\nlines, "q".png', "<b>&|`.png"]
    names += [os.fsdecode(b"\xff.png"), "x" * 245 + ".png"]
    images = tmp_path / os.fsdecode(b"[in] \xfe$")
    images.mkdir()
    for name in names:
        (images / name).write_bytes(picture)
    trained = load_model(trial, REGISTRY)
    done = predict_images(trained, images, tmp_path / "out", maps="npy")
    assert (done.scored, done.broken, done.undrawn) == (len(names), 0, 0)
    assert len(list((tmp_path / "out").glob("*.overlay.png"))) == len(names)
    with (tmp_path / "out/scores.csv").open(newline="", encoding="utf-8") as table:
        found = [Path(row["image"]).name for row in csv.DictReader(table)]
    assert sorted(found) == sorted(name.encode("utf-8", "backslashreplace").decode() for name in names)
