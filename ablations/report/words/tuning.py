"""What each row of a grid was tuned to: a sentence on the budget, and the table of what was chosen."""

from __future__ import annotations

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.tuning import shown
from dlkd.ablations.report.words.entries import label
from dlkd.ablations.report.words.numbers import DASH, count, number

HEADING = "What each row was tuned to"


def tuning(grid: Grid) -> list[str]:
    """How rows were tuned, and which were not, in sentences; nothing for a grid without `tune:`."""
    if grid.tune is None or not grid.tuned:
        return []
    tune, scored = grid.tune, label(grid.tune.metric)
    settings = count(tune.trials, "setting", "settings")
    found = [
        f"Before the cells, each row was tuned with the same budget: at most {settings}, compared by {scored} "
        f"on validation pictures, which are {tune.share:.0%} of the normal training images, without change and again "
        "with planted defects. No test image was used."
    ]
    found += [f"'{row.label}' was not tuned: {row.passed_over}." for row in grid.tuned if row.passed_over]
    return found


def tuning_heads(grid: Grid) -> list[str]:
    """Heads of the table; nothing where no row was tuned."""
    if grid.tune is None or all(row.passed_over for row in grid.tuned):
        return []
    scored = label(grid.tune.metric)
    return ["Row", "settings tried", f"{scored}, validation", "before tuning", *grid.tune.space]


def tuning_lines(grid: Grid) -> list[list[str]]:
    """The table: each row with its best setting."""
    keys = () if grid.tune is None else grid.tune.space
    return [
        [
            row.label,
            str(row.tried),
            _score(row.score),
            _score(row.unchanged),
            *(shown(row.chosen[key]) if key in row.chosen else DASH for key in keys),
        ]
        for row in grid.tuned
        if not row.passed_over
    ]


def _score(score: float | None) -> str:
    return DASH if score is None else number(100 * score)
