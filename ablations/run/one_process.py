"""Which cells can train beside others in one process."""

from __future__ import annotations

from collections.abc import Sequence

from dlkd.ablations.plan.cells import Cell
from dlkd.registry.components import get


def check_one_process(cells: Sequence[Cell]) -> None:
    """Raise ValueError that names all rows that cannot train in one process with others, and says why."""
    problems: dict[str, None] = {}
    for cell in cells:
        grid, row = cell.rows[0]
        name = cell.spec.model["model"]
        model = get("model", name)
        if getattr(getattr(model, "func", model), "draws_globally", False):  # of a functools.partial its class
            why = f"model {name} draws from the random generators of the process while it trains"
        elif cell.spec.train.compile:
            why = "train.compile is for one training at a time in a process"
        else:
            continue
        problems[f"{grid}, row '{row}': {why}"] = None
    if problems:
        raise ValueError("\n".join([*problems, "leave --one-process out: each trial then has a process of its own"]))
