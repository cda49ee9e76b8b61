"""MVTec LOCO AD (Bergmann et al., IJCV 2022): logical and structural anomalies, several masks per image."""

from __future__ import annotations

from os import PathLike

from dlkd.data.category import Category, DataError
from dlkd.data.layouts.reader import Unmasked, choose, found_in, mask_folders, read_layout, unmasked_option
from dlkd.machine import expanded
from dlkd.registry import register

NAMES = ("breakfast_box", "juice_bottle", "pushpins", "screw_bag", "splicing_connectors")


@register("dataset", "mvtec_loco")
class MVTecLOCO:
    """Its five categories below `root`; `ground_truth/<defect>/<stem>/000.png, ...` are merged into one mask.

    `validation/good` is left out of training and test, as the authors keep it for calibration. Values in the
    masks name the kind of anomaly for their saturated PRO; here a mask is where its value is above 0.

    Args:
        root: folder of the data.
        unmasked: "refuse" a category where some anomalous images have no mask, or "leave_out" these images of pixel
            metrics.
    """

    name = "mvtec_loco"

    def __init__(self, root: str | PathLike[str], *, unmasked: Unmasked = "refuse") -> None:
        self.root = expanded(root)
        self.unmasked = unmasked_option(self.name, unmasked)

    def categories(self) -> tuple[str, ...]:
        """The published categories present. Raises DataError where none is."""
        names = tuple(name for name in NAMES if (self.root / name / "train").is_dir())
        if not names:
            wanted = f"{self.root}/<category>/train/good with a category of {', '.join(NAMES)}"
            raise DataError(f"mvtec_loco: looked for {wanted}, but {found_in(self.root)}")
        return names

    def load(self, category: str) -> Category:
        """Samples of one category. Raises DataError that lists every problem found."""
        choose(self.name, category, self.categories())
        return read_layout(self.name, self.root / category, category, list_masks=mask_folders, unmasked=self.unmasked)
