from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.data import BTAD, DataError, Dataset, Folder, MVTec, MVTecAD2, MVTecLOCO, VisA, inspect_dataset
from dlkd.data import digest as digests
from dlkd.data import verify as module
from dlkd.data.verify import verify


@pytest.fixture(autouse=True)
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(digests, "_RACY", -(10**12))


def test_all_damaged_files_are_in_one_error(mvtec_tree: Path, write) -> None:
    bottle = mvtec_tree / "bottle"
    (bottle / "train/good/002.png").write_bytes(b"")
    whole = (bottle / "test/good/001.png").read_bytes()
    (bottle / "test/good/001.png").write_bytes(whole[: len(whole) // 2])
    (bottle / "test/blob/000.png").unlink()
    (bottle / "test/blob/000.png").symlink_to("nowhere.png")
    write(bottle / "ground_truth/crack/001_mask.png", size=8, mask=True)
    (bottle / "ground_truth/crack/000_mask.png").write_bytes(b"x" * 99)
    with pytest.raises(DataError, match=r"category bottle: damaged files \(5 in all\)") as caught:
        verify(Folder(mvtec_tree).load("bottle"))
    assert len(caught.value.problems) == 5
    for name in ("train/good/002", "good/001", "blob/000", "crack/001_mask", "crack/000_mask"):
        assert f"{name}.png" in str(caught.value)


def test_a_second_look_decodes_nothing_until_a_file_changes(mvtec_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    category = Folder(mvtec_tree).load("tile")
    told: list[tuple[int, int]] = []
    assert verify(category, progress=lambda *done: told.append(done)) == ()
    assert told == [(i, 9) for i in range(1, 10)]
    verify(category, progress=lambda *done: pytest.fail("decoded again"))
    category.test[3].image.write_bytes(b"no picture")
    with pytest.raises(DataError, match="not a picture"):
        verify(category)
    monkeypatch.setattr(module, "VERSION", "of another reader")
    with pytest.raises(DataError, match="not a picture"):
        verify(category)


def test_what_was_changed_to_read_is_counted_and_said_again(mvtec_tree: Path) -> None:
    tile = mvtec_tree / "tile"
    for name in ("000", "001"):
        Image.fromarray(np.full((16, 16), 4000, np.uint16)).save(tile / f"train/good/{name}.png")
    Image.fromarray(np.full((16, 16, 4), 90, np.uint8)).save(tile / "test/good/000.png")
    Image.fromarray(np.full((16, 16), 255, np.uint8)).save(tile / "ground_truth/crack/000_mask.png")
    category = Folder(mvtec_tree).load("tile")
    notes = verify(category)
    said = ("2 of 9 images: 16 bit without", "1 of 9 images: transparency is dropped", "1 of 4 masks: more than half")
    for wanted in said:
        assert any(note.startswith(wanted) for note in notes), notes
    assert verify(category) == notes
    report = str(inspect_dataset(Folder(mvtec_tree), categories=["tile"]))
    assert "note: 2 images: 16 bit without" in report
    assert "note: 1 masks: more than half of the image is marked (inverted?)" in report


LAYOUTS: dict[str, tuple[type[Dataset], str, str, str]] = {
    "folder": (Folder, "mvtec_tree", "tile", "train/good"),
    "mvtec": (MVTec, "mvtec_tree", "tile", "test/crack"),
    "btad": (BTAD, "btad_tree", "02", "test/ko"),
    "mvtec_loco": (MVTecLOCO, "loco_tree", "pushpins", "ground_truth/logical_anomalies/000"),
    "mvtec_ad2": (MVTecAD2, "ad2_tree", "vial", "test_public/bad"),
    "visa": (VisA, "visa_tree", "pcb1", "Data/Images/Normal"),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_what_is_passed_over_is_counted(name: str, request: pytest.FixtureRequest, write) -> None:
    maker, fixture, category, place = LAYOUTS[name]
    dataset = maker(request.getfixturevalue(fixture))  # type: ignore[call-arg]
    assert dataset.load(category).notes == ()
    folder = dataset.root / category / place  # type: ignore[attr-defined]
    write(folder / "deeper" / "still" / "000.png")
    (folder / "a.heic").write_bytes(b"x")
    (folder / "b.npy").write_bytes(b"x")
    (folder / "no_ending").write_bytes(b"x")
    for hidden in (".DS_Store", "Thumbs.db", "._000.png"):
        (folder / hidden).write_bytes(b"x")
    before = dataset.load(category)
    notes = " | ".join(before.notes)
    assert f"left out: {place}/deeper/still: 1 files (1 .png)" in notes
    assert "left out: 3 hidden or system files" in notes
    if name != "mvtec_loco":  # there the files are parts of a mask folder
        assert f"left out: {place}: 3 files (1 .heic, 1 .npy, 1 no ending)" in notes
    assert verify(before)[: len(before.notes)] == before.notes
    assert all(note in str(inspect_dataset(dataset, categories=[category])) for note in before.notes)


@pytest.mark.parametrize("name", [name for name in LAYOUTS if name != "mvtec_loco"])
def test_images_without_a_mask_are_refused_or_left_out(name: str, request: pytest.FixtureRequest) -> None:
    maker, fixture, category, _ = LAYOUTS[name]
    root = request.getfixturevalue(fixture)
    lost = maker(root).load(category).anomalies[0]  # type: ignore[call-arg]
    assert lost.mask is not None
    lost.mask.unlink()
    if name == "visa":
        table = root / "split_csv" / "1cls.csv"
        table.write_text(table.read_text().replace(str(lost.mask.relative_to(root)), ""))
    with pytest.raises(DataError, match=r"unmasked=leave_out(.|\n)*anomalous image without its mask"):
        maker(root).load(category)  # type: ignore[call-arg]
    loaded = maker(root, unmasked="leave_out").load(category)  # type: ignore[call-arg]
    (out,) = set(range(len(loaded.test))) - set(loaded.for_pixels)
    assert loaded.test[out].image == lost.image
    assert loaded.has_masks
    assert any("have no mask: pixel metrics leave them out" in note for note in loaded.notes)
    with pytest.raises(ValueError, match="unmasked must be 'refuse' or 'leave_out', got 'x'"):
        maker(root, unmasked="x")  # type: ignore[call-arg]


def test_a_linked_split_is_no_surprise(mvtec_tree: Path, tmp_path: Path) -> None:
    shutil.move(mvtec_tree / "tile" / "train" / "good", tmp_path / "pool")
    (mvtec_tree / "tile" / "train" / "good").symlink_to(tmp_path / "pool")
    (tmp_path / "pool" / "x.gif").write_bytes(b"x")
    category = Folder(mvtec_tree).load("tile")
    assert len(category.train) == 3
    assert "left out: train/good: 1 files (1 .gif)" in category.notes
