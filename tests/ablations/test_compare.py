"""Two runs side by side: only shared cells are compared, and what else differs is said."""

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dlkd.ablations.ablation import load_ablation
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.stored.run_folder import read_identity, read_run, write_run
from dlkd.ablations.stored.run_identity import RunIdentity

METRICS = ("image_auroc", "pro")


MODELS = {"LFRB": {"sigma": 1.0}, "DLKD": {"sigma": 2.0}}


def run(
    folder,
    value,
    *,
    seeds=(0, 1),
    rows=("LFRB", "DLKD"),
    steps=16,
    key="",
    table="table4",
    dataset="textures",
    data="x",
):
    """`rows` are labels, or (label, model) where a row is called otherwise."""
    rows = dict(row if isinstance(row, tuple) else (row, MODELS.get(row, {"of": row})) for row in rows)
    lines = [
        {
            **{"table": table, "row": row, "dataset": dataset, "category": category, "seed": seed},
            **{
                "metric": metric,
                "value": value + 0.01 * c + (0.001 + 0.002 * (value > 0.85)) * (seed - 0.5) + 0.0005,
                "status": "ok",
                "reason": "",
            },
            **{
                "key": f"{key}{list(rows).index(row)}-{category}-{seed}",
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
    made = {(table, row): {"model": model, "train": {"max_steps": steps}} for row, model in rows.items()}
    trials = pd.DataFrame(lines)
    write(folder, trials, RunIdentity(made, {(dataset, "brick"): {"contents": data}}))
    return trials


NOT_SAID = RunIdentity()


def write(folder, trials, identity=NOT_SAID):
    made = [GridRow(label=row, variant="dlkd") for row in trials["row"].unique()]
    grid = Grid(name=trials["table"][0], title="t", rows=made, reference=made[-1].label, metrics=METRICS)
    write_run(folder, trials, [grid], folder / "store", identity)


def compare(a, b):
    return load_ablation(a).compare(load_ablation(b))


def shown(comparison, width=140):
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(comparison)
    console.file.close()
    return console.export_text()


def test_a_run_beside_itself_differs_in_nothing(tmp_path):
    run(tmp_path / "a", 0.8)
    found = compare(tmp_path / "a", tmp_path / "a")
    same, claim = found.notes
    assert same == "12 cells in A, 12 in B; 12 of them are the same trials"
    assert claim.startswith("intervals, p and verdicts are for new seeds and these very test images of the")
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
    assert "settings differ: train.max_steps 16 -> 160 (all rows)" in found.notes
    assert "12 cells in A, 12 in B; 0 of them are the same trials" in found.notes
    line = found.tables["table4"][0]
    assert (line.pair.label, line.metric, line.difference) == ("LFRB", "image_auroc", pytest.approx(0.1))
    assert line.told_apart
    assert line.low > 0.09
    other = found.tables["table4"][1]
    assert (other.metric, other.difference, other.told_apart) == ("pro", pytest.approx(0.1), False)  # exploratory
    text = shown(found)
    assert "LFRB" in text
    assert "+10.00" in text
    assert "| LFRB | Image-AUROC | 81.05 | 91.05 | +10.00 |" in found.markdown()
    assert "| B better | 6 |" in found.markdown()
    frame = found.to_frame()
    assert list(frame.columns[:5]) == ["table", "label", "table_b", "label_b", "settings"]
    assert frame.loc[0, ["a", "b", "difference"]].tolist() == pytest.approx([0.8105, 0.9105, 0.1])


def test_the_claim_is_about_new_images_where_both_runs_have_the_influences_of_the_same_ones(tmp_path):
    trials = run(tmp_path / "a", 0.81, seeds=(0, 1, 2))
    known = trials.assign(images="x", anomalous=[[True, False] * 10] * len(trials))
    known["influences"] = [np.random.default_rng(0).normal(0, 1e-4, 20) for _ in range(len(known))]
    for folder, other in (("a", known), ("b", known), ("c", known.assign(images="other pictures"))):
        write(tmp_path / folder, other)
    for folder, about in (("b", "new seeds and new test images"), ("c", "new seeds and these very test images")):
        found = compare(tmp_path / "a", tmp_path / folder)
        assert f"are for {about} of the categories that both have" in found.notes[-1]
        frame = found.to_frame()
        assert (frame["new_images"] == (frame["verdict"].ne("") & (folder == "b"))).all()


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


def test_a_metric_that_is_undefined_in_every_cell_of_both_runs_is_shown_as_a_dash_and_the_others_are_compared(tmp_path):
    for name, value in (("a", 0.8), ("b", 0.9)):
        trials = run(tmp_path / name, value)
        trials.loc[trials["metric"] == "pro", ["value", "status", "reason"]] = [np.nan, "undefined", "no masks"]
        write(tmp_path / name, trials)
    found = compare(tmp_path / "a", tmp_path / "b")
    lines = {line.metric: line for line in found.tables["table4"] if line.pair.label == "LFRB"}
    assert lines["image_auroc"].difference == pytest.approx(0.1)
    assert lines["image_auroc"].verdict == "helps"
    assert np.isnan([lines["pro"].a, lines["pro"].b, lines["pro"].difference]).all()
    assert lines["pro"].shared == 0
    assert "| LFRB | PRO | – | – | – |  |  |  | 0 of 6 |" in found.markdown()


def test_a_row_of_one_run_only_is_named_and_not_shown_as_dashes(tmp_path):
    run(tmp_path / "a", 0.8, rows=("LFRB", "GFRB", "none"))
    run(tmp_path / "b", 0.9, rows=("LFRB", "DLKD"))
    found = compare(tmp_path / "a", tmp_path / "b")
    assert {line.pair.label for line in found.tables["table4"]} == {"LFRB"}
    assert "only in A: table4: 'GFRB' and 'none'" in found.notes
    assert "only in B: table4: 'DLKD'" in found.notes
    assert "–" not in shown(found)


def test_a_renamed_grid_is_compared_row_by_row(tmp_path):
    run(tmp_path / "a", 0.8)
    run(tmp_path / "b", 0.9, table="mine", rows=(("full", MODELS["DLKD"]), ("plain", MODELS["LFRB"])))
    found = compare(tmp_path / "a", tmp_path / "b")
    [(table, lines)] = found.tables.items()
    assert table == "table4 (A), mine (B)"
    assert [line.pair.label for line in lines[::2]] == ["LFRB (A), plain (B)", "DLKD (A), full (B)"]
    assert all(line.difference == pytest.approx(0.1) for line in lines)
    assert lines[0].verdict == "helps"
    assert not any("settings differ" in note or "only in" in note for note in found.notes)
    assert "DLKD (A), full (B)" in shown(found)
    first = found.to_frame().iloc[0]
    assert first[["table", "label", "table_b", "label_b"]].tolist() == ["table4", "LFRB", "mine", "plain"]


def test_rows_of_one_model_with_another_training_say_what_differs(tmp_path):
    run(tmp_path / "a", 0.8)
    run(tmp_path / "b", 0.9, steps=160, key="b", rows=("LFRB", ("DLKD", {"sigma": 3.0})), data="y")
    found = compare(tmp_path / "a", tmp_path / "b")
    assert "settings differ: train.max_steps 16 -> 160 ('LFRB')" in found.notes
    assert "settings differ: model.sigma 2.0 -> 3.0; train.max_steps 16 -> 160 ('DLKD')" in found.notes
    assert "the data of textures/brick differ" in found.notes
    assert found.to_frame()["settings"].iloc[0] == "train.max_steps 16 -> 160"


def test_a_run_that_does_not_say_what_its_rows_are_is_paired_by_labels(tmp_path):
    run(tmp_path / "a", 0.8)
    write(tmp_path / "b", run(tmp_path / "b", 0.9))
    found = compare(tmp_path / "a", tmp_path / "b")
    assert "settings differ: not known what they are (all rows)" in found.notes
    assert len(found.tables["table4"]) == 4


def test_nothing_in_common_is_one_error_that_says_what_each_has(tmp_path):
    run(tmp_path / "a", 0.8)
    run(tmp_path / "b", 0.8, table="mine", rows=("X",))
    with pytest.raises(ValueError, match=r"no row, by model .*a, has table4: 'LFRB' and 'DLKD'\. B, .* has mine: 'X'$"):
        compare(tmp_path / "a", tmp_path / "b")
    run(tmp_path / "b", 0.8, dataset="elpv", seeds=(0,))
    with pytest.raises(ValueError, match=r"data and seed in common.* datasets: textures;.* datasets: elpv;.*seeds: 0$"):
        compare(tmp_path / "a", tmp_path / "b")


def test_labels_with_markup_are_shown_as_they_are(tmp_path):
    run(tmp_path / "a", 0.8, rows=("[bold]A | B[/bold]", "C"))
    found = compare(tmp_path / "a", tmp_path / "a")
    assert "[bold]A | B[/bold]" in shown(found)
    assert r"| [bold]A \| B[/bold] | Image-AUROC |" in found.markdown()


@pytest.mark.parametrize("width", [80, 100])
def test_names_are_whole_words_on_a_narrow_console(tmp_path, width):
    labels = {"a": "untrained", "b": "DLKD, untrained student"}
    for folder, value in (("a", 0.8), ("b", 0.9)):
        run(tmp_path / folder, value, rows=((labels[folder], {"sigma": 1.0}), "DLKD"))
    text = shown(compare(tmp_path / "a", tmp_path / "b"), width)
    table = text[text.index("\ntable4") :]
    assert {"untrained", "DLKD,", "student", "Image-AUROC", "+10.00", "B", "better"} <= set(table.split())
    assert max(map(len, table.splitlines())) <= width
    assert ("untrained (A), DLKD," in table) == (width == 100)


def test_a_folder_without_trials_is_an_error(tmp_path):
    run(tmp_path / "a", 0.8)
    (tmp_path / "b").mkdir()
    with pytest.raises(ValueError, match=r"b/trials\.parquet is missing"):
        compare(tmp_path / "a", tmp_path / "b")


def test_a_run_with_seeds_added_to_what_was_open_is_compared_as_at_a_look(tmp_path):
    run(tmp_path / "a", 0.8)
    run(tmp_path / "b", 0.9)
    fixed = compare(tmp_path / "a", tmp_path / "b").to_frame().query("metric == 'image_auroc'")
    trials, [grid], store = read_run(tmp_path / "b")
    identity = read_identity(tmp_path / "b")
    write_run(tmp_path / "b", trials, [grid.model_copy(update={"until_decided": 20})], store, identity)
    looked = compare(tmp_path / "a", tmp_path / "b").to_frame().query("metric == 'image_auroc'")
    assert (looked["p"] / fixed["p"]).tolist() == pytest.approx([20 / (0.3 * 2)] * 2)
    assert (looked["low"] < fixed["low"]).all()
