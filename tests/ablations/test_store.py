"""The store: what is missing, and the table of all trials."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dlkd.ablations.grid import Cell
from dlkd.ablations.store import FAILURE, collect, failure, missing_cells, read_trials, write_trials
from dlkd.files import write_text
from dlkd.registry import default_registry
from dlkd.training import METRICS, run_trial

MakeCells = Callable[..., list[Cell]]


def test_a_cell_is_missing_until_its_result_stands(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    cells = make_tiny_cells()
    assert missing_cells(cells, tmp_path) == cells
    result = run_trial(cells[0].spec, tmp_path / cells[0].key, default_registry())
    (tmp_path / cells[1].key).mkdir()
    (tmp_path / cells[1].key / FAILURE).write_text("ValueError: broken\n\nTraceback")
    assert missing_cells(cells, tmp_path) == cells[1:]
    assert failure(cells[0], tmp_path) is None
    assert failure(cells[1], tmp_path) == "ValueError: broken"

    trials = collect(cells, tmp_path)
    assert list(trials.row) == ["A"] * 7 + ["B"] * 7
    assert list(trials.status) == ["ok"] * 7 + ["failed"] * 7
    assert list(trials.value[:7]) == [result.metrics[m] for m in METRICS]
    assert trials.value[7:].isna().all()
    assert set(trials.reason[7:]) == {"ValueError: broken"}

    write_trials(trials, tmp_path / "trials.parquet")
    pd.testing.assert_frame_equal(read_trials(tmp_path / "trials.parquet"), trials)


def test_a_cell_never_tried_is_failed_with_not_run(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    trials = collect(make_tiny_cells(), tmp_path)
    assert set(trials.reason) == {"not run"}
    assert np.isnan(trials.value).all()


def test_a_parquet_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trials\.parquet is missing"):
        read_trials(tmp_path / "trials.parquet")
    (tmp_path / "trials.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"cannot read .*trials\.parquet"):
        read_trials(tmp_path / "trials.parquet")


def test_names_that_are_not_utf_8_are_escaped_in_the_parquet(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    [cell, _] = make_tiny_cells()
    cell = replace(cell, spec=cell.spec.model_copy(update={"category": "d\udcff\n"}))
    write_text(tmp_path / cell.key / FAILURE, "DataError: /data/\udcff is damaged")
    write_trials(collect([cell], tmp_path), tmp_path / "trials.parquet")
    trials = read_trials(tmp_path / "trials.parquet")
    assert set(trials["category"]) == {"d\\xff\\n"}
    assert set(trials["reason"]) == {"DataError: /data/\\udcff is damaged"}
