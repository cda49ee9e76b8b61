"""Plots show the figures that they are drawn from."""

import json

import numpy as np
import pandas as pd
import pytest

from dlkd.ablations.report import plot_data
from dlkd.ablations.report.pair_data import courses, pair_points
from dlkd.ablations.report.plot_data import costs, curves, effects, profile
from dlkd.ablations.report.plots.courses import draw_courses
from dlkd.ablations.report.plots.draw import draw
from dlkd.ablations.report.plots.learning_curves import learning_curves
from dlkd.ablations.report.plots.pair_points import draw_pair_points
from dlkd.ablations.report.plots.panels import DASHES, PALETTE, colour, dash
from dlkd.ablations.report.plots.profile import draw_profile
from dlkd.ablations.report.tables import tabulate


def test_differences_by_category_and_seed_are_points(grid, trials_of):
    cells = grid()
    trials = trials_of(cells, means=(0.80, 0.90, 0.85))
    [axes] = draw_pair_points(pair_points(tabulate(trials, cells))).axes
    marks = [line for line in axes.lines if line.get_linestyle() == "None" and len(line.get_xdata())]
    assert len(marks) == 2 * 3  # comparisons, categories
    assert all(len(line.get_xdata()) == 2 for line in marks)  # seeds
    assert sorted({round(float(np.mean(line.get_xdata())), 6) for line in marks}) == [-5, 10]
    assert [text.get_text() for text in axes.get_yticklabels()] == ["LFRB + GFRB", "DLKD"]
    one = grid(rows=("A",))
    assert pair_points(tabulate(trials_of(one, means=(0.8,)), one)) is None


def test_a_profile_goes_from_the_hardest_category_to_the_easiest(grid, trials_of, fail):
    cells = grid(rows=("A", "B"))
    there = trials_of(cells, means=(0.80, 0.90), spread=-0.05)  # brick is the easiest
    more = trials_of(cells, means=(0.70, 0.75), categories=("mono", "poly"))
    more = more.assign(dataset="elpv")
    fail(there, "B", "grass", 0, "x")
    fail(more, "A", "mono", 0, "x")
    fail(more, "A", "mono", 1, "x")
    data = profile(tabulate(pd.concat([there, more], ignore_index=True), cells), "pro")
    names = ["gravel", "grass", "brick", "poly", "mono"]
    assert data.categories == [("textures" if i < 3 else "elpv", name) for i, name in enumerate(names)]
    assert data.values["A", 2] == pytest.approx((85.0, 84.9, 85.1))  # mean, lowest and highest seed
    assert len(set(data.values["B", 1])) == 1
    assert ("A", 4) not in data.values
    [axes] = draw_profile(data).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == names
    assert {"textures", "elpv"} <= {text.get_text() for text in axes.texts}
    lines = [line for line in axes.lines if len(line.get_xdata())]
    assert [len(line.get_xdata()) for line in lines] == [3, 1, 3, 2]  # of A and of B, by data set
    assert lines[0].get_ydata() == pytest.approx([75, 80, 85])
    one = trials_of(cells, means=(0.8, 0.9), categories=("brick",))
    assert profile(tabulate(one, cells), "pro") is None


def test_how_verdicts_settled_is_drawn_from_four_seeds_on(grid, trials_of):
    cells = grid()
    few, many = (trials_of(cells, means=(0.80, 0.90, 0.85), seeds=range(n)) for n in (3, 5))
    assert courses(tabulate(few, cells)) is None
    drawn = draw_courses(courses(tabulate(many, cells)))
    panels = [axes for axes in drawn.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["LFRB + GFRB", "DLKD"]
    estimate = next(line for line in panels[0].lines if len(line.get_xdata()) == 4)
    assert list(estimate.get_xdata()) == [2, 3, 4, 5]
    assert estimate.get_ydata()[-1] == pytest.approx(10)


def test_no_two_rows_have_the_same_line(grid, trials_of, tmp_path):
    cells = grid(rows=[str(i) for i in range(16)])
    trials = trials_of(cells, means=[0.9] * 16)
    for key in trials["key"].unique():
        (tmp_path / key).mkdir()
        curve = [{"epoch": 0, "step": step, "total": 1.0} for step in (1, 2)]
        (tmp_path / key / "result.json").write_text(json.dumps({"curve": curve}))
    lines = learning_curves(curves(tabulate(trials, cells), tmp_path)).axes[0].lines
    assert len({(line.get_color(), str(line._dash_pattern)) for line in lines}) == 16
    assert len({str(line._dash_pattern) for line in lines}) == len(DASHES)  # the first rows differ in grey


def test_rows_are_told_apart_without_colour():
    assert len({str(dash(i)) for i in range(len(DASHES))}) == len(DASHES) > len(PALETTE)
    many = range(len(DASHES) * len(PALETTE))
    assert len({(colour(i), str(dash(i))) for i in many}) == len(many)


@pytest.mark.parametrize("categories", [3, 15])
def test_every_chart_is_legible_on_a_page_of_a4(grid, trials_of, alone, keep, tmp_path, categories):
    cells = grid(rows=tuple(f"row {i}" for i in range(5)))
    places = [f"category{i}" for i in range(categories)]
    trials = trials_of(cells, means=(0.8, 0.9, 0.85, 0.8, 0.9), categories=places, seeds=range(4))
    keep(tmp_path, trials)
    table = tabulate(trials, cells, alone(cells))
    charts = {
        "effects": effects(table),
        "pairs": pair_points(table),
        "seeds": courses(table),
        "profile": profile(table, "pro"),
        "categories": plot_data.categories(table),
        "costs": costs(table),
        "curves": curves(table, tmp_path),
    }
    page = (210 - 2 * 12) / 25.4  # inches inside the margins of the print style
    for name, data in charts.items():
        shrunk = min(1.0, page / draw(data).get_size_inches()[0])
        assert 8 * shrunk >= 5.9, name  # points: the labels of all charts have eight
