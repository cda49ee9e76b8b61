"""What a store holds, and what is deleted of it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.stored import inventory
from dlkd.ablations.stored.history import OLDER
from dlkd.ablations.stored.run_folder import write_run
from dlkd.ablations.stored.run_identity import RunIdentity
from dlkd.ablations.stored.store import describe, write_description
from dlkd.files import alone
from dlkd.registry import default_registry
from dlkd.training.trials.trial_spec import write_spec

GRID = Grid(name="g", title="t", rows=(GridRow(label="A", variant="dlkd"),), reference="A")
EDITED, SHOWN, OLD, BROKEN, GONE = (str(digit) * 16 for digit in range(5))
CHANGED = "code of blocks/lfrb.py changed"


@pytest.fixture
def store(
    make_tiny_cells: Callable[..., list[Cell]], finish_cell: Callable[..., None], tmp_path: Path
) -> tuple[Path, str]:
    """A store with a trial of each kind, and the key of the current one."""
    [cell] = make_tiny_cells([("A", {})])
    edited = {name: "0" if name == "blocks/lfrb.py" else digest for name, digest in cell.code.items()}
    node = cell.spec.model | {"fusion": {"name": "gone"}}
    folder = tmp_path / "runs/trials"
    for key, held in {
        cell.key: cell,
        EDITED: replace(cell, code=edited),
        SHOWN: replace(cell, code=edited),
        GONE: replace(cell, spec=cell.spec.model_copy(update={"model": node})),
    }.items():
        finish_cell(replace(held, key=key), folder)
        write_description(folder / key, describe(held))
    write_spec(folder / OLD, cell.spec, cell.contents)
    for name in (BROKEN, "mine", "search-1/2"):
        (folder / name).mkdir(parents=True)
    shown = pd.DataFrame([{"table": "g", "row": "A", "key": SHOWN}, {"table": "g", "row": "A", "key": cell.key}])
    write_run(tmp_path / "runs/g", shown, [GRID], folder, RunIdentity())
    return folder, cell.key


def listed(folder: Path) -> list[inventory.Stored]:
    return inventory.inventory(folder, [folder.parent], default_registry())


def test_every_trial_is_listed_with_its_code_and_its_grids(store: tuple[Path, str]) -> None:
    folder, key = store
    assert {one.held.folder.name: (one.state, one.grids, one.reached) for one in listed(folder)} == {
        key: ("current", ("g",), True),
        EDITED: (CHANGED, (), False),
        SHOWN: (CHANGED, ("g",), True),
        OLD: (OLDER, (), False),
        BROKEN: ("cannot be read", (), False),
        GONE: ("made of components that are not loaded", (), True),
    }
    size = sum(path.stat().st_size for path in (folder / key).iterdir())
    assert ("g", 1, 1, size, "current") in inventory.lines(listed(folder))
    assert [name for name, *_ in inventory.searches(folder)] == ["search-1"]


def test_what_nothing_reaches_is_deleted_but_for_what_another_process_holds(store: tuple[Path, str]) -> None:
    folder, key = store
    before = listed(folder)
    with alone(folder / OLD):
        gone, kept = inventory.prune(before)
    assert [one.held.folder.name for one in gone] == [EDITED, BROKEN]
    assert [f"another process works in {folder / OLD}" in sentence for sentence in kept] == [True]
    assert {path.name for path in folder.iterdir() if path.is_dir()} == {key, SHOWN, OLD, GONE, "mine", "search-1"}
    (folder / OLD / "trial.yaml").unlink()  # another process went on there
    assert inventory.prune(before)[0] == []
    assert not (folder / EDITED).exists()
    assert inventory.prune(before)[1] == [f"{folder / OLD} stays: it has changed meanwhile"]


def test_data_that_changed_and_runs_that_cannot_be_read_are_said(store: tuple[Path, str], tiny_folder: Path) -> None:
    folder, key = store
    image = next((tiny_folder / "disc/train/good").iterdir())
    away = image.rename(folder.parent / image.name)
    try:
        assert {one.held.folder.name: one.state for one in listed(folder)}[key] == "the data changed"
    finally:
        away.rename(image)  # the folder is of all tests
    write_run(folder.parent / "g", pd.DataFrame([{"row": "A"}]), [GRID], folder, RunIdentity())
    with pytest.raises(ValueError, match=r"g/trials\.parquet does not say which trials it shows"):
        listed(folder)
    (folder.parent / "g/trials.parquet").write_text("broken")
    with pytest.raises(ValueError, match=r"cannot read .*trials\.parquet"):
        listed(folder)


def test_a_crash_leaves_an_unfinished_trial(store: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, _ = store

    def crash(path: Path) -> None:
        if path.is_dir():
            raise KeyboardInterrupt
        path.unlink()

    monkeypatch.setattr(inventory, "delete", crash)
    with pytest.raises(KeyboardInterrupt):
        inventory.prune(listed(folder))
    assert not (folder / EDITED / "result.json").exists()
    monkeypatch.undo()
    assert [one.held.folder.name for one in inventory.prune(listed(folder))[0]] == [EDITED, OLD, BROKEN]
