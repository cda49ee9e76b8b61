"""The entries of a table as text: names of metrics, figures, and the reasons for missing ones."""

from __future__ import annotations

import math

from dlkd.ablations.report.tables import Entry, Table, TableRow
from dlkd.ablations.report.words.numbers import DASH, number, p_value, seconds, signed
from dlkd.ablations.stored.trials import NOT_RUN

LABELS = {
    "image_auroc": "Image-AUROC",
    "pixel_auroc": "Pixel-AUROC",
    "pro": "PRO",
    "image_ap": "Image-AP",
    "image_f1_max": "Image-F1-max",
    "pixel_ap": "Pixel-AP",
    "pixel_f1_max": "Pixel-F1-max",
    "pro_05": "PRO to 0.05",
    "aupimo": "AUPIMO",
    "seg_f1": "SegF1",
}
COST_HEADS = (
    *("parameters", "GFLOPs per image", "one image, ms", "8 images, ms", "images per second", "memory, MiB"),
    "training per cell",
)


def label(metric: str) -> str:
    """The metric's name in reports."""
    return LABELS.get(metric, metric)


def absent(entry: Entry) -> str:
    """Why an entry has no figure; empty where it has one."""
    if not math.isnan(entry.mean):
        return ""
    failed = entry.failed if entry.failed == NOT_RUN else f"failed: {entry.failed}"
    reasons = [failed] * bool(entry.failed) + [f"undefined: {entry.undefined}"] * bool(entry.undefined)
    return "; ".join(reasons) or "no figure"


def partial(entry: Entry) -> str:
    """How many cells an average lacks; empty if none."""
    return f"partial: {entry.missing} of {entry.cells} cells missing" if entry.partial else ""


def interval(entry: Entry) -> str:
    """97.40 to 98.80, or nothing."""
    return "" if math.isnan(entry.low) else f"{entry.low:.2f} to {entry.high:.2f}"


def difference_interval(entry: Entry) -> str:
    """The interval of the difference to the reference, or nothing."""
    if not (math.isfinite(entry.difference_low) and math.isfinite(entry.difference_high)):
        return ""
    return f"{signed(entry.difference_low)} to {signed(entry.difference_high)}"


def base(table: Table) -> str:
    """The row that rows are compared with, in words."""
    return "the row above" if table.grid.stepwise else "its host" if table.grid.reference is None else "the reference"


def claimed(new_images: bool, categories: str = "these categories") -> str:
    """What a claim is about, in words.

    >>> claimed(True), claimed(False, "this category")
    ('new seeds and new test images of these categories', 'new seeds and these very test images of this category')
    """
    return f"new seeds and {'new' if new_images else 'these very'} test images of {categories}"


def not_compared(row: TableRow) -> str:
    """The text in place of a difference that was not computed; empty if there is one."""
    return "" if row.compared else row.role or DASH


def verdict(entry: Entry) -> str:
    """The verdict on the row's difference with p, short enough for a cell; empty for an exploratory metric."""
    said = {"helps": "better", "harms": "worse", "exploratory": ""}.get(entry.verdict, entry.verdict)
    return ", ".join(filter(None, [said, p_value(entry.p)]))


def sentence(title: str) -> str:
    """The title with a full stop, unless it ends in a mark of its own."""
    return title if title[-1:] in ".?!" else f"{title}."


def costs(row: TableRow) -> list[tuple[float, str]]:
    """Under `COST_HEADS`: each cost, to sort by, and as text."""
    c, alone = row.costs, row.measured
    return [
        (c["parameters"], DASH if math.isnan(c["parameters"]) else f"{c['parameters'] / 1e6:.2f} M"),
        (c["flops"], number(c["flops"] / 1e9, 3)),
        (alone.latency_1, number(alone.latency_1 * 1000, 1)),
        (alone.latency_8, number(alone.latency_8 * 1000, 1)),
        (alone.images_per_second, number(alone.images_per_second, 1)),
        (alone.peak_memory_bytes, number(alone.peak_memory_bytes / 2**20, 0)),
        (c["train_seconds"], seconds(c["train_seconds"])),
    ]
