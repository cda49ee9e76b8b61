"""The grid of pictures: which images, on which scale of colours."""

import shutil

import numpy as np
import pytest

from dlkd.ablations.report.plot_data import examples, segmentations
from dlkd.ablations.report.plots.picture_grid import picture_grid
from dlkd.ablations.report.tables import tabulate


def test_pictures_take_turns_among_categories_and_one_is_normal(grid, trials_of, keep, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=[f"c{i}" for i in range(12)])
    keep(tmp_path, trials)
    shutil.rmtree(tmp_path / "v1-c0-0")
    drawn = picture_grid(examples(tabulate(trials, cells), tmp_path))
    titles = [axes.get_title() for axes in drawn.axes if axes.get_title()]
    assert titles == ["c0\nanomalous", "c0\nnormal", *(f"c{i}\nanomalous" for i in range(1, 7))]
    written = [text.get_text() for axes in drawn.axes for text in axes.texts]
    assert written == ["no\nresult"] * 2  # row B of the two images of c0
    # Maps and scores are in units of the variant's own threshold.
    scores = [axes.get_xlabel() for axes in drawn.axes if axes.get_xlabel()]
    assert scores[0] == f"{2 / 0.975:.2f}"
    assert scores[1] == f"{1 / 0.975:.2f}"


def test_normal_pictures_do_not_glow_and_missed_defects_do_not_hide_them(grid, trials_of, keep, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    keep(tmp_path, trials)
    file = tmp_path / "v0-brick-0/examples.npz"
    kept = dict(np.load(file))
    kept["maps"][0] = 0.5  # the normal picture
    kept["maps"][0, 3, 3] = 0.8
    for name in ("v0-brick-0", "v1-brick-0"):
        np.savez(tmp_path / name / "examples.npz", **kept)
    drawn = picture_grid(examples(tabulate(trials, cells), tmp_path))
    assert drawn.axes[-1].get_xlim()[0] == pytest.approx(0.8 / 0.975, rel=1e-3)
    normal = next(i for i, axes in enumerate(drawn.axes) if axes.get_title().endswith("normal"))
    shown = np.asarray(drawn.axes[normal + 6].images[0].get_array())
    assert (shown == shown[..., :1]).all()  # grey
    kept["maps"][0, 3, 3] = 1.2  # a false alarm, whose colours begin where alarms do
    np.savez(file, **kept)
    assert picture_grid(examples(tabulate(trials, cells), tmp_path)).axes[-1].get_xlim()[0] == 1


def test_a_variant_whose_scores_are_all_larger_looks_the_same(grid, trials_of, keep, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    keep(tmp_path, trials)
    kept = dict(np.load(tmp_path / "v0-brick-0/examples.npz"))
    scaled = {name: kept[name] * 64 for name in ("maps", "scores", "threshold")}
    np.savez(tmp_path / "v1-brick-0/examples.npz", **kept | scaled)
    drawn = picture_grid(examples(tabulate(trials, cells), tmp_path))
    pictures = [np.asarray(axes.images[0].get_array()) for axes in drawn.axes[: 4 * 3]]
    for a, b in zip(pictures[6:9], pictures[9:12], strict=True):
        np.testing.assert_array_equal(a, b)
    assert not np.array_equal(pictures[6], pictures[0])


def test_rows_of_other_image_sizes_stand_in_one_picture(grid, trials_of, keep, tmp_path):
    cells = grid(rows=("A", "B"))
    trials = trials_of(cells, means=(0.8, 0.9), categories=("brick",), seeds=(0,))
    keep(tmp_path, trials)
    kept = dict(np.load(tmp_path / "v0-brick-0/examples.npz"))
    larger = {name: kept[name].repeat(2, axis=1).repeat(3, axis=2) for name in ("images", "maps", "masks")}
    np.savez(tmp_path / "v1-brick-0/examples.npz", **kept | larger)
    drawn = picture_grid(examples(tabulate(trials, cells), tmp_path))
    pictures = [np.asarray(axes.images[0].get_array()) for axes in drawn.axes[: 4 * 3]]
    h, w = kept["maps"].shape[1:]
    assert [p.shape[:2] for p in pictures[6:]] == [(h, w)] * 3 + [(2 * h, 3 * w)] * 3


def test_chosen_rows_are_segmented_at_their_own_thresholds_above_their_heat_maps(grid, trials_of, keep, tmp_path):
    cells = grid(rows=("A", "B", "C"))
    trials = trials_of(cells, means=(0.7, 0.8, 0.9), categories=("brick",), seeds=(0,))
    keep(tmp_path, trials)
    assert segmentations(tabulate(trials, cells), tmp_path) is None  # the grid asks for none
    shutil.rmtree(tmp_path / "v2-brick-0")
    chosen = cells.model_copy(update={"segmented": ("C", "A")})
    drawn = picture_grid(segmentations(tabulate(trials, chosen), tmp_path))
    lines = [axes.get_ylabel() for axes in drawn.axes if axes.get_ylabel()]
    assert lines == ["image", "ground truth", "segmentation\nC", "segmentation\nA", "heat map\nC", "heat map\nA"]
    kept = dict(np.load(tmp_path / "v0-brick-0/examples.npz"))
    images = [place for place in (1, 2, 0) if len(kept["labels"])]  # defects first
    for axes, place in zip(drawn.axes[9:12], images, strict=True):
        white = (np.asarray(axes.images[0].get_array()) == 255).all(axis=2)
        above = kept["maps"][place] > kept["threshold"]
        inside = np.s_[10:18, 10:18]  # of the defect's outline
        np.testing.assert_array_equal(white[inside], above[inside])
        assert white[0, 0] == above[0, 0]
    assert [text.get_text() for axes in drawn.axes[6:9] for text in axes.texts] == ["no\nresult"] * 3
