"""Labels that say what a run narrows or shortens beside what the row stands for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.registry.problems import nearest
from dlkd.training import TrainConfig


def labelled(grid: Grid, preset: str, given: Mapping[str, Any]) -> Grid:
    """The grid as a run with this preset has it: rows with `narrowed:` are labelled "RD (EfficientNet-Lite0, ...)".

    Args:
        grid: as its file has it.
        preset: name of the run's preset.
        given: training arguments of the command line, None where one is not given. Grid and labels say both.
    """
    names = {row.label: _label(row, preset, given) for row in grid.rows}
    rows = tuple(
        row.model_copy(update={"label": names[row.label], "host": row.host and names[row.host], "narrowed": {}})
        for row in grid.rows
    )
    said = {key: value for key, value in given.items() if value is not None}
    changed = {
        "reference": grid.reference and names[grid.reference],
        "segmented": tuple(names[label] for label in grid.segmented),
    }
    return grid.model_copy(update={"rows": rows, "preset": preset, "train": grid.train | said, **changed})


def segmenting(grids: Sequence[Grid], names: Sequence[str]) -> list[Grid]:
    """The grids with the rows to segment that are called so, see `rows_called`, in the place of their own.

    Raises:
        ValueError: no table has a row that is called so, or a table has several.
    """
    for name in names:
        if not any(_called(grid, name) for grid in grids):
            rows_called(grids[0], [name])  # raises
    wanted = [[name for name in names if _called(grid, name)] for grid in grids]
    return [
        grid.model_copy(update={"segmented": rows_called(grid, own)}) for grid, own in zip(grids, wanted, strict=True)
    ]


def rows_called(grid: Grid, names: Sequence[str]) -> tuple[str, ...]:
    """The labels of rows by their labels, or by what stands before the brackets of one alone.

    Raises:
        ValueError: no row is called so, or several are.
    """
    labels = [row.label for row in grid.rows]
    found = []
    for name in names:
        those = _called(grid, name)
        if len(those) != 1:
            several = f"several rows of table '{grid.name}' begin with '{name}': {', '.join(those)}"
            raise ValueError(several if those else f"table '{grid.name}' has no row '{name}'{nearest(name, labels)}")
        found += those
    return tuple(found)


def _called(grid: Grid, name: str) -> list[str]:
    labels = [row.label for row in grid.rows]
    return [label for label in labels if label == name] or [x for x in labels if x.startswith(f"{name} (")]


def _label(row: GridRow, preset: str, given: Mapping[str, Any]) -> str:
    if not row.narrowed:
        return row.label
    said = [text for text in (row.narrowed.get(preset, ""), _here(given)) if text]
    return f"{row.label} ({'; '.join(said)})" if said else row.label


def _here(given: Mapping[str, Any]) -> str:
    """The length and size that a command asks for, which what a label says of the preset does not know.

    >>> _here({"max_steps": 10, "epochs": None, "image_size": 64})
    'here 64 pixels, 10 steps'
    """
    size, steps = given.get("image_size"), given.get("max_steps")
    said = [] if size is None else [f"{TrainConfig(image_size=size).size_text} pixels"]
    said += [] if given.get("epochs") is None else [f"{given['epochs']} epoch{'s' * (given['epochs'] != 1)}"]
    said += [] if steps is None else [f"{steps} step{'s' * (steps != 1)}"]
    said += [] if given.get("batch_size") is None else [f"batches of {given['batch_size']}"]
    return f"here {', '.join(said)}" if said else ""
