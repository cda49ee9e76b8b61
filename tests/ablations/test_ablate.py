"""`dlkd.ablate`: what it takes, what it leaves at each moment, what it says. No trial is trained here."""

import re
import warnings
from types import SimpleNamespace

import pytest

import dlkd
from dlkd.ablations.plan.grid_files import grid_of
from dlkd.ablations.run import ray_training
from dlkd.training import config

TEACHER = {"backbone": "test_resnet", "weights": "random"}
GRID = {
    "title": "a small one",
    "rows": [
        {"label": "A", "variant": "dlkd-lfrb", "overrides": {"teacher": TEACHER}},
        {"label": "B", "variant": "dlkd-lfrb", "overrides": {"teacher": TEACHER, "sigma": 2.0}},
    ],
    "reference": "B",
}


@pytest.fixture
def training(monkeypatch, tmp_path, finish_cell):
    """The rows whose cells were to be trained (`asked`), which end at once; before each, `then` is called."""
    training = SimpleNamespace(asked=[], then=lambda cell: None)

    def train(todo, store, *_, **__):
        for cell in todo:
            training.then(cell)
            training.asked.append(cell.rows[0][1])
            finish_cell(cell, store, 0.5 + 0.1 * len(training.asked))

    monkeypatch.setattr(ray_training, "train", train)
    monkeypatch.chdir(tmp_path)
    return training


def test_a_dict_is_run_its_results_come_back_and_a_second_call_trains_nothing(training, measured, tiny_folder, capsys):
    ablation = dlkd.ablate(GRID, dataset=tiny_folder, seeds=1, image_size=32, steps=2)
    assert training.asked == ["A", "B"]
    assert ablation.summary()["image_auroc"]["mean"].to_dict() == {"A": 0.6, "B": 0.7}
    assert ablation.trials[["image_size", "max_steps", "status"]].drop_duplicates().values.tolist() == [["32", 2, "ok"]]
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("2 cells (2 table entries, 0 of them shared), 0 already done, 2 to train") == 1
    again = dlkd.ablate(
        grid_of(GRID),
        dataset=[str(tiny_folder)],
        category="disc",
        seeds=1,
        image_size=(32, 32),
        steps=2,
        progress=False,
    )
    assert training.asked == ["A", "B"]
    assert [cell.rows[0][1] for cell in measured] == ["A", "B"]  # alone, after all; not again either
    assert again.costs[["label", "latency_1", "note"]].values.tolist() == [["A", 0.1, ""], ["B", 0.1, ""]]
    assert capsys.readouterr() == ("", "")
    assert again.trials.equals(ablation.trials)
    loaded = dlkd.load_ablation("runs/grid")
    assert loaded.scores.equals(ablation.scores)
    assert loaded.store.resolve() == again.store.resolve()


@pytest.mark.parametrize(
    ("precision", "has", "times"), [("bf16-mixed", False, 1), ("bf16-mixed", True, 0), ("32-true", False, 0)]
)
def test_a_slow_precision_is_said_once_before_training(
    training, measured, tiny_folder, monkeypatch, capsys, precision, has, times
):
    monkeypatch.setattr(config, "has_bf16", lambda: has)
    grid = {**GRID, "train": {"precision": precision}}
    dlkd.ablate(grid, dataset=tiny_folder, seeds=1, image_size=32, steps=2)
    assert capsys.readouterr().err.count("note: train.precision bf16-mixed: this processor has no") == times


def changed(**overrides):
    """The grid with another row A."""
    a, b = GRID["rows"]
    return {**GRID, "rows": [{**a, "overrides": a["overrides"] | overrides}, b]}


def test_an_edited_grid_does_not_replace_the_results_of_the_first_unasked(training, tiny_folder):
    asked = {"dataset": tiny_folder, "image_size": 32, "steps": 2}
    first = dlkd.ablate(GRID, **asked)
    with pytest.raises(
        ValueError, match=r"runs/grid holds .* \(row 'A': model\.sigma 4\.0 -> 3\.0\).* out=.*replace=True"
    ):
        dlkd.ablate(changed(sigma=3.0), **asked)
    with pytest.raises(ValueError, match=r"\(all rows: train\.max_steps 2 -> 3\)"):
        dlkd.ablate(GRID, **asked | {"steps": 3})
    assert training.asked == ["A", "B"]
    assert dlkd.load_ablation("runs/grid").trials.equals(first.trials)
    longer = {**GRID, "rows": [*changed(sigma=3.0)["rows"][:1], *GRID["rows"]]}
    longer["rows"][0]["label"] = "C"
    assert len(dlkd.ablate(longer, **asked, seeds=2).trials) == 6  # more rows and seeds are the ordinary way
    found = dlkd.ablate(changed(sigma=3.0), **asked, replace=True)
    assert found.summary().index.tolist() == ["A", "B"]
    assert set(first.trials["key"]) <= {path.name for path in first.store.iterdir()}


def test_a_run_without_a_finished_trial_is_replaced(training, tiny_folder):
    def interrupt(cell):
        raise KeyboardInterrupt

    training.then = interrupt
    with pytest.raises(KeyboardInterrupt):
        dlkd.ablate(GRID, dataset=tiny_folder, steps=2, image_size=32)
    training.then = lambda cell: None
    dlkd.ablate(changed(sigma=3.0), dataset=tiny_folder, steps=2, image_size=32)
    assert training.asked == ["A", "B"]


