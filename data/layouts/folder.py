"""Datasets in the MVTec layout: a user's own folders, and MVTec AD itself."""

from __future__ import annotations

from os import PathLike

from dlkd.data.category import Category, DataError
from dlkd.data.layouts.reader import Unmasked, choose, found_in, list_folders, read_layout, unmasked_option
from dlkd.machine import expanded
from dlkd.registry import register

MVTEC_CATEGORIES = (
    *("bottle", "cable", "capsule", "carpet", "grid", "hazelnut", "leather", "metal_nut"),
    *("pill", "screw", "tile", "toothbrush", "transistor", "wood", "zipper"),
)


@register("dataset", "folder")
class Folder:
    """Categories below `root` as `<category>/train/good`, `test/<defect>`, `ground_truth/<defect>`.

    `root` may be one category itself. Masks have the stem of their image (`000.png`: `000_mask.png` or `000.png`)
    and are optional for a category as a whole.

    Args:
        root: folder of the data.
        unmasked: "refuse" a category where some anomalous images have no mask, or "leave_out" these images of pixel
            metrics.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from PIL import Image
    >>> root = tempfile.TemporaryDirectory()
    >>> for part in ("train/good/0.png", "test/good/0.png", "test/crack/0.png"):
    ...     picture = Path(root.name, "tile", part)
    ...     picture.parent.mkdir(parents=True)
    ...     Image.new("RGB", (64, 64)).save(picture)
    >>> tile = Folder(root.name).load("tile")
    >>> len(tile.train), [(sample.label, sample.defect) for sample in tile.test], tile.has_masks
    (1, [(1, 'crack'), (0, 'good')], False)
    >>> root.cleanup()
    """

    name = "folder"

    def __init__(self, root: str | PathLike[str], *, unmasked: Unmasked = "refuse") -> None:
        self.root = expanded(root)
        self.unmasked = unmasked_option(self.name, unmasked)

    def categories(self) -> tuple[str, ...]:
        """Names of the categories, sorted. Raises DataError that says what was looked for and found."""
        if (self.root / "train").is_dir():
            return (self.root.resolve().name,)
        names = tuple(p.name for p in list_folders(self.root) if (p / "train").is_dir())
        if not names:
            wanted = f"{self.root}/<category>/train/good or {self.root}/train/good"
            raise DataError(f"{self.name}: looked for {wanted}, but {found_in(self.root)}")
        return names

    def load(self, category: str) -> Category:
        """Samples of one category. Raises DataError that lists every problem found."""
        choose(self.name, category, self.categories())
        folder = self.root if (self.root / "train").is_dir() else self.root / category
        return read_layout(self.name, folder, category, unmasked=self.unmasked)


@register("dataset", "mvtec")
class MVTec(Folder):
    """MVTec AD (Bergmann et al., CVPR 2019): those of its 15 categories that are below `root`."""

    name = "mvtec"

    def categories(self) -> tuple[str, ...]:
        """The published categories present. Raises DataError where none is."""
        if (self.root / "train").is_dir():
            raise DataError(f"mvtec: {self.root} is one category; give the folder that holds it")
        names = tuple(name for name in MVTEC_CATEGORIES if (self.root / name / "train").is_dir())
        if not names:
            wanted = f"{self.root}/<category>/train/good with a category of {', '.join(MVTEC_CATEGORIES)}"
            raise DataError(f"mvtec: looked for {wanted}, but {found_in(self.root)}")
        return names
