"""Small folders in each published layout, and a cache of the test's own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

Write = Callable[..., Path]


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("DLKD_CACHE", str(folder))
    return folder


@pytest.fixture
def write() -> Write:
    """Write a picture with random pixels of its own, or a mask with one marked square."""
    made = 0

    def write(path: Path, *, size: int = 16, mask: bool = False, value: int = 255) -> Path:
        nonlocal made
        made += 1
        path.parent.mkdir(parents=True, exist_ok=True)
        if mask:
            pixels = np.zeros((size, size), dtype=np.uint8)
            pixels[2:5, 3 : 5 + made % 4] = value
        else:
            pixels = np.random.default_rng(made).integers(0, 256, (size, size, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path)
        return path

    return write


@pytest.fixture
def mvtec_tree(tmp_path: Path, write: Write) -> Path:
    """Two categories in the MVTec layout, written in an order that is not the sorted one."""
    root = tmp_path / "mvtec"
    for category in ("tile", "bottle"):
        for stem in ("002", "000", "001"):
            write(root / category / "train" / "good" / f"{stem}.png")
        for stem in ("001", "000"):
            write(root / category / "test" / "good" / f"{stem}.png")
            for defect in ("crack", "blob"):
                write(root / category / "test" / defect / f"{stem}.png")
                write(root / category / "ground_truth" / defect / f"{stem}_mask.png", mask=True)
    return root


@pytest.fixture
def btad_tree(tmp_path: Path, write: Write) -> Path:
    """Formats as published: 01 bmp and png masks, 02 png, 03 bmp."""
    root = tmp_path / "BTech_Dataset_transformed"
    for category, image, mask in (("01", "bmp", "png"), ("02", "png", "png"), ("03", "bmp", "bmp")):
        for i in range(3):
            write(root / category / "train" / "ok" / f"{i:04d}.{image}")
        for i in range(2):
            write(root / category / "test" / "ok" / f"{i:04d}.{image}")
            write(root / category / "test" / "ko" / f"{i:04d}.{image}")
            write(root / category / "ground_truth" / "ko" / f"{i:04d}.{mask}", mask=True)
    return root


@pytest.fixture
def loco_tree(tmp_path: Path, write: Write) -> Path:
    """One category; every anomalous image has a folder of two masks, whose values are not 255."""
    root = tmp_path / "loco"
    folder = root / "pushpins"
    for i in range(3):
        write(folder / "train" / "good" / f"{i:03d}.png")
        write(folder / "validation" / "good" / f"{i:03d}.png")
        write(folder / "test" / "good" / f"{i:03d}.png")
        for defect in ("logical_anomalies", "structural_anomalies"):
            write(folder / "test" / defect / f"{i:03d}.png")
            for part in range(2):
                write(folder / "ground_truth" / defect / f"{i:03d}" / f"{part:03d}.png", mask=True, value=237)
    return root


@pytest.fixture
def ad2_tree(tmp_path: Path, write: Write) -> Path:
    """Two categories as published: masks below test_public, and splits without labels."""
    root = tmp_path / "mvtec_ad_2"
    for folder in (root / "vial", root / "can"):
        for i in range(3):
            write(folder / "train" / "good" / f"{i:03d}_regular.png")
            write(folder / "validation" / "good" / f"{i:03d}_regular.png")
            write(folder / "test_private" / f"{i:03d}_regular.png")
            write(folder / "test_private_mixed" / f"{i:03d}_mixed.png")
        for i in range(2):
            write(folder / "test_public" / "good" / f"{i:03d}_regular.png")
            write(folder / "test_public" / "bad" / f"{i:03d}_regular.png")
            write(folder / "test_public" / "ground_truth" / "bad" / f"{i:03d}_regular_mask.png", mask=True)
    return root


@pytest.fixture
def visa_tree(tmp_path: Path, write: Write) -> Path:
    """Two objects with the authors' split file; masks hold 1, not 255, as published."""
    root = tmp_path / "visa"
    rows = ["object,split,label,image,mask"]
    for name in ("pcb1", "candle"):
        data = root / name / "Data"
        for i in range(5):
            write(data / "Images" / "Normal" / f"{i:04d}.JPG")
            split = "train" if i < 3 else "test"
            rows.append(f"{name},{split},normal,{name}/Data/Images/Normal/{i:04d}.JPG,")
        for i in range(2):
            write(data / "Images" / "Anomaly" / f"{i:03d}.JPG")
            write(data / "Masks" / "Anomaly" / f"{i:03d}.png", mask=True, value=1)
            rows.append(
                f"{name},test,anomaly,{name}/Data/Images/Anomaly/{i:03d}.JPG,{name}/Data/Masks/Anomaly/{i:03d}.png"
            )
    (root / "split_csv").mkdir()
    (root / "split_csv" / "1cls.csv").write_text("\n".join(rows) + "\n")
    return root


@pytest.fixture
def elpv_tree(tmp_path: Path, write: Write) -> Path:
    """The package's data folder in small: of each kind 12 cells at probability 0, 4 at every other grade."""
    root = tmp_path / "elpv"
    lines = []
    grades = ["0.0"] * 12 + ["0.3333333333333333"] * 4 + ["0.6666666666666666"] * 4 + ["1.0"] * 4
    for i, (kind, grade) in enumerate((kind, grade) for kind in ("mono", "poly") for grade in grades):
        write(root / "images" / f"cell{i:04d}.png")
        lines.append(f"images/cell{i:04d}.png  {grade:<20} {kind}")
    (root / "labels.csv").write_text("\n".join(lines) + "\n")
    return root
