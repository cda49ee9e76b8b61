"""BTAD (Mishra et al., ISIE 2021): three products, with folder names and mixed file formats of its own."""

from __future__ import annotations

from os import PathLike

from dlkd.data.category import Category, DataError
from dlkd.data.layouts.reader import Unmasked, choose, found_in, read_layout, unmasked_option
from dlkd.machine import expanded
from dlkd.registry import register

NAMES = ("01", "02", "03")


@register("dataset", "btad")
class BTAD:
    """Categories 01 to 03 below `root` as `<category>/train/ok`, `test/{ok,ko}`, `ground_truth/ko`.

    As published: 01 has BMP images with PNG masks, 02 PNG for both, 03 BMP for both. So masks are found by
    their image's stem, whatever their format.

    Args:
        root: folder of the data.
        unmasked: "refuse" a category where some anomalous images have no mask, or "leave_out" these images of pixel
            metrics.
    """

    name = "btad"

    def __init__(self, root: str | PathLike[str], *, unmasked: Unmasked = "refuse") -> None:
        self.root = expanded(root)
        self.unmasked = unmasked_option(self.name, unmasked)

    def categories(self) -> tuple[str, ...]:
        """The published categories present. Raises DataError where none is."""
        names = tuple(name for name in NAMES if (self.root / name / "train").is_dir())
        if not names:
            wanted = f"{self.root}/{{01,02,03}}/train/ok"
            raise DataError(f"btad: looked for {wanted}, but {found_in(self.root)}")
        return names

    def load(self, category: str) -> Category:
        """Samples of one category. Raises DataError that lists every problem found."""
        choose(self.name, category, self.categories())
        return read_layout(self.name, self.root / category, category, normal="ok", unmasked=self.unmasked)
