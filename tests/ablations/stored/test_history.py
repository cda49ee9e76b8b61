"""Why a cell has no result: what the store holds of earlier runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.stored.history import NEVER, grouped, held_trials, reasons
from dlkd.ablations.stored.store import DESCRIPTION, describe, write_description
from dlkd.training.trials.trial_spec import write_spec

MakeCells = Callable[..., list[Cell]]
FinishCell = Callable[..., None]
CODE = {"blocks/lfrb.py": "1", "blocks/norm.py": "1", "training/trials/trial.py": "1"}
KEY = "0123456789abcdef"


def changed(cell: Cell, where: str) -> Cell:
    """A cell as it was before something of it changed."""
    if where == "code":
        return replace(cell, key=KEY, code=CODE | {"blocks/lfrb.py": "0"})
    if where == "two files":
        return replace(
            cell, key=KEY, code={"blocks/lfrb.py": "0", "training/trials/trial.py": "1", "losses/cosine.py": "1"}
        )
    if where == "data":
        return replace(cell, key=KEY, contents={"data": "0"})
    if where == "settings":
        train = cell.spec.train.model_copy(update={"epochs": 1})
        return replace(cell, key=KEY, spec=cell.spec.model_copy(update={"train": train}))
    if where == "another row":
        return replace(changed(cell, "settings"), rows=(("g", "another"),))
    return replace(changed(cell, "settings"), spec=cell.spec.model_copy(update={"seed": 7}))


@pytest.mark.parametrize(
    ("where", "says"),
    [
        ("code", "code of blocks/lfrb.py changed"),
        ("two files", "code of blocks/lfrb.py and 2 more files changed"),
        ("data", "the data changed"),
        ("settings", "train.epochs 1 -> 2"),
        ("another row", NEVER),
        ("another seed", NEVER),
    ],
)
def test_a_cell_says_what_changed_since_it_was_trained(
    make_tiny_cells: MakeCells, finish_cell: FinishCell, tmp_path: Path, where: str, says: str
) -> None:
    cell = replace(make_tiny_cells()[0], code=CODE)
    before = changed(cell, where)
    assert reasons([cell], tmp_path) == {cell.key: NEVER}
    finish_cell(before, tmp_path)
    write_description(tmp_path / before.key, describe(before))
    assert reasons([cell], tmp_path) == {cell.key: says}
    (tmp_path / before.key / "result.json").unlink()
    assert reasons([cell], tmp_path) == {cell.key: NEVER}


def test_of_several_earlier_trials_the_nearest_one_is_compared(
    make_tiny_cells: MakeCells, finish_cell: FinishCell, tmp_path: Path
) -> None:
    cell = replace(make_tiny_cells()[0], code=CODE)
    old = [replace(changed(changed(cell, "code"), "data"), key="0" * 16), changed(cell, "data")]
    old.append(replace(changed(cell, "settings"), key="2" * 16))
    for before in old:
        finish_cell(before, tmp_path)
        write_description(tmp_path / before.key, describe(before))
    assert reasons([cell], tmp_path) == {cell.key: "the data changed"}


def test_what_an_older_dlkd_stored_is_said_and_what_cannot_be_read_is_no_trial(
    make_tiny_cells: MakeCells, finish_cell: FinishCell, tmp_path: Path
) -> None:
    cell = make_tiny_cells()[0]
    finish_cell(replace(cell, key=KEY), tmp_path)
    write_spec(tmp_path / KEY, cell.spec, cell.contents)
    for name in ("search-0123456789abcdef", "mine", "1" * 16):
        (tmp_path / name).mkdir()
    (tmp_path / ("1" * 16) / DESCRIPTION).write_text(json.dumps({"spec": 1}))
    assert [(held.folder.name, held.spec is None) for held in held_trials(tmp_path)] == [(KEY, False), ("1" * 16, True)]
    assert reasons([cell], tmp_path) == {cell.key: "stored by an older dlkd"}


def test_cells_with_one_cause_are_one_line() -> None:
    why = ["code of a.py changed"] * 54 + [NEVER]
    assert grouped(why) == ["54 cells: code of a.py changed", "1 cell: never run"]
