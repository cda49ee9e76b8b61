"""The same trial: by what decides its result, wherever that lies."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import yaml
from PIL import Image
from safetensors.torch import save_file

from dlkd.registry import default_registry
from dlkd.training import TrialError, TrialSpec, read_trial, run_trial

MakeSpec = Callable[..., TrialSpec]
REGISTRY = default_registry()


def identity(spec: TrialSpec) -> dict[str, Any]:
    return spec.identity(spec.contents(REGISTRY))


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    path = tmp_path / "w.safetensors"
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), path)
    return path


def at(spec: TrialSpec, root: Path) -> TrialSpec:
    return spec.model_copy(update={"dataset": REGISTRY.complete("dataset", {"name": "folder", "root": str(root)})})


def test_the_place_of_the_data_the_variants_name_and_place_only_arguments_do_not_count(
    make_spec: MakeSpec, tiny_folder: Path, tmp_path: Path
) -> None:
    spec = make_spec(epochs=1)
    first = run_trial(spec, tmp_path / "t", REGISTRY)
    shutil.copytree(tiny_folder, tmp_path / "moved")
    moved = at(make_spec(epochs=1, workers=1, checkpoint_seconds=9.0), tmp_path / "moved")
    moved = moved.model_copy(update={"variant": "another name"})
    assert identity(moved) == identity(spec)
    assert run_trial(moved, tmp_path / "t", REGISTRY, resume=True) == first
    assert read_trial(tmp_path / "t") == moved  # evaluate and predict look for the data where they are now


@pytest.mark.parametrize("changed", ["train/good/000.png", "test/square/000.png", "ground_truth/square/000_mask.png"])
def test_changed_data_are_another_trial(make_spec: MakeSpec, tiny_folder: Path, tmp_path: Path, changed: str) -> None:
    root = tmp_path / "data"
    shutil.copytree(tiny_folder, root)
    spec = at(make_spec(epochs=1), root)
    before = spec.contents(REGISTRY)
    run_trial(spec, tmp_path / "t", REGISTRY, contents=before)
    with Image.open(root / "disc" / changed) as picture:
        picture.load()
        picture.putpixel((0, 0), 255 if picture.mode == "L" else (1, 2, 3))
        picture.save(root / "disc" / changed)
    with pytest.raises(TrialError, match=r"dataset differ \(the data changed\)"):
        run_trial(spec, tmp_path / "t", REGISTRY, resume=True)
    with pytest.raises(TrialError, match="the data changed since this run began"):
        run_trial(spec, tmp_path / "u", REGISTRY, contents=before)
    assert not (tmp_path / "u").exists()


def test_a_folder_of_textures_counts_by_its_contents(make_spec: MakeSpec, tmp_path: Path) -> None:
    def spec(folder: Path) -> TrialSpec:
        source = {"name": "folder", "path": str(folder)}
        return make_spec(epochs=0, overrides={"pseudo_anomaly": {"name": "pasted_texture", "source": source}})

    def digests(folder: Path) -> dict[str, str]:
        return {key: digest for key, digest in spec(folder).contents(REGISTRY, "data").items() if key != "data"}

    textures = tmp_path / "dtd"
    (textures / "banded").mkdir(parents=True)
    Image.new("RGB", (8, 8), "red").save(textures / "banded" / "a.png")
    before = digests(textures)
    assert list(before) == ["pseudo_anomaly.source.path"]
    moved = shutil.copytree(textures, tmp_path / "moved")
    (moved / ".DS_Store").touch()  # hidden files are no textures
    assert digests(moved) == before
    Image.new("RGB", (8, 8), "blue").save(moved / "banded" / "a.png")
    changed = digests(moved)
    assert changed != before
    (moved / "banded" / "a.png").rename(moved / "b.png")  # another order is another training
    assert digests(moved) not in (before, changed)


def test_a_file_of_weights_counts_by_its_contents(make_spec: MakeSpec, weights: Path, tmp_path: Path) -> None:
    def spec(path: Path) -> TrialSpec:
        return make_spec(epochs=0, overrides={"teacher": {"backbone": "test_resnet", "weights": str(path)}})

    run_trial(spec(weights), tmp_path / "t", REGISTRY)
    copy = shutil.copy(weights, tmp_path / "copy.safetensors")
    assert identity(spec(Path(copy))) == identity(spec(weights))
    run_trial(spec(Path(copy)), tmp_path / "t", REGISTRY, resume=True)
    save_file(timm.create_model("test_resnet", pretrained=False).state_dict(), weights)  # others
    with pytest.raises(TrialError, match=r"model differ \(the contents of model.teacher.weights changed\)"):
        run_trial(spec(weights), tmp_path / "t", REGISTRY, resume=True)
    with pytest.raises(TrialError, match=r"model.teacher.weights a file's contents -> random"):
        run_trial(make_spec(epochs=0), tmp_path / "t", REGISTRY, resume=True)


def test_what_differs_is_said(make_spec: MakeSpec, tmp_path: Path) -> None:
    run_trial(make_spec(epochs=0), tmp_path / "t", REGISTRY)
    with pytest.raises(
        TrialError, match=r"seed, train differ \(.*train.batch_size 4 -> 3.*seed 0 -> 1.*\); name another"
    ):
        run_trial(make_spec(epochs=0, batch_size=3, seed=1), tmp_path / "t", REGISTRY, resume=True)
    for broken in ("", "[1", "a: b", "\0"):
        (tmp_path / "t" / "trial.yaml").write_text(broken)
        with pytest.raises(TrialError, match=r"trial\.yaml cannot be read"):
            run_trial(make_spec(epochs=0), tmp_path / "t", REGISTRY, resume=True)


def test_two_ways_to_write_one_image_size_are_one(make_spec: MakeSpec) -> None:
    assert identity(make_spec(image_size=64)) == identity(make_spec(image_size=(64, 64)))


def test_the_spec_on_disk_says_where_the_data_lie(make_spec: MakeSpec, tiny_folder: Path, tmp_path: Path) -> None:
    run_trial(make_spec(epochs=0), tmp_path / "t", REGISTRY)
    assert yaml.safe_load((tmp_path / "t" / "trial.yaml").read_text())["dataset"]["root"] == str(tiny_folder)
