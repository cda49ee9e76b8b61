"""Averages by group, and figures by category, beside the paper's."""

import math

import pytest

from dlkd.ablations.ablation import Ablation
from dlkd.ablations.plan.grid import GridRow
from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.latex import latex
from dlkd.ablations.report.markdown import markdown
from dlkd.ablations.report.parts import by_part, parts_of
from dlkd.ablations.report.tables import tabulate

GROUPS = {"rough": ("gravel", "brick"), "soft": ("grass", "moss"), "away": ("sand",)}


@pytest.fixture
def made(grid, trials_of, fail):
    """Two rows on three categories, of which two groups have some and one has none; a cell of A has failed."""
    rows = (
        GridRow(label="A", variant="a", paper={"pro": {"total": 91.0, "rough": 92.0, "brick": 93.0}}),
        GridRow(label="B", variant="b"),
    )
    cells = grid(rows=("A", "B"), paper=False).model_copy(update={"rows": rows, "groups": GROUPS, "metrics": ("pro",)})
    trials = trials_of(cells, means=(0.80, 0.90))
    fail(trials, "A", "gravel", 1, "killed")
    return trials, cells


def test_groups_hold_their_categories_in_the_order_of_the_file(made):
    parts = parts_of(*made)
    assert [(part.label, part.average) for part in parts] == [
        *(("gravel", False), ("brick", False), ("rough", True), ("grass", False)),
        *(("soft (1 of 2 categories)", True), ("total", True)),
    ]


def test_a_group_is_averaged_as_all_categories_are(made):
    trials, cells = made
    found = by_part(tabulate(trials, cells))
    names = [part.name for part in found.parts]
    by_category = trials[(trials["row"] == "A") & (trials["metric"] == "pro")].groupby("category")["value"].mean() * 100
    rough, gravel = (found.entries[names.index(name), "pro", "A"] for name in ("rough", "gravel"))
    assert rough.mean == pytest.approx((by_category["brick"] + by_category["gravel"]) / 2)
    assert gravel.mean == pytest.approx(by_category["gravel"])
    assert (rough.missing, rough.cells, rough.paper, math.isnan(gravel.paper)) == (1, 4, 92.0, True)
    total, table = found.entries[names.index("total"), "pro", "A"], tabulate(trials, cells).rows[0].entries["pro"]
    assert (total.mean, total.low, total.paper) == (table.mean, table.low, 91.0)
    assert found.metrics == {"pro": ["A"]}
    assert found.seconds[0, "A"] == 10.0


def test_grids_without_groups_or_such_figures_have_no_such_table(grid, trials_of):
    cells = grid(rows=("A", "B"))
    assert by_part(tabulate(trials_of(cells, means=(0.8, 0.9)), cells)) is None


def test_every_format_shows_the_papers_figure_beside_the_measured_one(made, text_of, undrawn, tmp_path):
    trials, cells = made
    _, page = text_of(trials, [cells], tmp_path)
    [table] = [table for table in page.tables if table[0][0] == "PRO"]
    assert table[0] == ["PRO", "A", "B"]
    assert table[1] == ["paper", "measured", "measured"]
    lines = {line[0]: line[1:] for line in table[2:]}
    assert list(lines) == ["gravel", "brick", "rough", "grass", "soft (1 of 2 categories)", "total"]
    assert lines["brick"][0] == "93.00"
    assert lines["gravel"][0] == "– none in the paper"
    assert lines["rough"][1].startswith("79.9")
    assert lines["rough"][1].endswith("partial: 1 of 4 cells missing trained in 10 s")
    report = make_report(trials, [cells], tmp_path)
    said = markdown(report)
    assert "| PRO | A, paper | A, measured | B, measured |" in said
    assert "| **rough** | 92.00 | **79.9" in said
    written = latex(report)
    assert r"PRO & paper & measured & measured \\" in written
    assert r"\textbf{rough} & 92.00 & 79.9" in written
    assert r"\label{tab:table4-pro}" in written


def test_averages_by_group_and_category_are_frames(made, tmp_path):
    trials, cells = made
    ablation = Ablation((cells,), tmp_path, tmp_path, trials)
    groups = ablation.summary(by="group")["pro"]
    assert list(groups.index) == [(row, part) for row in "AB" for part in ("rough", "soft", "total")]
    assert groups.loc[("A", "rough"), "n_missing"] == 1
    assert groups.loc[("B", "total"), "mean"] == pytest.approx(ablation.summary()["pro"].loc["B", "mean"])
    categories = ablation.summary(by="category")
    assert categories.index.names == ["label", "dataset", "category"]
    assert len(categories) == 6
    grass, brick = (categories["pro"].loc[("B", "textures", name), "mean"] for name in ("grass", "brick"))
    assert groups.loc[("B", "soft"), "mean"] == grass == pytest.approx(brick + 0.01)
    with pytest.raises(ValueError, match="by is 'groups'; did you mean 'group'"):
        ablation.summary(by="groups")
