"""What is said of the seeds that would show an effect, from trials of the store and of earlier runs."""

import dataclasses
import math
from pathlib import Path

import numpy as np
import pandas as pd

from dlkd.ablations.forecast.detect import detect
from dlkd.ablations.forecast.forecast import Forecast
from dlkd.ablations.forecast.known import Known, known_comparisons
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.report.tables import trials_of
from dlkd.ablations.statistics.planning import categories_needed, seeds_needed
from dlkd.ablations.statistics.power import Noise, Target
from dlkd.ablations.statistics.power_until_decided import UntilDecided
from dlkd.ablations.stored.history import seeds_held
from dlkd.ablations.stored.run_folder import write_run
from dlkd.ablations.stored.run_identity import RunIdentity
from dlkd.ablations.stored.store import describe, write_description
from dlkd.ablations.stored.trials import collect

VALUES = {"A": (0.80, 0.85, 0.81), "B": (0.80, 0.80, 0.80)}
GRID = Grid(
    name="g", title="a title", rows=[GridRow(label=label, variant="dlkd-lfrb") for label in "AB"], reference="B"
)


def said(cells, store, effect=0.05, most=None, folder=Path("runs/g"), added=False):
    seconds = Forecast({cell.key: 50.0 for cell in cells}, 9.0, 130.0, 6.0)
    found = detect(GRID, cells, effect, (3, most), seconds, store=store, folder=folder, workers=2, added=added)
    return list(found)


def noise(*differences, spread=math.nan):
    return Noise(*(np.array(x) for x in zip(*differences, strict=True)), np.empty(0), np.empty(0), spread, 0, 0)


def finish(cells, store, finish_cell, upto=3):
    for cell in cells:
        if cell.spec.seed < upto:
            finish_cell(cell, store, VALUES[cell.rows[0][1]][cell.spec.seed])
            write_description(store / cell.key, describe(cell))


def test_noise_of_the_store_and_the_time_of_what_is_left(make_tiny_cells, finish_cell, tmp_path):
    cells = make_tiny_cells(seeds=4)
    finish(cells, tmp_path, finish_cell)
    known = noise((np.var([0.0, 0.05, 0.01], ddof=1), 2.0))
    seeds, high = (seeds_needed(each, Target(0.05), 1) for each in (known, known.high))
    assert 3 < seeds < high
    more = 2 * (seeds - 3)
    head, noise_of, these, looks, like = said(cells, tmp_path)
    assert head == (
        "g: to show an effect of 5.00 points of Image-AUROC in 8 of 10 runs, the only one among 1 comparison:"
    )
    assert noise_of == (
        f"  'A' against 'B': the differences of pairs have a standard deviation of 2.65 points (3 pairs in {tmp_path})"
    )
    assert these == (
        f"    on this category, with a fixed number of seeds: {seeds} seeds per category ({high} seeds if the noise is "
        f"as large as so few pairs allow); {more} trainings more, about {more * 25 // 60} min {more * 25 % 60:02d} s "
        "with 2 at a time"
    )
    runs = UntilDecided(known, Target(0.05), 3, 1)
    assert looks == (
        f"    on this category, until decided: --until-decided {runs.most_needed(0.8)} (none to 20 if the noise is as "
        f"large as so few pairs allow); --until-decided 20 shows it in {100 * runs.course(20).shown:.0f} of 100 runs, "
        f"with {runs.course(20).seeds:.1f} seeds per category on average"
    )
    assert like.endswith("nothing is known of how the difference varies between categories; train a second one")
    assert "all of their trainings are finished" in "".join(said(cells, tmp_path, effect=0.5))


def test_noise_of_an_earlier_run_names_it_and_what_differs(make_tiny_cells, finish_cell, tmp_path):
    cells = make_tiny_cells(seeds=3)
    finish(cells, tmp_path / "old", finish_cell)
    trials = collect(cells, tmp_path / "old")
    other = trials.assign(category="ring", value=trials["value"] + 0.04 * (trials["row"] == "A"), max_steps=7)
    write_run(tmp_path / "runs/beside", pd.concat([trials, other]), [GRID], tmp_path / "old", RunIdentity())
    (tmp_path / "runs/broken").mkdir()
    (tmp_path / "runs/broken/trials.parquet").write_text("no table")
    new = make_tiny_cells(seeds=1)
    _, name, _, _, wide = said(new, tmp_path / "new", folder=tmp_path / "runs/g")
    assert name.endswith(f"(6 pairs in {tmp_path}/runs/beside, measured with max_steps -1, 7 instead of -1)")
    each = float(np.var([0.0, 0.05, 0.01], ddof=1))
    known = noise((each, 2.0), (each, 2.0), spread=0.04**2 / 2 - each / 3)
    needed = categories_needed(known, Target(0.05), 3)
    assert 2 < needed < 50
    assert wide.startswith(
        f"    on categories like these, with a fixed number of seeds: {needed} categories with 3 seeds each"
    )


def test_the_limit_that_is_asked_for_and_a_run_to_which_seeds_are_added(make_tiny_cells, finish_cell, tmp_path):
    cells = make_tiny_cells(seeds=3)
    finish(cells, tmp_path, finish_cell)
    *_, these, looks, _, added = said(cells, tmp_path, effect=0.01, most=4, folder=tmp_path / "g", added=True)
    assert "with a fixed number of seeds and another --out: " in these
    assert "until decided: no limit of seeds to 20 is enough; --until-decided 4 shows it in " in looks
    assert added == f"  seeds that are added to the run in {tmp_path / 'g'} are judged as --until-decided 4"


def test_what_the_test_images_leave_open_takes_more_of_them(make_tiny_cells, finish_cell, tmp_path, monkeypatch):
    cells = make_tiny_cells(seeds=3)
    finish(cells, tmp_path, finish_cell)
    images = dataclasses.replace(
        known_comparisons(GRID, trials_of(collect(cells, tmp_path), GRID), tmp_path, tmp_path)[0].pairs,
        image=np.array([0.03**2]),
        image_df=np.array([58.0]),
    )
    monkeypatch.setattr("dlkd.ablations.forecast.detect.known_comparisons", lambda *_: [Known(images, tmp_path)])
    *_, these, like = said(cells, tmp_path)
    assert (
        "these test images, which alone make the difference too uncertain for any number of seeds; 4 times as" in these
    )
    assert "until decided" not in like


def test_of_unknown_noise_nothing_is_said_but_how_to_measure_it(make_tiny_cells, finish_cell, tmp_path):
    cells = make_tiny_cells(seeds=3)
    finish(cells, tmp_path, finish_cell, upto=1)
    _, nothing, pilot = said(cells, tmp_path)
    assert nothing.startswith(f"  'A' against 'B': nothing is known of its noise (1 pair in {tmp_path}; it takes two")
    assert pilot.endswith("the same command with --seeds 3 in place of --dry-run --detect 5")


def test_seeds_of_a_store(make_tiny_cells, finish_cell, tmp_path):
    assert seeds_held(tmp_path) == 0
    finish(make_tiny_cells(seeds=3), tmp_path, finish_cell, upto=2)
    assert seeds_held(tmp_path) == 2
