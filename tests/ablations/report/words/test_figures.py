"""The tables of figures' numbers hold what is drawn."""

import re
import shutil

from dlkd.ablations.report import pair_data, plot_data
from dlkd.ablations.report.tables import tabulate
from dlkd.ablations.report.words.figures import numbers_of


def test_categories_and_profile_in_numbers(table):
    heads, lines = numbers_of(plot_data.categories(table))
    assert heads == ["Row", "metric", "textures/brick", "textures/grass", "textures/gravel"]
    assert lines[:2] == [["A", "Image-AUROC", "79.0", "80.0", "failed"], ["B", "Image-AUROC", "89.0", "90.0", "91.0"]]
    heads, lines = numbers_of(plot_data.profile(table, "pro"))
    assert [line[0] for line in lines] == ["A", "B"]
    assert lines[0][heads.index("textures/brick")] == "79.00 (78.70 to 79.30)"
    assert lines[0][heads.index("textures/gravel")] == "–"


def test_comparisons_in_numbers(table):
    assert numbers_of(pair_data.pair_points(table)).lines == [["B", "+10.00", "+10.00"]]
    _, lines = numbers_of(plot_data.effects(table))
    assert [line[:4] for line in lines] == [
        ["B", "Image-AUROC", "these categories", "+10.00"],
        ["B", "Image-AUROC", "categories like these", "+10.00"],
        ["B", "Pixel-AUROC", "exploratory", "+10.00"],
        ["B", "PRO", "exploratory", "+10.00"],
    ]
    assert re.fullmatch(r"\+\d+\.\d\d to \+10\.\d\d", lines[0][4])
    assert lines[2][4] == "–"
    _, lines = numbers_of(pair_data.courses(table))
    assert [line[:3] for line in lines] == [["B", str(seeds), lines[i][2]] for i, seeds in enumerate((2, 3, 4))]
    assert lines[-1][2] == "+10.00"


def test_costs_have_a_table_of_their_own(table, grid, trials_of, alone):
    cells = grid(rows=("A", "B"))
    costs = plot_data.costs(tabulate(trials_of(cells, means=(0.8, 0.9)), cells, alone(cells)))
    assert costs is not None
    assert numbers_of(costs) is None


def test_curves_in_numbers(full):
    trials, grids, folder, _ = full
    heads, lines = numbers_of(plot_data.curves(tabulate(trials, grids[1]), folder / "store"))
    assert len(heads) == 6
    assert lines[0] == ["untrained student", "total", "8", "4.000", "16", "2.000"]


def test_scores_of_pictures_in_numbers_and_none_where_a_row_has_no_picture(grid, trials_of, keep, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick", "grass"), seeds=(0,))
    keep(tmp_path, trials)
    shutil.rmtree(tmp_path / "v1-grass-0")
    heads, lines = numbers_of(plot_data.examples(tabulate(trials, cells), tmp_path))
    assert heads[1:] == [f"{c}, {said}" for c in ("brick", "grass") for said in ("anomalous", "anomalous", "normal")]
    # `keep` numbers the trials in the order of rows and categories; a threshold is 0.975 and the trial's number.
    brick, grass, other = ([f"{(score + i) / (0.975 + i):.2f}" for score in (2, 2, 1)] for i in range(3))
    assert lines == [["A", *brick, *grass], ["B", *other, "–", "–", "–"]]