def test_several_grids_share_their_trials(training, tiny_folder):
    both = dlkd.ablate([{**GRID, "name": "one"}, {**GRID, "name": "two"}], dataset=tiny_folder, steps=2, image_size=32)
    assert training.asked == ["A", "B"]
    assert (both.tables, both.folder.name, len(both.trials)) == (("one", "two"), "one-two", 2)


def test_the_folder_is_read_while_the_grid_runs(training, tiny_folder):
    seen = []
    training.then = lambda cell: seen.append(dlkd.load_ablation("out").trials["status"].tolist())
    dlkd.ablate(GRID, dataset=tiny_folder, steps=2, image_size=32, out="out")
    assert seen == [["not run", "not run"], ["ok", "not run"]]


def test_an_interrupted_run_says_so_once_and_goes_on(training, tiny_folder, capsys):
    def interrupt(cell):
        if training.asked:
            raise KeyboardInterrupt

    training.then = interrupt
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            dlkd.ablate(GRID, dataset=tiny_folder, steps=2, image_size=32)
        assert capsys.readouterr().err.count("interrupted: finished trials are kept") == 1
        assert dlkd.load_ablation("runs/grid").trials["status"].tolist() == ["ok", "not run"]
    training.then = lambda cell: None
    ablation = dlkd.ablate(GRID, dataset=tiny_folder, steps=2, image_size=32)
    assert (training.asked, set(ablation.trials["status"])) == (["A", "B"], {"ok"})


def test_failed_trials_are_named_in_one_warning(training, tiny_folder, monkeypatch, capsys):
    def fail(todo, store, *_, **__):
        for cell in todo:
            (store / cell.key).mkdir(parents=True)
            (store / cell.key / "failure.txt").write_text("NonFiniteLossError: the loss is nan")

    monkeypatch.setattr(ray_training, "train", fail)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        ablation = dlkd.ablate(GRID, dataset=tiny_folder, steps=2, image_size=32)
    [warning] = said
    assert str(warning.message).startswith("2 trials failed, see .failures:\nA, disc, seed 0: NonFiniteLossError")
    assert warning.filename == __file__
    assert ablation.failures["reason"].tolist() == ["NonFiniteLossError: the loss is nan"] * 2
    assert "NonFinite" not in capsys.readouterr().err


def trained(variant, *, compile, **overrides):
    """A grid of one row with this `train.compile`."""
    row = {"label": "B", "variant": variant, "overrides": overrides, "train": {"compile": compile}}
    return {**GRID, "rows": [row]}


@pytest.mark.parametrize(
    ("grid", "asked", "says"),
    [
        ("tabel4", {}, "unknown grid 'tabel4'; did you mean 'table4'?"),
        (3, {}, "a grid is a name, a path or a dict, got a int"),
        ([GRID, GRID], {}, "grid 1 and grid 2 are both the grid 'grid'"),
        ({**GRID, "refrence": "B"}, {}, "unknown key; did you mean 'reference'?"),
        ({**GRID, "rows": [{"label": "B", "variant": "dkld"}]}, {}, "unknown variant 'dkld'; did you mean 'dlkd'?"),
        (GRID, {"dataset": "texturs"}, "did you mean 'textures'?"),
        (GRID, {"category": "bric"}, "textures has no category 'bric'; did you mean 'brick'?"),
        (GRID, {"preset": "papr"}, "unknown preset 'papr'; did you mean 'paper'?"),
        (GRID, {"image_size": 8}, "image_size: must be a side or a height and a width"),
        (GRID, {"workers": 0}, "workers is 1 at least, got 0"),
        (
            trained("dlkd-lfrb", compile="graphs", teacher=TEACHER),
            {},
            "train.compile: CUDA graphs need a GPU (and a grid",
        ),
        (trained("draem", compile="graphs"), {}, "rows[0].train.compile: model/draem: its training step cannot be one"),
        ("search.yaml", {}, "search.yaml holds a search, no grid: `dlkd ablate search.yaml` runs it"),
    ],
)
def test_what_is_wrong_is_named_before_anything_is_trained(training, tmp_path, grid, asked, says):
    (tmp_path / "search.yaml").write_text("search: {}")
    with pytest.raises(ValueError, match=re.escape(says)):
        dlkd.ablate(grid, **asked)
    assert training.asked == []
    assert not (tmp_path / "runs").exists()


def test_a_dict_of_factors_gives_their_product_and_its_effects(training, tiny_folder):
    factors = {
        "sigma": {"one": {"sigma": 1.0}, "two": {"sigma": 2.0}},
        "prl": {"without": {"refiner": None}, "with": {"refiner": {"depth": 1}}},
    }
    reference = {"sigma": "one", "prl": "with"}
    grid = {"title": "t", "variant": "dlkd-lfrb", "factors": factors, "reference": reference}
    ablation = dlkd.ablate(grid, dataset=tiny_folder, image_size=32, steps=1)
    assert len(training.asked) == len(ablation.trials) == 4
    effects = " ".join(ablation.effects("image_auroc")["effect"])
    assert all(name in effects for name in factors)
