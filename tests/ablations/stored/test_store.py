"""The store: what is missing, and the table of all trials."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from dlkd.ablations.plan.cells import Cell, make_cells
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.report.tables import tabulate
from dlkd.ablations.statistics.metric_trials import metric_trials
from dlkd.ablations.statistics.pairs import paired
from dlkd.ablations.stored.mend import mend
from dlkd.ablations.stored.store import FAILURE, failure, missing_cells
from dlkd.ablations.stored.trials import collect, read_trials, read_with_about, renewed, write_trials
from dlkd.files import alone, write_text
from dlkd.registry import default_registry
from dlkd.training import METRICS, Preset, TrainConfig, read_result, run_trial
from dlkd.training.trials.kept_influences import read_influences
from dlkd.training.trials.trial_result import ADDED

MakeCells = Callable[..., list[Cell]]
UNTRAINED = Preset(
    train=TrainConfig(image_size=32, batch_size=3, epochs=0),
    model={"teacher": {"backbone": "test_resnet", "weights": "random"}},
)


def test_a_cell_is_missing_until_its_result_stands(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    cells = make_tiny_cells()
    assert missing_cells(cells, tmp_path) == cells
    result = run_trial(cells[0].spec, tmp_path / cells[0].key, default_registry())
    (tmp_path / cells[1].key).mkdir()
    (tmp_path / cells[1].key / FAILURE).write_text("ValueError: broken\n\nTraceback")
    assert missing_cells(cells, tmp_path) == cells[1:]
    assert failure(cells[0].key, tmp_path) is None
    assert failure(cells[1].key, tmp_path) == "ValueError: broken"

    trials = collect(cells, tmp_path)
    n = len(METRICS)
    assert list(trials.row) == ["A"] * n + ["B"] * n
    assert list(trials.status) == ["undefined" if m == "aupimo" else "ok" for m in METRICS] + ["failed"] * n
    np.testing.assert_array_equal(trials.value[:n], [result.metrics[m] for m in METRICS])
    assert trials.value[n:].isna().all()
    assert set(trials.reason[n:]) == {"ValueError: broken"}

    write_trials(trials, tmp_path / "trials.parquet")
    pd.testing.assert_frame_equal(read_trials(tmp_path / "trials.parquet"), trials)


def test_the_table_holds_the_influences_of_the_test_images(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    cells = make_tiny_cells(preset=UNTRAINED)
    run_trial(cells[0].spec, tmp_path / cells[0].key, default_registry())
    before = collect(cells, tmp_path)
    run_trial(cells[1].spec, tmp_path / cells[1].key, default_registry())
    trials = collect(cells, tmp_path)
    pd.testing.assert_frame_equal(renewed(before, tmp_path), trials)
    assert set(trials["images"]) == {cells[0].contents["data"]}
    kept = read_influences(tmp_path / cells[1].key)
    assert kept is not None
    lines = trials[trials["row"] == "B"].set_index("metric")
    for metric in ("image_auroc", "pixel_auroc", "pro", "pro_05", "seg_f1"):
        assert lines.loc[metric, "influences"].tolist() == kept[metric].tolist()
        assert lines.loc[metric, "anomalous"].tolist() == kept["anomalous"].tolist()
    assert lines.loc[["image_ap", "pixel_f1_max"], ["influences", "anomalous"]].isna().all(axis=None)
    write_trials(trials, tmp_path / "trials.parquet")
    make_older(tmp_path / cells[1].key)
    older = collect(cells, tmp_path).query("row == 'B'").set_index("metric")
    assert older.loc["pro", "influences"].tolist() == lines.loc["pro", "influences"].tolist()
    assert set(older.loc[list(ADDED), "reason"]) == {"the trial is of an older dlkd, which did not measure it"}
    assert older.loc[list(ADDED), ["value", "influences"]].isna().all(axis=None)
    shutil.rmtree(tmp_path / cells[0].key)
    found = metric_trials(read_trials(tmp_path / "trials.parquet"), "pro")
    assert [pairs.new_images for pairs in paired(found, {"A": "B"})] == [True]


def make_older(folder: Path) -> None:
    """Take out of a trial what a dlkd with three metrics less did not write."""
    stored = json.loads((folder / "result.json").read_text(encoding="utf-8"))
    for part in ("metrics", "undefined"):
        stored[part] = {name: value for name, value in stored[part].items() if name not in ADDED}
    (folder / "result.json").write_text(json.dumps(stored), encoding="utf-8")
    kept = np.load(folder / "influences.npy")
    np.save(folder / "influences.npy", kept[[name for name in kept.dtype.names if name not in ADDED]])


def test_a_cell_never_tried_is_failed_with_not_run(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    trials = collect(make_tiny_cells(), tmp_path)
    assert set(trials.reason) == {"not run"}
    assert np.isnan(trials.value).all()


@pytest.fixture
def finished(make_tiny_cells: MakeCells, tmp_path: Path) -> Cell:
    cell = make_tiny_cells([("A", {})], preset=UNTRAINED)[0]
    run_trial(cell.spec, tmp_path / cell.key, default_registry())
    return cell


@pytest.mark.parametrize("name", ["trial.yaml", "last.ckpt"])
def test_what_a_missing_cell_cannot_go_on_by_is_said_and_deleted(
    make_tiny_cells: MakeCells, tmp_path: Path, name: str
) -> None:
    """Else it would fail in every run."""
    [cell] = make_tiny_cells([("A", {})], preset=UNTRAINED)
    folder = tmp_path / cell.key
    folder.mkdir()
    (folder / name).write_bytes(b"\xff{")
    (folder / "result.json").write_text("{")
    said = mend(cell, tmp_path)
    assert f"{folder / 'result.json'} cannot be read" in said
    assert str(folder / name) in said
    assert "\n" not in said
    assert list(folder.iterdir()) == []
    (folder / name).write_bytes(b"\xff{")
    with alone(folder):
        assert mend(cell, tmp_path) == ""


def test_a_full_disk_names_the_table_and_keeps_the_old_one(tmp_path: Path, full_disk: Callable[[str], None]) -> None:
    path = tmp_path / "trials.parquet"
    write_trials(pd.DataFrame({"a": [1]}), path)
    full_disk("trials.parquet")
    with pytest.raises(OSError, match=r"No space left on device: '.*trials\.parquet'"):
        write_trials(pd.DataFrame({"a": [2]}), path)
    assert list(read_trials(path)["a"]) == [1]


def test_a_result_that_cannot_be_read_is_a_missing_cell(finished: Cell, tmp_path: Path) -> None:
    path = tmp_path / finished.key / "result.json"
    whole = path.read_text()
    data = json.loads(whole)
    broken = ["", whole[:100], "[]", "null", "\0", "[" * 100_000]
    broken += [json.dumps({**data, "metrics": {"pro": 1.0}}), json.dumps({**data, "metrics": None})]
    broken += [json.dumps({**data, name: "x"}) for name in ("undefined", "costs", "curve", "normal", "alarm")]
    broken += [json.dumps({k: v for k, v in data.items() if k != name}) for name in ("metrics", "curve", "alarm")]
    for text in broken:
        path.write_text(text)
        assert missing_cells([finished], tmp_path) == [finished], text[:50]
        assert set(collect([finished], tmp_path).status) == {"not run"}
        assert "result.json cannot be read: " in mend(finished, tmp_path)
        assert not path.exists()
    path.write_bytes(b"\xff\xfe")
    assert missing_cells([finished], tmp_path) == [finished]
    path.unlink()
    path.mkdir()
    (path / "a").touch()
    assert missing_cells([finished], tmp_path) == [finished]
    assert mend(finished, tmp_path)
    assert not path.exists()
    path.write_text(whole)
    assert missing_cells([finished], tmp_path) == []
    assert mend(finished, tmp_path) == ""


def test_a_broken_result_is_trained_again_with_the_same_figures(finished: Cell, tmp_path: Path) -> None:
    before = read_result(tmp_path / finished.key)
    (tmp_path / finished.key / "result.json").write_text("{")
    again = run_trial(finished.spec, tmp_path / finished.key, default_registry(), resume=True)
    assert repr(again.metrics) == repr(before.metrics)
    assert repr(read_result(tmp_path / finished.key)) == repr(again)


@pytest.mark.parametrize(("text", "says"), [(b"", "is empty"), (b"\xff: broken\nmore", "\ufffd: broken")])
def test_why_a_cell_failed_is_said_whatever_the_file_holds(
    make_tiny_cells: MakeCells, tmp_path: Path, text: bytes, says: str
) -> None:
    cell = make_tiny_cells()[0]
    (tmp_path / cell.key).mkdir()
    (tmp_path / cell.key / FAILURE).write_bytes(text)
    assert says in str(failure(cell.key, tmp_path))


def test_a_table_remembers_what_it_is_about(tmp_path: Path) -> None:
    about = {"grids": [{"title": "[α] \udcff"}], "store": "/x"}
    write_trials(pd.DataFrame({"a": [1]}), tmp_path / "t.parquet", about)
    assert read_with_about(tmp_path / "t.parquet")[1] == about
    assert read_trials(tmp_path / "t.parquet").attrs == {}


def test_datasets_of_one_kind_with_the_same_categories_stand_apart(
    finish_cell: Callable[..., None], tiny_folder: Path, tmp_path: Path
) -> None:
    registry = default_registry()
    nodes = []
    for side in ("left", "right"):
        root = tmp_path / side / "parts"
        shutil.copytree(tiny_folder, root)
        with Image.open(root / "disc/train/good/000.png") as picture:
            picture.rotate(90).save(root / "disc/train/good/001.png")
        nodes.append((registry.complete("dataset", {"name": "folder", "root": str(root)}), ["disc"]))
    Image.new("RGB", (9, 9)).save(root / "disc/train/good/001.png")
    rows = (GridRow(label="A", variant="dlkd-lfrb"), GridRow(label="B", variant="dlkd-lfrb", overrides={"sigma": 2.0}))
    grid = Grid(name="g", title="t", rows=rows, reference="B")
    cells = make_cells(grid, registry, nodes, [0], UNTRAINED)
    for i, cell in enumerate(cells):
        finish_cell(cell, tmp_path, 0.1 * i)
    trials = collect(cells, tmp_path)
    assert set(trials.dataset) == {"left/parts", "right/parts"}
    [a, _] = tabulate(trials, grid).rows
    assert a.entries["pro"].mean == pytest.approx(5)  # of both
    assert a.entries["pro"].cells == 2
    assert len({cell.spec.trial_seed for cell in cells}) == 1


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
