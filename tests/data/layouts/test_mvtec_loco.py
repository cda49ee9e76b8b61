from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from dlkd.data import DataError, MVTecLOCO, read_mask


def test_masks_of_one_image_are_merged(loco_tree: Path) -> None:
    category = MVTecLOCO(loco_tree).load("pushpins")
    assert {s.defect for s in category.anomalies} == {"logical_anomalies", "structural_anomalies"}
    sample = category.anomalies[0]
    assert sample.mask == loco_tree / "pushpins/ground_truth" / sample.defect / sample.image.stem
    parts = [read_mask(part) for part in sorted(sample.mask.iterdir())]
    np.testing.assert_array_equal(read_mask(sample.mask), parts[0] | parts[1])


def test_validation_images_are_in_neither_split(loco_tree: Path) -> None:
    category = MVTecLOCO(loco_tree).load("pushpins")
    assert not [s for s in (*category.train, *category.test) if "validation" in s.image.parts]


def test_an_image_without_its_folder_of_masks_and_the_reverse(loco_tree: Path) -> None:
    truth = loco_tree / "pushpins/ground_truth/logical_anomalies"
    shutil.rmtree(truth / "001")
    (truth / "007").mkdir()
    with pytest.raises(DataError) as caught:
        MVTecLOCO(loco_tree).load("pushpins")
    image = loco_tree / "pushpins/test/logical_anomalies/001.png"
    assert caught.value.problems == (
        f"{truth / '007'}: mask without its image",
        f"{image}: anomalous image without its mask",
    )
