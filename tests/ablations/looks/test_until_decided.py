"""`until_decided`: which seeds are trained, what the folder records, what the report says. No trial is trained here."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

import dlkd
from dlkd.ablations.asked import Asked
from dlkd.ablations.looks.mode import least_and_most
from dlkd.ablations.looks.until_decided import UntilDecided
from dlkd.ablations.report.pair_data import courses
from dlkd.ablations.report.words.conditions import notes
from dlkd.ablations.report.words.headline import headline
from dlkd.ablations.run import ray_training
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run_grids import load_grids, plan_cells
from dlkd.ablations.stored.store import missing_cells
from dlkd.registry import default_registry
from dlkd.text import Terminal

TEACHER = {"backbone": "test_resnet", "weights": "random"}
NOISE = np.random.default_rng(1).normal(0, 0.01, (4, 30))


def grid(rows="ABC", name="g", **more):
    made = [
        {"label": row, "variant": "dlkd-lfrb", "overrides": {"teacher": TEACHER, "sigma": 1.0 + "ABCD".index(row)}}
        for row in rows
    ]
    return {"title": "t", "name": name, "rows": made, "reference": rows[-1], "metrics": ["image_auroc"], **more}


@pytest.fixture
def training(monkeypatch, tmp_path, finish_cell):
    """Trainings that end at once, with the figures `values` of a row and a seed; `asked` lists both, `workers` at a
    time."""
    training = SimpleNamespace(asked=[], values={"A": 0.8, "B": 0.7, "C": 0.7, "D": 0.7}, workers=1, failing=set())
    training.then = lambda cell: None

    def end(cell, store):
        row, seed = cell.rows[0][1], cell.spec.seed
        training.then(cell)
        training.asked.append((row, seed))
        if (row, seed) in training.failing:
            (store / cell.key).mkdir(parents=True, exist_ok=True)
            (store / cell.key / "failure.txt").write_text("Broken: on purpose")
        else:
            finish_cell(cell, store, training.values[row] + NOISE["ABCD".index(row), seed])

    def train(todo, store, *_, feed=None, **__):
        running = []
        if feed is None:
            for cell in todo:
                end(cell, store)
            return
        while True:
            while len(running) < training.workers and (cell := feed.take()) is not None:
                running.append(cell)
            if not running:
                assert not feed.waits
                return
            cell = running.pop(0)
            end(cell, store)
            feed.ended(cell.key)

    monkeypatch.setattr(ray_training, "train", train)
    monkeypatch.chdir(tmp_path)
    return training


@pytest.fixture
def ablate(tiny_folder):
    def run(*grids, **more):
        options = {"dataset": tiny_folder, "image_size": 32, "steps": 2, "seeds": 3} | more
        return dlkd.ablate(list(grids), **options)

    return run


def seeds_of(training):
    found = {}
    for row, seed in training.asked:
        found.setdefault(row, []).append(seed)
    return {row: sorted(seeds) for row, seeds in found.items()}


def looks():
    frame = pd.read_csv("runs/g/looks.csv", dtype={"max_seeds": "Int64"})
    return frame[["row", "seeds", "max_seeds", "verdict"]].astype(object).where(frame.notna(), None).values.tolist()


def test_only_open_comparisons_get_more_seeds(training, ablate, capsys):
    ablation = ablate(grid(), until_decided=6)
    assert seeds_of(training) == {"A": [0, 1, 2], "B": [0, 1, 2, 3, 4, 5], "C": [0, 1, 2, 3, 4, 5]}
    assert len(training.asked) == len(set(training.asked))
    by_row = ablation.differences().query("scope == 'these'").set_index("label")
    assert by_row[["n_seeds", "verdict"]].values.tolist() == [[3, "helps"], [6, "open"]]
    assert looks() == [["A", 3, 6, "helps"], *(["B", n, 6, "open"] for n in (3, 4, 5, 6))]
    said = capsys.readouterr().err
    assert "look: g with 4 seeds; 'A' against 'C' helps with 3 seeds; open: 'B' against 'C' (at most 6 seeds)" in said
    assert "g with 6 seeds; 'A' against 'C' helps with 3 seeds; 'B' against 'C' open after 6 seeds" in said
    loaded = dlkd.load_ablation("runs/g")
    assert loaded.differences().equals(ablation.differences())
    table = loaded._table(loaded.grids[0])
    # The parts of this grid are what the reference has and a row lacks, hence the other sign.
    said = headline(table)
    assert re.fullmatch(r"Harms: 'C' over 'A' \(−10\.72 points, .*; with 3 seeds.*\)", said.decided[0])
    assert "; after 6 seeds" in said.open[0]
    assert any("one more seed each, to 6 at most" in note for note in notes(table))
    assert [look.seeds for look in courses(table).looks["A"]] == [2, 3]
    assert [look.seeds for look in courses(table).looks["B"]] == [2, 3, 4, 5, 6]


def test_a_broken_off_run_goes_on_from_its_last_look(training, ablate):
    def stop(cell):
        if (cell.rows[0][1], cell.spec.seed) == ("C", 4):
            raise KeyboardInterrupt

    training.then = stop
    with pytest.raises(KeyboardInterrupt):
        ablate(grid(), until_decided=6)
    broken = dlkd.load_ablation("runs/g")
    assert sorted(broken.trials.query("label == 'B' and status == 'ok'")["seed"]) == [0, 1, 2, 3, 4]
    assert broken.differences().query("scope == 'these'")["n_seeds"].tolist() == [3, 4]  # a look needs both rows
    training.then = lambda cell: None
    ablate(grid(), until_decided=6)
    assert len(training.asked) == len(set(training.asked)) == 15
    assert looks() == [["A", 3, 6, "helps"], *(["B", n, 6, "open"] for n in (3, 4, 5, 6))]


def test_a_free_worker_takes_a_seed_further_on_that_no_look_uses_early(training, ablate):
    training.workers, training.values["B"] = 4, 0.9
    ablation = ablate(grid(), until_decided=10)
    assert max(seed for _, seed in training.asked) > 2
    assert sorted(ablation.trials["seed"].unique()) == [0, 1, 2]
    training.values["B"] = 0.7
    again = ablate(grid(name="h"), until_decided=4, out="h")  # these are other cells no longer
    assert len(training.asked) == len(set(training.asked))
    assert again.differences().query("scope == 'these'")["verdict"].tolist() == ["helps", "helps"]


def test_an_end_does_not_go_over_all_cells(training, ablate, tiny_folder):
    """It took the square of their number, hours for ten thousand."""

    class Counted(list):
        passes = 0

        def __iter__(self):
            Counted.passes += 1
            return super().__iter__()

    grids = load_grids([grid()])
    asked = Asked(default_registry(), Pool(workers=1), [tiny_folder], seeds=3, until_decided=20)
    cells = Counted(plan_cells(grids, asked, Terminal(quiet=True)))
    looks = []
    judged = [grids[0].model_copy(update={"seeds": 3, "until_decided": 20})]
    feed = UntilDecided(cells, judged, [20], asked.store, lambda grid, found: looks.append(found))
    assert len(feed.begin([cell.key for cell in cells])) == 9
    before = Counted.passes
    taken = list(iter(feed.take, None))
    assert len(taken) == len(cells)
    assert [cell.spec.seed for cell in taken] == sorted(cell.spec.seed for cell in taken)
    for cell in taken[1:]:
        assert feed.ended(cell.key) == []
    assert (Counted.passes - before, looks) == (0, [])
    feed.ended(taken[0].key)  # no result is in the store: the look ends there
    assert len(looks) == 1
    assert not feed.waits


def test_comparisons_in_steps_keep_their_seeds_where_neighbours_get_more(training, ablate):
    training.values |= {"A": 0.5, "B": 0.5, "C": 0.8, "D": 0.8}
    ablation = ablate(grid("ABCD", stepwise=True), until_decided=5)
    seeds = seeds_of(training)
    assert [len(seeds[row]) for row in "ABCD"] == [5, 5, 5, 5]
    found = ablation.differences().query("scope == 'these'").set_index("label")
    assert found[["n_seeds", "verdict"]].values.tolist() == [[5, "open"], [3, "helps"], [5, "open"]]


def test_effects_decide_where_rows_have_factors(training, ablate):
    factors = [{"a": a, "b": b} for a in (False, True) for b in (False, True)]
    of = grid("ABCD")
    of["rows"] = [row | {"factors": levels} for row, levels in zip(of["rows"], factors, strict=True)]
    training.values |= {"A": 0.5, "B": 0.5, "C": 0.8, "D": 0.8}
    ablation = ablate(of, until_decided=5)
    found = ablation.effects().query("scope == 'these'").set_index("effect")
    assert found[["n_seeds", "verdict"]].to_dict("index")["a"] == {"n_seeds": 3, "verdict": "helps"}
    assert set(found["n_seeds"]) == {3, 5}
    assert all(len(seeds) == 5 for seeds in seeds_of(training).values())


def test_tables_share_their_rows_and_one_that_is_decided_gets_no_more(training, ablate):
    training.values["B"] = 0.9
    both = ablate(grid("AC", name="one"), grid("BC", name="two", margin=0.5), until_decided=5)
    assert seeds_of(training) == {row: [0, 1, 2] for row in "ABC"}
    assert both.differences().query("scope == 'these'")["verdict"].tolist() == ["helps", "equivalent"]


def test_a_failed_training_that_keeps_a_row_from_winning_gets_no_more_seeds(training, ablate, capsys):
    training.failing = {("A", 1)}
    training.values["B"] = 0.5
    with pytest.warns(UserWarning, match="1 trials failed"):
        ablate(grid(), until_decided=6)
    assert "'A' against 'C' open after 2 seeds (a failed training keeps it so)" in capsys.readouterr().err
    assert seeds_of(training) == {row: [0, 1, 2] for row in "ABC"}
    assert looks() == [["A", 3, 6, "open"], ["B", 3, 6, "harms"]]


def test_seeds_added_to_a_finished_run_are_looks(training, ablate, capsys):
    before = ablate(grid()).differences().query("scope == 'these'").set_index("label")
    after = ablate(grid(), seeds=4)
    found = after.differences().query("scope == 'these'").set_index("label")
    assert (after.grids[0].until_decided, after.grids[0].added_to) == (20, 3)
    assert before.loc["A", "verdict"] == "helps"
    assert found.loc["A", "level"] == pytest.approx(before.loc["A", "level"] * 0.3 * 4 / 20)
    assert looks() == [
        *(["A", 3, None, "helps"], ["B", 3, None, "open"]),
        *(["A", 4, 20, "helps"], ["B", 4, 20, "open"]),
    ]
    assert "Seeds were added to a finished run of 3" in capsys.readouterr().err
    assert any("Seeds were added to a finished run of 3" in note for note in notes(after._table(after.grids[0])))
    assert ablate(grid(), seeds=4).grids == after.grids
    with pytest.raises(ValueError, match=r"holds the grid 'g' with 4 seeds; the rule .* holds to 20. With another"):
        ablate(grid(), seeds=21)
    assert ablate(grid(), seeds=5, out="other").grids[0].until_decided is None
    assert (
        ablate(grid(), seeds=5, steps=3, replace=True).grids[0].until_decided is None
    )  # another training, which nobody has seen


def test_one_seed_shows_no_verdict_so_that_more_are_no_second_look(training, ablate):
    ablate(grid(), seeds=1)
    assert ablate(grid(), seeds=3).grids[0].until_decided is None


@pytest.mark.parametrize(
    ("given", "options", "says"),
    [
        (grid(), {"until_decided": 3}, "with 3 seeds at most: the grid 'g' begins with 3; give more"),
        (grid(), {"until_decided": 21}, "the rule for adding seeds holds to 20"),
        (grid("A"), {"until_decided": 6}, "the grid 'g' has one row"),
    ],
)
def test_what_cannot_be_decided_is_said_before_anything_is_trained(training, ablate, given, options, says):
    with pytest.raises(ValueError, match=re.escape(says)):
        ablate(given, **options)
    assert training.asked == []


def test_a_forecast_names_the_least_and_the_most(training, ablate, tiny_folder):
    ablate(grid(), until_decided=None)
    grids = load_grids([grid()])
    asked = Asked(
        default_registry(), Pool(workers=1), [tiny_folder], seeds=3, until_decided=5, folder=Path("runs/g"),
        training={"max_steps": 2, "image_size": 32},
    )  # fmt: skip
    cells = plan_cells(grids, asked, Terminal(quiet=True))
    missing = {cell.key: 60.0 for cell in missing_cells(cells, asked.store)}
    [said] = least_and_most(cells, grids, asked, Path("runs/g"), missing)
    # With 3 seeds A is told apart already: B and C get the fourth, while the most is two more for all three.
    assert "it is 2 cells to train, about 2 min 00 s of trials, at the least" in said
    assert "6 cells to train, about 6 min 00 s of trials, where nothing is told" in said


def test_data_that_lack_the_deciding_metric_are_said_before_anything_is_trained(
    training, ablate, tiny_folder, tmp_path
):
    bare = tmp_path / "bare"
    shutil.copytree(tiny_folder, bare)
    shutil.rmtree(bare / "disc" / "ground_truth")
    with pytest.raises(ValueError, match="'g' is decided by pro, which is undefined here: no category has a mask"):
        ablate(grid(metrics=["image_auroc", "pro"], primary="pro"), dataset=bare, until_decided=6)
    assert training.asked == []
