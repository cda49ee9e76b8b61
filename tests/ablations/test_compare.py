"""Two runs side by side: only shared cells are compared, and what else differs is said."""

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dlkd.ablations.ablation import load_ablation
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.run.run_folder import write_run

METRICS = ("image_auroc", "pro")


def run(folder, value, *, seeds=(0, 1), rows=("LFRB", "DLKD"), steps=16, key=""):
    lines = [
        {
            **{"table": "table4", "row": row, "dataset": "textures", "category": category, "seed": seed},
            **{
                "metric": metric,
                "value": value + 0.01 * c + (0.001 + 0.002 * (value > 0.85)) * (seed - 0.5) + 0.0005,
                "status": "ok",
                "reason": "",
            },
            **{
                "key": f"{key}{rows.index(row)}-{category}-{seed}",
                "image_size": 128,
                "epochs": 1000,
                "max_steps": steps,
            },
            **{"settings": "teacher tf_efficientnet_lite0", "pro_limit": 0.3, "score_at": "network"},
        }
        for row in rows
        for c, category in enumerate(("brick", "grass", "gravel"))
        for seed in seeds
        for metric in METRICS
    ]
    trials = pd.DataFrame(lines)
    write(folder, trials)
    return trials


def write(folder, trials):
    made = [GridRow(label=row, variant="dlkd") for row in trials["row"].unique()]
    grid = Grid(name="table4", title="t", rows=made, reference=made[-1].label, metrics=METRICS)
    write_run(folder, trials, [grid], folder / "store")


def compare(a, b):
    return load_ablation(a).compare(load_ablation(b))


def shown(comparison):
    console = Console(width=140, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(comparison)
    console.file.close()
    return console.export_text()


def test_a_run_beside_itself_differs_in_nothing(tmp_path):
    run(tmp_path / "a", 0.8)
    found = compare(tmp_path / "a", tmp_path / "a")
    assert found.notes == ["12 cells in A, 12 in B; 12 of them are the same trials"]
    for line in found.tables["table4"]:
        assert line.a == line.b == pytest.approx(0.8105)
        assert line.difference == 0
        assert not line.told_apart
        assert line.shared == line.cells == 6


def test_a_run_of_a_version_with_other_columns_is_refused(tmp_path):
    write(tmp_path / "a", run(tmp_path / "a", 0.8).drop(columns="pro_limit"))
    with pytest.raises(ValueError, match=r"a/trials\.parquet lacks the columns pro_limit: write it again"):
        compare(tmp_path / "a", tmp_path / "a")


def test_a_gain_is_measured_and_told_apart(tmp_path):
    run(tmp_path / "a", 0.8)
    run(tmp_path / "b", 0.9, steps=160, key="b")
    found = compare(tmp_path / "a", tmp_path / "b")
    assert "most steps: 16 in A, 160 in B" in found.notes
    assert "12 cells in A, 12 in B; 0 of them are the same trials" in found.notes
    line = found.tables["table4"][0]
    assert (line.row, line.metric, line.difference) == ("LFRB", "image_auroc", pytest.approx(0.1))
    assert line.told_apart
    assert line.low > 0.09
    other = found.tables["table4"][1]
    assert (other.metric, other.difference, other.told_apart) == ("pro", pytest.approx(0.1), False)  # exploratory
    text = shown(found)
    assert "LFRB" in text
    assert "+10.00" in text
    assert "| LFRB | Image-AUROC | 81.05 | 91.05 | +10.00 |" in found.markdown()
    frame = found.to_frame()
    assert list(frame.columns[:5]) == ["table", "label", "metric", "a", "b"]
    assert frame.loc[0, ["a", "b", "difference"]].tolist() == pytest.approx([0.8105, 0.9105, 0.1])


def test_only_shared_cells_are_compared(tmp_path):
    run(tmp_path / "a", 0.8, seeds=(0, 1))
    b = run(tmp_path / "b", 0.8, seeds=(1, 2))
    b.loc[(b["category"] == "brick") & (b["seed"] == 1), ["value", "status"]] = [np.nan, "failed"]
    write(tmp_path / "b", b)
    found = compare(tmp_path / "a", tmp_path / "b")
    line = found.tables["table4"][0]
    assert (line.shared, line.cells) == (2, 9)
    assert line.a == line.b == pytest.approx(0.816)  # grass and gravel of seed 1
    assert line.difference == pytest.approx(0)
    assert "seeds: 0 and 1 in A, 1 and 2 in B" in found.notes
    assert "2 cells of B failed" in found.notes
    assert "2 of 9" in shown(found)


def test_a_row_of_one_run_only_keeps_its_figure(tmp_path):
    run(tmp_path / "a", 0.8, rows=("LFRB",))
    run(tmp_path / "b", 0.9, rows=("LFRB", "DLKD"))
    found = compare(tmp_path / "a", tmp_path / "b")
    line = next(line for line in found.tables["table4"] if line.row == "DLKD")
    assert np.isnan(line.a)
    assert line.b == pytest.approx(0.9105)
    assert np.isnan(line.difference)
    assert line.texts == ("DLKD", "Image-AUROC", "–", "91.05", "–", "", "", "0 of 6")


def test_labels_with_markup_are_shown_as_they_are(tmp_path):
    run(tmp_path / "a", 0.8, rows=("[bold]A | B[/bold]", "C"))
    found = compare(tmp_path / "a", tmp_path / "a")
    assert "[bold]A | B[/bold]" in shown(found)
    assert r"| [bold]A \| B[/bold] | Image-AUROC |" in found.markdown()


def test_a_folder_without_trials_is_an_error(tmp_path):
    run(tmp_path / "a", 0.8)
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"b/trials\.parquet is missing"):
        compare(tmp_path / "a", tmp_path / "b")
