"""MVTec AD 2 (Heckler-Kram et al., 2025): eight scenes, with a public test split that has masks."""

from __future__ import annotations

from os import PathLike

from dlkd.data.category import Category, DataError
from dlkd.data.layouts.reader import Unmasked, choose, found_in, read_layout, unmasked_option
from dlkd.machine import expanded
from dlkd.registry import register

NAMES = ("can", "fabric", "fruit_jelly", "rice", "sheet_metal", "vial", "wallplugs", "walnuts")


@register("dataset", "mvtec_ad2")
class MVTecAD2:
    """Its eight categories below `root` as `<category>/train/good` and `test_public/{good,bad,ground_truth/bad}`.

    `validation/good` is left out, as the authors keep it for settings. `test_private` and `test_private_mixed` have no
    labels: score them with `dlkd predict` and upload the maps to the authors' server. The authors compute PRO up to a
    false positive rate of 0.05: `train.pro_limit=0.05`.

    Args:
        root: folder of the data.
        unmasked: "refuse" a category where some anomalous images have no mask, or "leave_out" these images of pixel
            metrics.
    """

    name = "mvtec_ad2"

    def __init__(self, root: str | PathLike[str], *, unmasked: Unmasked = "refuse") -> None:
        self.root = expanded(root)
        self.unmasked = unmasked_option(self.name, unmasked)

    def categories(self) -> tuple[str, ...]:
        """The published categories present. Raises DataError where none is."""
        names = tuple(name for name in NAMES if (self.root / name / "train").is_dir())
        if not names:
            wanted = f"{self.root}/<category>/train/good with a category of {', '.join(NAMES)}"
            raise DataError(f"mvtec_ad2: looked for {wanted}, but {found_in(self.root)}")
        return names

    def load(self, category: str) -> Category:
        """Samples of one category. Raises DataError that lists every problem found."""
        choose(self.name, category, self.categories())
        return read_layout(
            self.name,
            self.root / category,
            category,
            test="test_public",
            ground_truth="test_public/ground_truth",
            unmasked=self.unmasked,
        )
