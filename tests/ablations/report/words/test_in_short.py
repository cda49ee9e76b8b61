"""Alternative texts have the main figures of their pictures, and are short."""

from dlkd.ablations.report import pair_data, plot_data
from dlkd.ablations.report.tables import tabulate
from dlkd.ablations.report.words.in_short import MOST_ROWS, in_short


def test_comparisons_have_their_estimates_and_verdicts(table):
    assert in_short(plot_data.effects(table)) == "Image-AUROC, in points against the row above. B: +10.00 (helps)."
    low, high = 9.85, 10.15
    assert in_short(pair_data.pair_points(table)) == (
        f"Lowest and highest difference in points. B: +{low:.2f} to +{high:.2f}."
    )
    assert in_short(pair_data.courses(table)) == "Points in the end. B: +10.00 with 4 seeds (helps)."


def test_rows_have_their_lowest_and_highest_category(table):
    profile = (
        "Lowest and highest category in per cent. A: 79.0 (brick) to 80.0 (grass); B: 89.0 (brick) to 91.0 (gravel)."
    )
    assert in_short(plot_data.profile(table, "image_auroc")) == profile
    assert in_short(plot_data.categories(table)) == f"Image-AUROC, {profile[0].lower()}{profile[1:]}"


def test_costs_have_times_and_rows_beyond_the_first_are_a_count(grid, trials_of, alone):
    names = [f"row {i}" for i in range(MOST_ROWS + 3)]
    cells = grid(rows=names)
    means = [0.8 + 0.01 * i for i in range(len(names))]
    said = in_short(plot_data.costs(tabulate(trials_of(cells, means=means), cells, alone(cells))))
    assert said.startswith(
        "Time of an image and Image-AUROC in per cent. row 0: 20.0 ms, 80.00; row 1: 20.0 ms, 81.00;"
    )
    assert said.endswith("; row 3: 20.0 ms, 83.00; and 3 more rows.")


def test_pictures_have_alarms_and_curves_both_ends(full):
    trials, grids, folder, _ = full
    table = tabulate(trials, grids[1])
    alarms = in_short(plot_data.examples(table, folder / "store"))
    assert alarms.startswith(
        "Scores above the row's own threshold. untrained student: 6 of 6 anomalous and 2 of 2 normal"
    )
    curves = in_short(plot_data.curves(table, folder / "store"))
    assert curves == "First and last total loss. untrained student: 4.000 to 2.000; DLKD: 4.000 to 2.000."


def test_what_has_no_figure_adds_nothing(grid, trials_of, undefine):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    undefine(trials, ["image_auroc"], "no normal images")
    assert in_short(plot_data.categories(tabulate(trials, cells))) == ""
