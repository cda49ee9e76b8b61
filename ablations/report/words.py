"""A table's figures as text: numbers, intervals, p-values, and what stands where there is no number."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from dlkd.ablations.report.tables import Entry, Row
from dlkd.ablations.run.store import NOT_RUN

DASH = "–"
COST_HEADS = ("parameters", "GFLOPs an image", "images a second", "peak memory, GiB", "training a cell")


def number(value: float, digits: int = 2) -> str:
    """98.12, or a dash."""
    return DASH if math.isnan(value) else f"{value:.{digits}f}"


def signed(value: float, digits: int = 2) -> str:
    """+1.20 or −0.40, with a true minus sign; a dash where there is none."""
    return DASH if math.isnan(value) else f"{value:+.{digits}f}".replace("-", "−")


def p_value(p: float) -> str:
    """p = 0.031, or nothing."""
    if math.isnan(p):
        return ""
    return "p < 0.001" if p < 0.001 else f"p = {p:.2g}" if p < 0.995 else "p = 1"


def absent(entry: Entry) -> str:
    """Why an entry has no figure; empty where it has one."""
    if not math.isnan(entry.mean):
        return ""
    failed = entry.failed if entry.failed == NOT_RUN else f"failed: {entry.failed}"
    reasons = [failed] * bool(entry.failed) + [f"undefined: {entry.undefined}"] * bool(entry.undefined)
    return "; ".join(reasons) or "no figure"


def partial(entry: Entry) -> str:
    """How much an average leaves out; empty where nothing."""
    return f"partial: {entry.missing} of {entry.cells} cells missing" if entry.partial else ""


def interval(entry: Entry) -> str:
    """97.40 to 98.80, or nothing."""
    return "" if math.isnan(entry.low) else f"{entry.low:.2f} to {entry.high:.2f}"


def difference_interval(entry: Entry) -> str:
    """The interval of the difference to the reference, or nothing."""
    if math.isnan(entry.difference_low):
        return ""
    return f"{signed(entry.difference_low)} to {signed(entry.difference_high)}"


def seconds(value: float) -> str:
    """75 s, 12 min 5 s, 3 h 20 min."""
    if math.isnan(value):
        return DASH
    whole = round(value)
    if whole < 120:
        return f"{value:.1f} s" if value < 10 else f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def sentence(title: str) -> str:
    """The title with a full stop, unless it ends in a mark of its own."""
    return title if title[-1:] in ".?!" else f"{title}."


def listed(items: list[str], last: str = "and") -> str:
    """a, b and c."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {last} {items[-1]}" if items else ""


def in_order(values: Iterable[object]) -> list[str]:
    """Each value once as text, numbers in it by their size: 64, 128, 128x256."""
    found = {str(value): _parts(str(value)) for value in values}
    return sorted(found, key=found.__getitem__)


def _parts(text: str) -> list[tuple[str, float]]:
    """Each text with the number behind it."""
    return [(before, float(n or 0)) for before, n in re.findall(r"([^0-9]*)([0-9]+(?:\.[0-9]+)?|$)", text)]


def costs(row: Row) -> list[tuple[float, str]]:
    """Under `COST_HEADS`: each cost, to sort by, and as text."""
    c = row.costs
    return [
        (c["parameters"], DASH if math.isnan(c["parameters"]) else f"{c['parameters'] / 1e6:.2f} M"),
        (c["flops"], number(c["flops"] / 1e9, 3)),
        (c["images_per_second"], number(c["images_per_second"], 1)),
        (c["peak_memory_bytes"], number(c["peak_memory_bytes"] / 2**30)),
        (c["train_seconds"], seconds(c["train_seconds"])),
    ]
