"""What a report says of how its figures were measured, and of trainings that stand out."""

from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.tables import tabulate
from dlkd.ablations.report.words.conditions import failures, low_trainings, notes, time_spent


def test_failures_of_one_reason_stand_together(grid, trials_of, fail):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    for category in ("brick", "grass"):
        for seed in (0, 1):
            fail(trials, "A", category, seed, "killed")
    fail(trials, "A", "gravel", 1, "NaN")
    table = tabulate(trials, cells)
    assert table.failed_cells == 5
    assert failures(table) == [
        "A, 4 cells: textures/brick, seeds 0, 1; textures/grass, seeds 0, 1: killed",
        "A, textures/gravel, seed 1: NaN",
    ]


def test_trainings_far_under_their_median_are_named(grid, trials_of):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), seeds=(0, 1, 2))
    assert low_trainings(tabulate(trials, cells)) == []
    at = (trials["row"] == "B") & (trials["category"] == "grass") & (trials["seed"] == 2)
    trials.loc[at, "value"] = 0.7
    assert low_trainings(tabulate(trials, cells)) == ["B, textures/grass, seed 2: 70.00 beside a median of 89.60"]
    assert "1 training ten points or more under the median" in notes(tabulate(trials, cells))[-1]


def test_the_papers_own_setting_is_not_called_incomparable(grid, trials_of, undrawn, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), dataset="mvtec").assign(
        image_size=256, settings="teacher resnet18.tv_in1k"
    )
    assert make_report(trials, [cells], tmp_path).comparable.endswith("same data, teacher and image size.")


def test_figures_of_other_data_are_compared_with_those_of_the_same_data(grid, trials_of, undrawn, tmp_path):
    cells = grid(rows=("A", "B")).model_copy(update={"paper_dataset": "btad", "preset": "paper"})
    own = {"image_size": 256, "max_steps": -1, "settings": "teacher wide_resnet50_2.tv_in1k"}
    trials = trials_of(cells, means=(0.8, 0.9), dataset="btad").assign(**own)

    def said(trials, cells):
        return make_report(trials, [cells], tmp_path).comparable

    assert "measured on BTAD" in said(trials, cells)
    assert said(trials, cells).endswith("This run has the same data, and that preset.")
    for other in (
        said(trials, cells.model_copy(update={"preset": "demo"})),
        said(trials, cells.model_copy(update={"train": {"max_steps": 9}})),
        said(trials.assign(dataset="mvtec"), cells),
    ):
        assert "not comparable" in other
    assert (
        said(trials, cells.model_copy(update={"rows": tuple(r.model_copy(update={"paper": {}}) for r in cells.rows)}))
        == ""
    )


def test_how_pixel_metrics_were_taken_is_said_and_sizes_go_by_number(grid, trials_of, undrawn, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9))
    assert dict(make_report(trials, [cells], tmp_path).facts)["Pixel metrics"] == (
        "at the network's image size; PRO up to a false-positive rate of 0.3"
    )
    first = trials["row"] == "A"
    mixed = trials.assign(pro_limit=0.3, image_size="128")
    mixed.loc[first, ["pro_limit", "image_size", "score_at"]] = [0.05, "64", "native"]
    facts = dict(make_report(mixed, [cells], tmp_path).facts)
    assert facts["Image size"] == "64 and 128 pixels"
    assert facts["Pixel metrics"] == (
        "at the network's image size and each mask's own size; PRO up to a false-positive rate of 0.05 and 0.3; "
        "figures of different limits are not comparable"
    )


def test_the_time_of_all_cells_is_said_by_what_it_went_to(grid, trials_of):
    cells = trials_of(grid(rows=("A",)), means=(0.8,)).drop_duplicates("key")  # 3 categories, a seed each
    count = len(cells)
    assert time_spent(cells) == f"{10 * count} s of training in all cells together"
    of_today = cells.assign(normal_seconds=2.0, score_seconds=3.0, other_seconds=0.5)
    assert time_spent(of_today) == (
        f"{10 * count} s of training, {5 * count} s of forward passes over normal and test images and "
        f"{0.5 * count:.1f} s of the rest in all cells together"
    )
