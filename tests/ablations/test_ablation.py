"""The results object: known trials as frames, figures and pages; folders that run or are no ablation's."""

import dataclasses
import json
import re
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot
from matplotlib.axes import Axes

import dlkd
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.run.costs import COSTS, Measured
from dlkd.ablations.stored.run_folder import write_run
from dlkd.ablations.stored.run_identity import RunIdentity

SHOWN = ("image_auroc", "pro")
ROWS = {"none": (0, 0), "A": (1, 0), "B": (0, 1), "A and $B$ <i>": (1, 1)}
SECONDS = 10.0


def grid(name="g", rows=ROWS, factors=True):
    made = [
        GridRow(label=label, variant="v", factors=dict(zip("AB", map(bool, on), strict=True)) if factors else {})
        for label, on in rows.items()
    ]
    return Grid(name=name, title=f"Title of {name}", rows=made, reference=list(rows)[-1], metrics=SHOWN)


def lines(of, seeds=4):
    """A adds 0.1 to every metric and B 0.02, give or take what each cell adds."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            **{"table": of.name, "row": label, "dataset": "textures", "category": category, "seed": seed},
            **{"metric": metric, "value": 0.7 + 0.1 * on[0] + 0.02 * on[1] + 0.001 * rng.standard_normal()},
            **{"status": "ok", "reason": "", "variant": "v", "key": f"{'-'.join(map(str, on))}-{category}-{seed}"},
            **{"image_size": "128", "epochs": 2, "max_steps": 16, "settings": "teacher t", "pro_limit": 0.3},
            **{"score_at": "network", "parameters": 2e6, "flops": 5e8, "train_seconds": SECONDS},
        }
        for label, on in ROWS.items()
        if label in [row.label for row in of.rows]
        for category in ("brick", "grass")
        for seed in range(seeds)
        for metric in (*SHOWN, "pixel_ap")
    )


def fail(trials, at, status="failed", reason="NonFiniteLossError: the loss is nan"):
    trials.loc[at, ["value", "parameters", "flops", "train_seconds"]] = np.nan
    trials.loc[at, ["status", "reason"]] = [status, reason]


@pytest.fixture
def ablation(tmp_path):
    """Two tables, which share the trials of the rows none and A; one trial of B failed."""
    both = [grid(), grid("h", dict(list(ROWS.items())[:2]), factors=False)]
    trials = pd.concat(map(lines, both), ignore_index=True)
    fail(trials, trials["key"] == "0-1-brick-0")
    write_run(tmp_path / "run", trials, both, tmp_path / "store", RunIdentity())
    alone = [Measured(of.name, row.label, latency_1=0.02, images_per_second=60.0) for of in both for row in of.rows]
    (tmp_path / "run" / COSTS).write_text(json.dumps([dataclasses.asdict(one) for one in alone[:-1]]))
    return dlkd.load_ablation(tmp_path / "run")


def test_costs_have_a_line_per_row_of_what_was_measured_alone(ablation):
    costs = ablation.costs
    assert costs["table"].tolist() == ["g"] * 4 + ["h"] * 2
    assert costs["train_seconds"].unique().tolist() == [SECONDS]
    assert costs["images_per_second"].iloc[:-1].unique().tolist() == [60.0]
    assert np.isnan(costs["latency_1"].iloc[-1])


def test_trials_have_a_line_each_so_that_costs_add_up(ablation):
    assert len(ablation.trials) == ablation.trials["key"].nunique() == 4 * 2 * 4
    assert ablation.trials["train_seconds"].sum() == SECONDS * 31
    assert len(ablation.table("h").trials) == 16
    line = ablation.trials.iloc[0]
    assert line[["table", "label", "status", "max_steps"]].tolist() == ["g", "none", "ok", 16]
    assert ablation.trials["status"].value_counts().to_dict() == {"ok": 31, "failed": 1}


def test_seeds_that_would_show_an_effect(ablation):
    found = ablation.seeds_to_detect(0.01)
    assert found["table"].tolist() == ["g"] * 3 + ["h"]
    assert found["label"].tolist() == ["A", "B", "A x B", "none"]
    assert found["pair_sd"].iloc[-1] == pytest.approx(0.001 * 2**0.5, rel=0.5)
    assert found["seeds"].tolist() == [3, 3, 3, 2]  # a family of three takes more than one comparison alone
    fewer, more = (ablation.table("h").seeds_to_detect(0.01, seeds=n)["categories"].item() for n in (8, 2))
    assert fewer <= more
    with pytest.raises(ValueError, match=r"the effect is 1; give one above the margin 0.005"):
        ablation.seeds_to_detect(1)


def test_scores_are_fractions_in_long_form_in_each_place(ablation):
    scores = ablation.scores
    assert len(scores) == (4 + 2) * 2 * 4 * 3
    assert scores["value"].dropna().between(0, 1).all()
    assert set(scores["metric"]) == {*SHOWN, "pixel_ap"}
    assert scores.loc[scores["status"] == "failed", "value"].isna().all()


def test_failures_stand_by_themselves(ablation, tmp_path):
    [failed] = ablation.failures.to_dict("records")
    assert (failed["label"], failed["category"], failed["seed"]) == ("B", "brick", 0)
    assert failed["reason"] == "NonFiniteLossError: the loss is nan"
    assert failed["log"] == str(tmp_path / "store" / "0-1-brick-0" / "failure.txt")


def test_summary_differences_effects_and_verdicts(ablation):
    g = ablation.table("g")
    summary = g.summary()
    assert list(summary.index) == list(ROWS)
    assert list(summary.columns.get_level_values(0).unique()) == list(SHOWN)
    assert list(summary["pro"].columns) == ["mean", "low", "high", "n_missing"]
    assert summary.loc["A", ("pro", "mean")] == pytest.approx(0.8, abs=2e-3)
    assert summary["pro"]["n_missing"].tolist() == [0, 0, 1, 0]
    assert list(g.summary("pixel_ap").columns.get_level_values(0).unique()) == ["pixel_ap"]
    assert ablation.summary().index.names == ["table", "label"]

    differences = g.differences()
    line = differences.query("label == 'A' and scope == 'these'").iloc[0]
    assert (line["table"], line["other"], line["metric"]) == ("g", list(ROWS)[-1], "image_auroc")
    assert line["estimate"] == pytest.approx(-0.02, abs=3e-3)
    assert line["low"] < line["estimate"] < line["high"] < 0
    [other] = differences.query("label == 'A' and metric == 'pro'").to_dict("records")
    assert (other["scope"], other["verdict"]) == ("", "exploratory")
    assert np.isnan(other["p"])
    assert set(g.differences("pro", reference="none")["other"]) == {"none"}

    effects = ablation.effects().query("scope == 'these'").set_index("effect")
    assert effects["estimate"].to_dict() == pytest.approx({"A": 0.1, "B": 0.02, "A x B": 0}, abs=3e-3)

    verdicts = g.verdicts().set_index(["kind", "label"])["verdict"]
    assert verdicts["main", "A"] == "helps"
    assert verdicts["interaction", "A x B"] == "equivalent"
    assert verdicts["row", "A"] == "harms"
    assert verdicts["row", "B"] == "harms"
    assert len(g.verdicts("like")) == len(g.verdicts()) == 6


def test_frames_are_new_and_the_object_is_frozen(ablation):
    for get in ("trials", "scores", "failures"):
        frame = getattr(ablation, get)
        frame["label"] = "changed"
        assert "changed" not in set(getattr(ablation, get)["label"])
    frame = ablation.table("g").summary()
    frame.iloc[:, :] = 0
    assert (ablation.table("g").summary()["pro"]["mean"] > 0.5).all()
    with pytest.raises(dataclasses.FrozenInstanceError):
        ablation.store = None


@pytest.mark.parametrize(
    ("ask", "says"),
    [
        (lambda a: a.table("j"), "has no table 'j'"),
        (lambda a: a.summary("prro"), "unknown metric 'prro'; did you mean 'pro'?"),
        (lambda a: a.differences(reference="C"), "table 'g' has no row 'C'; known: A, "),
        (lambda a: a.table("h").effects(), "no row of h has factors"),
        (lambda a: a.model("C"), "has no trial with label 'C'; known: A, "),
        (lambda a: a.model("B"), "there are several trials of 'B': say category=, brick, grass"),
        (lambda a: a.model("A", category="brick", seed=4), "has no trial with seed '4'"),
        (lambda a: a.model("A", category="brick", seed=0), "/store/1-0-brick-0 is no trial"),
        (lambda a: a.plot, "several tables, g, h; plot one"),
        (lambda a: a.table("g").plot.effects("pixel_ap"), "shows no metric 'pixel_ap'"),
        (lambda a: a.table("g").plot.learning_curves(), "no learning curve has the term 'total': no trial in "),
        (lambda a: a.table("g").plot.pictures(), "has kept pictures"),
        (lambda a: a.table("g").plot.segmentations(), "has kept pictures"),
        (lambda a: a.table("g").plot.segmentations(["C"]), "table 'g' has no row 'C'"),
    ],
)
def test_what_is_not_there_is_named(ablation, ask, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        ask(ablation)


def test_figures_are_drawn_on_the_axes_given_and_on_new_ones(ablation, tmp_path):
    (tmp_path / "store" / "0-0-brick-0").mkdir(parents=True)
    curve = {"curve": [{"step": 1, "epoch": 0, "total": 2.0}, {"step": 2, "epoch": 1, "total": 1.0}]}
    (tmp_path / "store" / "0-0-brick-0" / "result.json").write_text(json.dumps(curve))
    plot = ablation.table("g").plot
    figure, given = pyplot.subplots(2, 3)
    drawn = (plot.effects, plot.heat_map, plot.pareto, plot.learning_curves, plot.profile)
    for draw, ax in zip(drawn, given.flat, strict=False):
        assert draw(ax=ax) is ax
        assert ax.has_data()
        assert isinstance(draw(), Axes)
    labels = [text.get_text() for text in given[0, 1].get_yticklabels()]
    assert labels == list(ROWS)
    assert not any(text.get_parse_math() for text in given[0, 1].get_yticklabels())
    figure.savefig(tmp_path / "figure.png")
    pyplot.close("all")


def test_a_page_and_a_notebook_show_it(ablation, tmp_path):
    assert ablation.to_html(tmp_path / "page.html").read_text().count("Title of ") >= 2
    shown = ablation._repr_html_()
    assert "32 trials, 1 failed" in shown
    assert "A and $B$ &lt;i&gt;" in shown
    assert repr(ablation).startswith("Ablation(g, h: 32 trials, 1 failed; in ")


def test_a_grid_that_runs_is_read_from_its_store(tmp_path, finish_cell):
    of, store = grid(rows=dict(list(ROWS.items())[:2])), tmp_path / "store"
    trials = lines(of, seeds=1)
    fail(trials, trials["seed"] == 0, "not run", "not run")
    write_run(tmp_path / "run", trials, [of], store, RunIdentity())
    before = dlkd.load_ablation(tmp_path / "run")
    assert set(before.trials["status"]) == {"not run"}
    assert before.summary()["pro"]["n_missing"].tolist() == [2, 2]
    assert "not run" in before._repr_html_()
    finish_cell(SimpleNamespace(key="0-0-brick-0"), store, 0.75)
    (store / "1-0-brick-0").mkdir()
    (store / "1-0-brick-0" / "failure.txt").write_text("ValueError: too bad\n")
    now = dlkd.load_ablation(tmp_path / "run")
    assert now.trials["status"].tolist() == ["ok", "not run", "failed", "not run"]
    assert now.summary().loc["none", ("pro", "mean")] == 0.75
    assert now.failures["reason"].tolist() == ["ValueError: too bad"]


def test_folders_without_an_ablation_are_named(ablation, tmp_path):
    with pytest.raises(ValueError, match=r"/rum does not exist: name the folder .*; did you mean 'run'\?"):
        dlkd.load_ablation(tmp_path / "rum")
    with pytest.raises(ValueError, match=r"trials\.parquet is a file: name the folder"):
        dlkd.load_ablation(tmp_path / "run" / "trials.parquet")
    with pytest.raises(ValueError, match=r"/trials\.parquet is missing; `dlkd ablate` writes it"):
        dlkd.load_ablation(tmp_path)
    (tmp_path / "search.parquet").touch()
    with pytest.raises(ValueError, match="holds a search, no ablation: `dlkd report "):
        dlkd.load_ablation(tmp_path)


def test_it_is_read_and_compared_without_pytorch_and_ray(ablation):
    code = f"""
import sys, dlkd
a = dlkd.load_ablation({str(ablation.folder)!r})
a.trials, a.scores, a.failures, a.summary(), a.differences(), a.effects(), a.verdicts(), a._repr_html_()
print(a.compare(a).to_frame()["difference"].sum())
print([name for name in ("torch", "ray", "lightning", "timm", "optuna") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["0.0", "[]"], done.stderr
