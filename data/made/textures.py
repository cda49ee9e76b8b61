"""The embedded dataset: real brick, grass and gravel with planted defects, made once and kept on disk."""

from __future__ import annotations

import hashlib
import json
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dlkd.data.category import Category, DataError
from dlkd.data.layouts.reader import choose, list_images, read_layout
from dlkd.data.made.defects import DEFECTS, plant
from dlkd.files import new_folder
from dlkd.machine import cache_folder, expanded
from dlkd.registry import register

# Raised when any pixel of the output changes, so that kept folders are not taken for new ones.
GENERATOR = 3
NAMES = ("brick", "grass", "gravel")
TRAIN_COLUMNS = 320  # of 512: training crops come from the left, test crops from the right, never from both


@register("dataset", "textures")
class Textures:
    """Crops of scikit-image's brick, grass and gravel; half of the test crops or more carry a planted defect.

    Written below `root` (default: the cache folder) in the MVTec layout when first used. One seed is one
    dataset, pixel for pixel; other arguments go to another folder. The pictures are in scikit-image's wheel.

    Args:
        root: folder that receives `textures-<hash of the arguments>`.
        seed: seed of the crops and the defects.
        size: side of a crop in pixels, 32 to 192.
        train: normal training crops of each category.
        test_good: normal test crops of each category.
        test_per_defect: test crops of each category for each of the four defects.
    """

    name = "textures"

    def __init__(
        self,
        root: str | PathLike[str] | None = None,
        *,
        seed: int = 0,
        size: int = 128,
        train: int = 60,
        test_good: int = 20,
        test_per_defect: int = 10,
    ) -> None:
        if not 32 <= size <= 512 - TRAIN_COLUMNS:
            raise ValueError(f"textures: size must be 32 to {512 - TRAIN_COLUMNS}, got {size}")
        if train < 1 or test_good < 0 or test_per_defect < 0:
            raise ValueError("textures: train must be >= 1, test_good and test_per_defect >= 0")
        self.root = cache_folder() if root is None else expanded(root)
        self.parameters = {
            **{"generator": GENERATOR, "seed": seed, "size": size, "train": train},
            **{"test_good": test_good, "test_per_defect": test_per_defect},
        }

    @property
    def folder(self) -> Path:
        """The folder of the images, named after the parameters; it may not exist yet."""
        text = json.dumps(self.parameters, sort_keys=True)
        return self.root / f"textures-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def categories(self) -> tuple[str, ...]:
        """Always brick, grass, gravel."""
        return NAMES

    def load(self, category: str) -> Category:
        """Samples of one category, after writing the dataset where that has not been done yet."""
        choose(self.name, category, NAMES)
        return read_layout(self.name, self.prepare() / category, category)

    def prepare(self) -> Path:
        """Write the dataset unless it is there, and return its folder. Safe in several processes at once."""
        if self.folder.is_dir():
            self._check()
            return self.folder
        try:
            with new_folder(self.folder) as unfinished:
                self._write(unfinished)
        except OSError as error:
            raise DataError(
                f"textures: cannot write {self.folder}: {error}; set DLKD_CACHE to a folder that can be written"
            ) from error
        self._check()
        return self.folder

    def _check(self) -> None:
        manifest = self.folder / "manifest.json"
        try:
            counts = json.loads(manifest.read_text(encoding="utf-8"))["images"]
            counts = {str(folder): int(count) for folder, count in counts.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise DataError(f"{manifest}: not readable; delete {self.folder} to have it made again") from None
        for folder, count in counts.items():
            found = len(list_images(self.folder / folder))
            if found != count:
                raise DataError(
                    f"{self.folder / folder}: {found} of {count} images are left; "
                    f"delete {self.folder} to have it made again"
                )

    def _write(self, folder: Path) -> None:
        for name in NAMES:
            self._write_category(folder / name, _photograph(name), name)
        counts: dict[str, int] = {}
        for path in sorted(folder.rglob("*.png")):
            key = path.parent.relative_to(folder).as_posix()
            counts[key] = counts.get(key, 0) + 1
        manifest = {"dataset": self.name, "parameters": self.parameters, "images": counts}
        (folder / "manifest.json").write_text(json.dumps(manifest, indent=2), encoding="utf-8")

    def _write_category(self, folder: Path, picture: NDArray[np.uint8], name: str) -> None:
        # One stream for each kind, so that a longer training split leaves the test images as they are.
        seed = self.parameters["seed"]

        def stream(kind: str) -> np.random.Generator:
            return np.random.default_rng([seed, *f"{name}/{kind}".encode()])

        for kind, count in (("train", self.parameters["train"]), ("test", self.parameters["test_good"])):
            rng = stream(kind)
            for i in range(count):
                _save(folder / kind / "good" / f"{i:03d}.png", self._crop(picture, kind, rng))
        for defect in DEFECTS:
            rng = stream(defect)
            for i in range(self.parameters["test_per_defect"]):
                image, mask = plant(self._crop(picture, "test", rng), defect, rng)
                _save(folder / "test" / defect / f"{i:03d}.png", image)
                _save(folder / "ground_truth" / defect / f"{i:03d}_mask.png", mask.astype(np.uint8) * 255)

    def _crop(self, picture: NDArray[np.uint8], split: str, rng: np.random.Generator) -> NDArray[np.uint8]:
        size = self.parameters["size"]
        columns = (0, TRAIN_COLUMNS) if split == "train" else (TRAIN_COLUMNS, picture.shape[1])
        top = int(rng.integers(0, picture.shape[0] - size + 1))
        left = int(rng.integers(columns[0], columns[1] - size + 1))
        grey = picture[top : top + size, left : left + size]
        return np.repeat(grey[..., None], 3, axis=2)


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def _photograph(name: str) -> NDArray[np.uint8]:
    """One of scikit-image's pictures, (h, w) or (h, w, 3)."""
    from skimage import data

    picture: NDArray[np.uint8] = getattr(data, name)()
    return picture
