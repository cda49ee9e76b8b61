"""Which row each row of a grid is compared with: the one above, the reference, or a host of its own."""

from __future__ import annotations

from collections.abc import Iterator

from dlkd.ablations.plan.grid import Grid
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.problems import Problem, nearest


def compared_with(grid: Grid) -> dict[str, str]:
    """The row that each row is compared with: the one above where the grid goes in steps, its host, or the reference.

    A row without a host is compared with none where the grid has no reference.
    """
    labels = [row.label for row in grid.rows]
    if grid.stepwise:
        return dict(zip(labels[1:], labels, strict=False))
    if grid.reference is None:
        return {row.label: row.host for row in grid.rows if row.host is not None}
    return {label: grid.reference for label in labels if label != grid.reference}


def host_problems(grid: Grid, document: LocatedYaml) -> Iterator[Problem]:
    """What is wrong with the rows that others are compared with."""
    labels = [row.label for row in grid.rows]
    hosted = [(i, row) for i, row in enumerate(grid.rows) if row.host is not None]
    if grid.reference is not None and grid.reference not in labels:
        message = f"no row is labelled '{grid.reference}'{nearest(grid.reference, labels)}"
        yield document.problem(("reference",), message)
    if grid.reference is None and not hosted:
        message = "lacks `reference:`, the row that the others are compared with, or rows with a `host:` of their own"
        yield document.problem((), message)
    for i, row in hosted:
        path = ("rows", i, "host")
        if grid.reference is not None or grid.stepwise or row.factors:
            other = "stepwise" if grid.stepwise else "factors" if row.factors else "reference"
            yield document.problem(path, f"rows with a host have no `{other}:` beside it; leave one of them out")
        elif row.host == row.label:
            yield document.problem(path, "a row is no host of its own")
        elif row.host not in labels:
            yield document.problem(path, f"no row is labelled '{row.host}'{nearest(str(row.host), labels)}")
