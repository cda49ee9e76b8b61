from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dlkd.data import (
    BTAD,
    ELPV,
    Category,
    DataError,
    Folder,
    MVTecLOCO,
    Sample,
    Textures,
    VisA,
    read_mask,
    write_folder,
)


@pytest.mark.parametrize(
    ("maker", "tree"),
    [(BTAD, "btad_tree"), (MVTecLOCO, "loco_tree"), (VisA, "visa_tree"), (ELPV, "elpv_tree")],
)
def test_any_dataset_becomes_a_folder_with_the_same_samples(
    maker, tree: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    dataset = maker(request.getfixturevalue(tree))
    copy = Folder(write_folder(dataset, tmp_path / "out"))
    assert copy.categories() == dataset.categories()
    for name in copy.categories():
        before, after = dataset.load(name), copy.load(name)
        assert after.has_masks == before.has_masks
        for split in ("train", "test"):
            old, new = (sorted(getattr(c, split), key=lambda s: (s.defect, s.image.name)) for c in (before, after))
            assert [(s.label, s.defect) for s in new] == [(s.label, s.defect) for s in old]
            for a, b in zip(old, new, strict=True):
                assert a.image.read_bytes() == b.image.read_bytes()
                if a.mask is not None:
                    np.testing.assert_array_equal(read_mask(a.mask), read_mask(b.mask))


def test_textures_and_one_category_only(tmp_path: Path) -> None:
    dataset = Textures(tmp_path / "made", size=48, train=2, test_good=1, test_per_defect=1)
    copy = Folder(write_folder(dataset, tmp_path / "out", categories=["grass"]))
    assert copy.categories() == ("grass",)
    assert len(copy.load("grass").test) == 5


def test_nothing_is_overwritten_and_nothing_is_left_by_a_failure(btad_tree: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "mine.txt").write_text("x")
    with pytest.raises(DataError, match=r"not an empty folder.*holds mine.txt"):
        write_folder(BTAD(btad_tree), target)
    (btad_tree / "03/test/ko/0000.bmp").unlink()
    with pytest.raises(DataError, match="mask without its image"):
        write_folder(BTAD(btad_tree), tmp_path / "new")
    assert sorted(p.name for p in tmp_path.iterdir()) == [btad_tree.name, "out"]


def test_two_images_of_one_name(btad_tree: Path, tmp_path: Path) -> None:
    category = BTAD(btad_tree).load("01")

    class Twice:
        def categories(self) -> tuple[str, ...]:
            return ("01",)

        def load(self, name: str):
            return type(category)("x", name, category.train * 2, ())

    with pytest.raises(DataError, match="a second image named"):
        write_folder(Twice(), tmp_path / "out")


@pytest.mark.parametrize(("name", "defect"), [("../up", "good"), ("a", "../up"), ("a", "b/c")])
def test_a_dataset_never_writes_outside_of_the_folder(
    tmp_path: Path, tiny_folder: Path, name: str, defect: str
) -> None:
    class Astray:
        def categories(self) -> tuple[str, ...]:
            return (name,)

        def load(self, category: str) -> Category:
            return Category("astray", category, (Sample(tiny_folder / "disc/train/good/000.png", 0, defect),), ())

    with pytest.raises(DataError, match=r"is no name of a folder"):
        write_folder(Astray(), tmp_path / "out" / "x")
    assert not list(tmp_path.rglob("up"))
