"""Labels that say what a run narrows or shortens beside what the row stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.training import TrainConfig


def labelled(grid: Grid, preset: str, given: Mapping[str, Any]) -> Grid:
    """The grid as a run with this preset has it: rows with `narrowed:` are labelled "RD (EfficientNet-Lite0, ...)".

    Args:
        grid: as its file has it.
        preset: name of the run's preset, which the grid then says too.
        given: training arguments of the command line, None where one is not given; the label says them too.
    """
    names = {row.label: _label(row, preset, given) for row in grid.rows}
    rows = tuple(
        row.model_copy(update={"label": names[row.label], "host": row.host and names[row.host], "narrowed": {}})
        for row in grid.rows
    )
    reference = grid.reference and names[grid.reference]
    return grid.model_copy(update={"rows": rows, "reference": reference, "preset": preset})


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
