"""The display: a line per event where nobody watches, bars where somebody does, and the time left."""

import io
import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run import display as display_module
from dlkd.ablations.run import spent as spent_module
from dlkd.ablations.run.display import Display
from dlkd.ablations.stored.store import FAILURE, PROGRESS
from dlkd.registry import default_registry
from dlkd.training import run_trial

MakeCells = Callable[..., list[Cell]]


@pytest.fixture
def cells(make_tiny_cells: MakeCells, tmp_path: Path) -> list[Cell]:
    """One trained, one failed, one that runs."""
    cells = make_tiny_cells([("A", {}), ("B", {"sigma": 2.0}), ("C", {"sigma": 1.0})])
    run_trial(cells[0].spec, tmp_path / cells[0].key, default_registry())
    for cell, name, text in ((cells[1], FAILURE, "ValueError: broken\n"), (cells[2], PROGRESS, "0.5")):
        (tmp_path / cell.key).mkdir()
        (tmp_path / cell.key / name).write_text(text)
    return cells


@pytest.mark.parametrize("terminal", [False, True])
def test_every_end_is_one_line(cells: list[Cell], tmp_path: Path, tiny_folder: Path, terminal: bool) -> None:
    text = io.StringIO()
    display = Display(tmp_path, Console(file=text, force_terminal=terminal, width=200, color_system=None))
    display.start(cells, cells, workers=2)
    for cell in cells:
        display.started(cell.key)
    display.finished(cells[0].key)
    display.failed(cells[1].key, "ValueError: broken")
    display.stop()
    said = text.getvalue()
    assert "3 cells (3 table entries, 0 of them shared), 0 already done, 3 to train, 2 at a time" in said
    assert said.count(f"done: A, {tiny_folder.name}/disc, seed 0: image_auroc") == 1
    assert said.count(f"failed: B, {tiny_folder.name}/disc, seed 0: ValueError: broken") == 1


def test_an_undefined_metric_is_a_dash_with_its_reason_once(cells: list[Cell], tmp_path: Path) -> None:
    result = tmp_path / cells[0].key / "result.json"
    found = json.loads(result.read_text())
    found["metrics"]["aupimo"], found["undefined"] = math.nan, {"aupimo": "too few normal pixels"}
    text = io.StringIO()
    display = Display(tmp_path, Console(file=text, width=500))
    display.start(cells, cells, workers=2)
    for cell in (cells[0], cells[2]):
        (tmp_path / cell.key / "result.json").write_text(json.dumps(found))
        display.started(cell.key)
        display.finished(cell.key)
    display.stop()
    said = text.getvalue()
    assert said.count("aupimo –") == 2
    assert "nan" not in said
    assert said.count("note: aupimo is undefined (–): too few normal pixels\n") == 1


def test_time_left_counts_the_part_of_a_running_cell_that_is_done(
    cells: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(display_module, "monotonic", lambda: now[0])
    display = Display(tmp_path, Console(file=io.StringIO()))
    display.start(cells, cells, workers=1)
    assert display.seconds_left() is None
    display.started(cells[0].key)
    now[0] += 10
    display.finished(cells[0].key)
    display.started(cells[2].key)  # half done, by its progress file; one more waits
    assert display.seconds_left() == pytest.approx(15)
    display.stop()


@pytest.mark.parametrize("terminal", [False, True])
def test_labels_and_reasons_are_no_markup(make_tiny_cells: MakeCells, tmp_path: Path, terminal: bool) -> None:
    cells = make_tiny_cells([("PRL [w/o gate]", {}), ("[/x] :x:", {"sigma": 2.0})])
    text = io.StringIO()
    display = Display(tmp_path, Console(file=text, force_terminal=terminal, width=200, color_system=None))
    display.start(cells, cells, workers=2)
    for cell in cells:
        display.started(cell.key)
    for cell in cells:
        display.failed(cell.key, "DataError: [/b] \udcff: is damaged")
    display.stop()
    for cell in cells:
        assert f"failed: {cell.name}: DataError: [/b] \\xff: is damaged" in text.getvalue()


def test_end_says_where_the_time_of_the_cells_went(
    cells: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(spent_module, "monotonic", lambda: now[0])
    path = tmp_path / cells[0].key / "result.json"
    result = json.loads(path.read_text())
    seconds = {"train_seconds": 20.0, "normal_seconds": 3.0, "score_seconds": 2.0, "other_seconds": 1.0}
    path.write_text(json.dumps(result | {"costs": result["costs"] | seconds}))
    text = io.StringIO()
    display = Display(tmp_path, Console(file=text, width=300))
    display.start(cells, cells, 2, 2)
    now[0] += 9  # Ray starts
    display.started(cells[0].key)
    display.started(cells[1].key)
    now[0] += 26
    display.finished(cells[0].key)
    display.stop()
    assert (
        "1 cell in 26 s on 2 cores, beside 9 s to start Ray: 20 s of training, 5 s of forward passes over normal and "
        "test images, 1 s of the rest; 2.00 times their sum divided by the cores" in text.getvalue()
    )


def test_nothing_is_said_of_the_time_of_no_cells(tmp_path: Path) -> None:
    text = io.StringIO()
    display = Display(tmp_path, Console(file=text, width=300))
    display.start([], [], 2, 2)
    display.stop()
    assert "forward passes" not in text.getvalue()
