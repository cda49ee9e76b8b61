"""The contract of every registered dataset."""

from __future__ import annotations

import os
import random
import shutil
from pathlib import Path

import pytest

from dlkd.data import (
    BTAD,
    ELPV,
    DataError,
    Dataset,
    Folder,
    MVTec,
    MVTecAD2,
    MVTecLOCO,
    Textures,
    Tiles,
    VisA,
    read_image,
    read_mask,
)
from dlkd.registry import get, list_components

# name: class, fixture with its folder, categories, (train, normal, anomalous) of each, masks or none
DATASETS = {
    "folder": (Folder, "mvtec_tree", ("bottle", "tile"), (3, 2, 4), True),
    "mvtec": (MVTec, "mvtec_tree", ("bottle", "tile"), (3, 2, 4), True),
    "btad": (BTAD, "btad_tree", ("01", "02", "03"), (3, 2, 2), True),
    "mvtec_loco": (MVTecLOCO, "loco_tree", ("pushpins",), (3, 3, 6), True),
    "mvtec_ad2": (MVTecAD2, "ad2_tree", ("can", "vial"), (3, 2, 2), True),
    "visa": (VisA, "visa_tree", ("candle", "pcb1"), (3, 2, 2), True),
    "elpv": (ELPV, "elpv_tree", ("mono", "poly"), (9, 3, 4), False),
    "tiles": (Tiles, "mvtec_tree", ("bottle", "tile"), (3, 2, 4), True),
    "textures": (Textures, "tmp_path", ("brick", "grass", "gravel"), (60, 20, 40), True),
}
FROM_A_PATH = [name for name in DATASETS if name != "textures"]


def _is_ours(name: str) -> bool:
    return get("dataset", name).__module__.startswith("dlkd.data.")


@pytest.fixture(params=DATASETS)
def case(request: pytest.FixtureRequest) -> tuple[str, Dataset]:
    maker, fixture, *_ = DATASETS[request.param]
    return request.param, maker(request.getfixturevalue(fixture))


def test_every_dataset_of_the_package_is_under_the_contract() -> None:
    assert {name for name in list_components("dataset") if _is_ours(name)} == set(DATASETS)
    for name, (maker, *_) in DATASETS.items():
        assert get("dataset", name) is maker
        assert maker.name == name


def test_contract(case: tuple[str, Dataset]) -> None:
    name, dataset = case
    _, _, categories, counts, has_masks = DATASETS[name]
    assert dataset.categories() == categories
    for category_name in categories:
        category = dataset.load(category_name)
        assert (category.dataset, category.name) == (name, category_name)
        normal = [s for s in category.test if s.label == 0]
        assert (len(category.train), len(normal), len(category.anomalies)) == counts
        assert category.has_masks is has_masks
        paths = [s.image for s in (*category.train, *category.test)]
        assert len(set(paths)) == len(paths), "a picture is used twice"
        for sample in (*category.train, *normal):
            assert (sample.label, sample.defect, sample.mask) == (0, "good", None)
        for sample in category.anomalies:
            assert sample.label == 1
            assert sample.defect != "good"
            assert (sample.mask is not None) is has_masks
        for sample in (category.train[0], normal[0], category.anomalies[0], category.anomalies[-1]):
            picture = read_image(sample.image)
            if sample.mask is not None:
                mask = read_mask(sample.mask)
                assert mask.shape == picture.shape[:2]
                assert mask.any()


@pytest.mark.parametrize("name", FROM_A_PATH)
def test_the_order_does_not_come_from_the_file_system(
    name: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker, fixture, categories, *_ = DATASETS[name]
    dataset = maker(request.getfixturevalue(fixture))
    before = [dataset.load(category) for category in categories]
    listdir, iterdir = os.listdir, Path.iterdir

    def shuffled(entries: list) -> list:
        random.Random(4).shuffle(entries)
        return entries

    monkeypatch.setattr(os, "listdir", lambda path=".": shuffled(listdir(path)))
    monkeypatch.setattr(Path, "iterdir", lambda path: iter(shuffled(list(iterdir(path)))))
    assert dataset.categories() == categories
    assert [dataset.load(category) for category in categories] == before


@pytest.mark.parametrize("name", FROM_A_PATH)
def test_a_wrong_path_says_what_was_looked_for_and_what_is_there(name: str, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    (wrong / "holiday").mkdir(parents=True)
    dataset = DATASETS[name][0](wrong)
    with pytest.raises(DataError, match=r"looked for .*\n?.*holiday/"):
        dataset.load(dataset.categories()[0])
    shutil.rmtree(wrong)
    with pytest.raises(DataError, match="does not exist"):
        dataset.load(dataset.categories()[0])


def test_an_unknown_category_names_the_nearest(case: tuple[str, Dataset]) -> None:
    name, dataset = case
    known = DATASETS[name][2]
    typo = known[0] + "x"
    with pytest.raises(DataError, match=f"unknown category '{typo}'; did you mean '{known[0]}'"):
        dataset.load(typo)
