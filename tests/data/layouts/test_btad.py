from __future__ import annotations

from pathlib import Path

import pytest

from dlkd.data import BTAD, DataError


def test_masks_are_found_whatever_their_format(btad_tree: Path) -> None:
    for name, image, mask in (("01", ".bmp", ".png"), ("02", ".png", ".png"), ("03", ".bmp", ".bmp")):
        for sample in BTAD(btad_tree).load(name).anomalies:
            assert (sample.image.suffix, sample.mask.suffix, sample.defect) == (image, mask, "ko")
            assert sample.mask.stem == sample.image.stem


def test_normal_folders_are_called_ok(btad_tree: Path) -> None:
    category = BTAD(btad_tree).load("01")
    assert {s.image.parent.name for s in category.train} == {"ok"}
    assert {s.defect for s in category.test} == {"good", "ko"}


def test_a_mask_without_its_image(btad_tree: Path) -> None:
    (btad_tree / "01/test/ko/0001.bmp").unlink()
    with pytest.raises(DataError, match=r"0001\.png: mask without its image"):
        BTAD(btad_tree).load("01")
