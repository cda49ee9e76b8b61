"""A trained model in Python: one picture however it is given, the numbers of `dlkd predict`, and training again."""

import csv
import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import dlkd
from dlkd.data import DataError
from dlkd.registry import default_registry
from dlkd.scoring.models import OfTrial
from dlkd.training import TrialSpec, read_result, run_trial

TEACHER = {"backbone": "test_resnet", "weights": "random"}


@pytest.fixture(scope="module")
def model(make_spec: Callable[..., TrialSpec], tmp_path_factory: pytest.TempPathFactory) -> dlkd.TrainedModel:
    folder = tmp_path_factory.mktemp("trained") / "trial"
    run_trial(make_spec(epochs=1), folder, default_registry())
    return dlkd.load_model(folder)


def test_a_folder_gives_the_numbers_of_the_command_to_the_last_digit(
    model: dlkd.TrainedModel, tiny_folder: Path, tmp_path: Path, predict_images: Callable[..., Any]
) -> None:
    images = tiny_folder / "disc" / "test"
    predict_images(model, images, tmp_path, overlays=False, maps="npy")
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    found = model.predict(images)
    assert len(found) == len(rows) == 7
    for row, one in zip(rows, found, strict=True):
        assert row["image"] == str(one.picture)
        assert (row["score"], row["threshold"]) == (f"{one.score:.6f}", f"{one.threshold:.6f}")
        assert row["anomalous"] == str(int(one.label == "anomalous"))
        assert one.map is not None
        assert one.map.shape == one.size == (40, 32)
        assert (one.map == np.load(tmp_path / f"{Path(row['image']).relative_to(images)}.map.npy")).all()
    frame = found.to_frame()
    assert frame["score"].tolist() == [one.score for one in found]
    assert list(frame.columns) == ["picture", "score", "threshold", "label"]
    assert model.threshold == read_result(model.folder).normal.threshold == found.to_frame()["threshold"][0]


def test_one_picture_is_the_same_as_a_file_a_picture_of_pillows_and_an_array(
    model: dlkd.TrainedModel, tiny_folder: Path, tmp_path: Path
) -> None:
    path = tiny_folder / "disc/test/square/000.png"
    pixels = np.array(Image.open(path))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(np.rot90(pixels)).save(tmp_path / "turned.png", exif=exif)
    alpha = np.dstack([pixels, np.full(pixels.shape[:2], 7, np.uint8)])
    given: list[Any] = [path, str(path), Image.open(path), pixels, Image.open(tmp_path / "turned.png"), alpha]
    given += [tmp_path / "turned.png", Image.fromarray(pixels).convert("P", palette=Image.Palette.ADAPTIVE)]
    *same, palette = map(model.predict, given)
    for one in same:
        assert one.score == same[0].score
        assert (one.map == same[0].map).all()
    assert palette.score != same[0].score
    grey = pixels[..., 0]
    assert model.predict(grey).score == model.predict(Image.fromarray(grey)).score
    deep = Image.fromarray(grey.astype(np.uint16) * 257)
    deep.save(tmp_path / "deep.png")
    assert model.predict(deep).score == model.predict(tmp_path / "deep.png").score == model.predict(grey).score
    assert same[0].overlay().shape == pixels.shape
    assert model.predict(path, threshold=-1e9).label == "anomalous"
    assert model.predict(path, threshold=1e9).label == "normal"


def test_pictures_of_other_proportions_are_named_in_one_warning(model: dlkd.TrainedModel) -> None:
    wide, same = np.zeros((20, 40, 3), np.uint8), np.zeros((40, 32, 3), np.uint8)
    with pytest.warns(UserWarning, match=r"1 of 1 pictures have other proportions than .* 0\.80, theirs is 2\.00"):
        model.predict(wide)
    with pytest.warns(UserWarning, match="2 of 3 pictures have other proportions"):
        model.predict([wide, same, wide])
    model.predict(same)


def test_a_model_that_was_trained_on_tiles_says_their_size(model: dlkd.TrainedModel) -> None:
    tiles = {"name": "tiles", "root": "rolls", "size": 48, "overlap": 0.0}
    of_tiles = dataclasses.replace(model, spec=model.spec.model_copy(update={"dataset": tiles}))
    assert of_tiles.tile == OfTrial(of_tiles).tile == (48, 48)
    assert model.tile is None


