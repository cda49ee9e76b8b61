"""What is said beside figures by group and category."""

from __future__ import annotations

import math

from dlkd.ablations.plan.grid import TOTAL
from dlkd.ablations.report.parts import Parts
from dlkd.ablations.report.tables import Table
from dlkd.ablations.report.words.numbers import listed, seconds


def part_heading(table: Table) -> str:
    """Heading of the figures by part."""
    return "By group and category" if table.grid.groups else "By category"


def part_note(parts: Parts) -> str:
    """What the figures by part are."""
    groups = [part for part in parts.parts if part.average and part.name != TOTAL]
    sizes = listed([f"{part.name} {len(part.places)}" for part in groups])
    of_groups = f"A group is the mean over its categories ({sizes}). " if groups else ""
    return (
        f"Per cent, mean over seeds, then categories, with the 95% interval for new seeds. {of_groups}'{TOTAL}' is the "
        "average of all categories, as in the table above. Under a figure is the median time of training per cell, "
        "measured while other trials ran."
    )


def trained_in(spent: float) -> list[str]:
    """The time of training, if it is known.

    >>> trained_in(75.0), trained_in(float("nan"))
    (['trained in 75 s'], [])
    """
    return [] if math.isnan(spent) else [f"trained in {seconds(spent)}"]
