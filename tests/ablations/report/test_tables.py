"""The figures of a table: what rows and factors are compared with, and where intervals end."""

import pytest

from dlkd.ablations.report.tables import tabulate


def test_steps_follow_the_rows_of_the_grid_not_of_the_trials(full):
    trials, grids, _, _ = full
    table = tabulate(trials, grids[0])
    assert set(zip(table.differences["row"], table.differences["other"], strict=True)) == {
        ("LFRB + GFRB", "LFRB"),
        ("DLKD", "LFRB + GFRB"),
    }


def test_effects_of_levels_are_those_against_the_references(grid, trials_of):
    levels = [{"scan": scan, "PRL": on} for scan in ("rows", "cross", "Hilbert") for on in (False, True)]
    cells = grid("g", rows=tuple("abcdef"), paper=False, factors=levels).model_copy(update={"reference": "d"})
    trials = trials_of(cells, means=(0.6, 0.7, 0.8, 0.9, 0.5, 0.6), spread=0.0)
    effects = tabulate(trials, cells).effects
    of_pro = effects[effects["metric"] == "pro"].set_index("row")["estimate"]
    assert list(dict.fromkeys(effects["row"])) == [
        *("scan=rows", "scan=Hilbert", "PRL", "scan=rows x PRL", "scan=Hilbert x PRL")
    ]
    assert of_pro["scan=rows"] == pytest.approx(-0.2, abs=0.01)
    assert of_pro["scan=Hilbert"] == pytest.approx(-0.3, abs=0.01)
    assert of_pro["PRL"] == pytest.approx(0.1, abs=0.01)


def test_intervals_end_where_the_metric_ends(grid, trials_of):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.001, 0.999), spread=0.0)
    table = tabulate(trials, cells)
    assert table.rows[0].entries["pro"].low == 0
    assert 0 < table.rows[0].entries["pro"].high < 100
    assert table.rows[1].entries["pro"].high == 100


def test_a_grid_that_the_trials_lack_is_an_error(grid, trials_of):
    cells = grid()
    trials = trials_of(cells, means=(0.8, 0.9, 0.9))
    with pytest.raises(ValueError, match="nothing of grid 'losses'; they hold table4"):
        tabulate(trials, grid("losses"))