def test_several_pictures_take_the_memory_of_one_batch(
    model: dlkd.TrainedModel, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = sorted((tiny_folder / "disc/test/good").glob("*.png"))
    sizes = []
    detect = model.detector.detect

    def counted(images: torch.Tensor) -> Any:
        sizes.append(len(images))
        return detect(images)

    monkeypatch.setattr(model.detector, "detect", counted)
    found = model.predict([*paths, Image.open(paths[0])], batch_size=2)
    assert sizes == []
    assert next(iter(found)).picture == paths[0]
    assert sizes == [2]
    assert found.to_frame()["picture"].tolist() == [*map(str, paths), 3]
    assert sizes == [2, 2, 2]


@pytest.mark.parametrize(
    ("given", "kind", "says"),
    [
        ("no.png", DataError, "no.png: no such file"),
        (torch.zeros(3, 8, 8), ValueError, "got a Tensor; a tensor (3, h, w) is .permute(1, 2, 0).numpy()"),
        (np.zeros((8, 8, 3)), ValueError, "got float64: give grey levels from 0 to 255 as uint8"),
        (np.zeros((2, 8, 8, 3), np.uint8), ValueError, "got the shape (2, 8, 8, 3); give several pictures as a list"),
        (np.zeros((3, 8, 8), np.uint8), ValueError, "got the shape (3, 8, 8)"),
        (None, ValueError, "got a NoneType"),
    ],
)
def test_what_is_no_picture_is_named(
    model: dlkd.TrainedModel, given: Any, kind: type[Exception], says: str, tmp_path: Path
) -> None:
    with pytest.raises(kind, match=re.escape(says)):
        model.predict(given)


def test_a_damaged_picture_is_an_error_at_its_turn(model: dlkd.TrainedModel, tiny_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "b.png").write_bytes(b"no picture")
    whole = tiny_folder / "disc/test/good/000.png"
    turns = iter(model.predict([whole, tmp_path / "b.png"]))
    assert next(turns).picture == whole
    with pytest.raises(DataError, match=r"b\.png: not a picture"):
        next(turns)


def test_train_gives_the_model_reads_it_again_and_trains_on(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: dict[str, Any] = {"dataset": tiny_folder, "image_size": 32, "batch_size": 3, "preset": "paper"}

    def train(steps: int, **more: Any) -> dlkd.TrainedModel:
        return dlkd.train("dlkd-lfrb", **{**asked, "steps": steps, "overrides": {"teacher": TEACHER}, **more})

    model = train(2)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("training dlkd-lfrb on ") == 1
    assert "100% of the steps done" in shown.err
    assert model.spec.train.max_steps == 2
    assert 0 <= model.metrics["image_auroc"] <= 1
    assert f"{model!r}".endswith("/disc, seed 0; in " + str(model.folder) + ")")
    written = (model.folder / "result.json").stat().st_mtime_ns
    assert train(2, progress=False).predict(tiny_folder / "disc/test/good/000.png").score > 0
    assert capsys.readouterr() == ("", "")
    assert (model.folder / "result.json").stat().st_mtime_ns == written
    assert train(4).spec.train.max_steps == 4
    with pytest.raises(ValueError, match="holds a trial already"):
        train(4, resume=False)


@pytest.mark.parametrize(
    ("variant", "asked", "says"),
    [
        ("dkld", {}, "unknown variant 'dkld'; did you mean 'dlkd'?"),
        ("dlkd", {"dataset": "texturs"}, "did you mean 'textures'?"),
        ("dlkd", {}, "textures has several categories; name one with --category (category=): brick, grass, gravel"),
        ("dlkd", {"training": {"epoch": 3}}, "epoch: unknown key; did you mean 'epochs'?"),
        ("dlkd", {"overrides": {"sigm": 3}}, "did you mean 'sigma'?"),
        ("dlkd", {"preset": "tiny"}, "unknown preset 'tiny'"),
    ],
)
def test_what_train_cannot_do_is_named(variant: str, asked: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        dlkd.train(variant, **asked)


def test_variants_are_filtered_and_built() -> None:
    assert dlkd.list_variants("dlkd-*") == [name for name in dlkd.list_variants() if name.startswith("dlkd-")]
    assert dlkd.list_variants("gfrb") == [name for name in dlkd.list_variants() if "gfrb" in name]
    assert dlkd.list_variants("dlk") == dlkd.list_variants("dlk*") != []
    assert dlkd.list_variants("nothing like it") == []
    small = {"teacher": TEACHER, "decoder": {"global": None}}
    one, other = dlkd.create_model("dlkd", small), dlkd.create_model("dlkd", decoder={"global": None}, teacher=TEACHER)
    assert {k: v.shape for k, v in one.state_dict().items()} == {k: v.shape for k, v in other.state_dict().items()}
    assert len(one.state_dict()) < len(dlkd.create_model("dlkd", {"teacher": TEACHER}).state_dict())
