"""Groups of categories, and figures of the paper's by category: what is wrong with their names."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dlkd.ablations.plan.grid import TOTAL, Grid, one_line
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.problems import ConfigError, KeyPath, Problem, nearest


def group_problems(grid: Grid, document: LocatedYaml) -> Iterator[Problem]:
    """What is wrong with a grid's groups, whatever data it runs on."""
    grouped = {category for categories in grid.groups.values() for category in categories}
    for name, categories in grid.groups.items():
        path: KeyPath = ("groups", name)
        try:
            one_line(name)
        except ValueError as error:
            yield document.problem(path, f"the name of a group {error}")
        if name == TOTAL:
            yield document.problem(path, f"'{TOTAL}' is the average of all categories; give the group another name")
        if name in grouped:
            yield document.problem(path, f"'{name}' is a category too; give the group another name")
        if not categories:
            yield document.problem(path, "an empty group; name its categories, [carpet, grid], or drop it")
        for i, category in enumerate(categories):
            if categories.index(category) != i:
                yield document.problem((*path, i), f"'{category}' stands twice in the group '{name}'; name it once")


def refuse_unknown(grid: Grid, known: Sequence[str], *, whole: bool, own_data: bool) -> None:
    """Raise ConfigError where a grid's groups, or its figures of the paper's, name a category that the data lack.

    Data that have none of these categories are others than the groups are about, which then do not apply.

    Args:
        grid: whose groups they are.
        known: the categories of all data of the run.
        whole: the run is on all of them, so that each category of a group has to be there.
        own_data: the grid's file names the data, so that the groups have to apply.
    """
    named = [*_grouped(grid), *_with_figures(grid)]
    problems = [
        grid._source.problem(("groups", name), f"'{name}' is a category of the data too; give the group another name")
        for name in grid.groups
        if name in known
    ]
    applies = own_data or any(category in known for _, category in named)
    lacking = [(path, category) for path, category in named if category not in known and whole and applies]
    for path, category in lacking:
        problems.append(grid._source.problem(path, f"no data of this run have it{nearest(category, known)}"))
    if lacking:
        here = " ".join(f"--category {name}" for name in known)
        problems.append(
            grid._source.problem(lacking[0][0][:1], f"for averages of the categories that are there, say so: {here}")
        )
    if problems:
        raise ConfigError(problems)


def _grouped(grid: Grid) -> Iterator[tuple[KeyPath, str]]:
    for name, categories in grid.groups.items():
        for i, category in enumerate(categories):
            yield ("groups", name, i), category


def _with_figures(grid: Grid) -> Iterator[tuple[KeyPath, str]]:
    """The categories that figures of the paper stand beside and no group holds, once each."""
    grouped = {category for categories in grid.groups.values() for category in categories}
    seen = {TOTAL, *grid.groups, *grouped}
    for i, row in enumerate(grid.rows):
        for metric, figures in row.paper.items():
            for part in figures:
                if part not in seen:
                    yield ("rows", i, "paper", metric, part), part
                    seen.add(part)
