"""PRO against a literal version: every threshold, every region, one at a time."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from dlkd.metrics import counts as counting
from dlkd.metrics import pixel_auroc, pro, pro_curve, why_undefined


def literal_curve(maps, masks):
    """PRO at every distinct score of any pixel, straight from the definition."""
    regions = []
    for image, mask in enumerate(masks):
        labelled, n = label(mask, np.ones((3, 3)))
        regions += [(image, labelled == k) for k in range(1, n + 1)]
    normal = np.concatenate([m[~k] for m, k in zip(maps, masks, strict=True)])
    fprs, pros = [0.0], [0.0]
    for threshold in sorted({v for m in maps for v in m.ravel().tolist()}, reverse=True):
        fprs.append(np.mean(normal >= threshold))
        pros.append(np.mean([np.mean(maps[image][region] >= threshold) for image, region in regions]))
    return fprs, pros


def literal_pro(maps, masks, limit):
    fprs, pros = literal_curve(maps, masks)
    area = 0.0
    for x0, x1, y0, y1 in zip(fprs, fprs[1:], pros, pros[1:], strict=False):
        if x1 <= limit:
            area += (x1 - x0) * (y0 + y1) / 2
        else:
            at_limit = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            return (area + (limit - x0) * (y0 + at_limit) / 2) / limit
    return area / limit


@st.composite
def maps_and_masks(draw):
    """Small maps with ties; masks from sparse (single pixels, diagonals) to dense, some images all normal."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 3)), draw(st.integers(1, 7)), draw(st.integers(2, 7))
    levels = draw(st.sampled_from([2, 5, 1000]))
    maps = rng.integers(0, levels, shape) / levels
    masks = rng.random(shape) < draw(st.sampled_from([0.05, 0.2, 0.5]))
    masks[0, 0, 0], masks[0, 0, 1] = True, False
    return maps, masks


@settings(deadline=None)
@given(maps_and_masks(), st.sampled_from([0.01, 0.3, 1 / 3, 0.5, 1.0]))
def test_equals_the_literal_version(case, limit):
    maps, masks = case
    assert pro(maps, masks, limit) == pytest.approx(literal_pro(maps, masks, limit), abs=1e-9)


@settings(deadline=None)
@given(maps_and_masks())
def test_the_curve_passes_through_every_literal_point(case):
    maps, masks = case
    curve = pro_curve(maps, masks)
    assert (curve.fpr[0], curve.pro[0], curve.fpr[-1], curve.pro[-1]) == (0.0, 0.0, 1.0, 1.0)
    for fpr, overlap in zip(*literal_curve(maps, masks), strict=True):
        at = np.isclose(curve.fpr, fpr, atol=1e-12)
        if at.any():  # a jump has two corners here, and the point is one of them or between them
            assert curve.pro[at].min() - 1e-9 <= overlap <= curve.pro[at].max() + 1e-9
        else:
            assert np.interp(fpr, curve.fpr, curve.pro) == pytest.approx(overlap, abs=1e-9)


@settings(deadline=None)
@given(maps_and_masks())
def test_thresholds_give_their_corner(case):
    maps, masks = case
    curve = pro_curve(maps, masks)
    for fpr, threshold in zip(curve.fpr, curve.threshold, strict=True):
        assert np.mean(maps[~masks] >= threshold) == pytest.approx(fpr, abs=1e-12)


def test_regions_that_touch_diagonally_are_one():
    mask = np.zeros((1, 4, 4), bool)
    mask[0, 0, 0] = mask[0, 1, 1] = mask[0, 1, 2] = True  # one region of 3 if diagonals touch
    mask[0, 3, 3] = True  # a single pixel in the corner
    maps = np.where(mask, 0.0, 0.5)
    maps[0, 0, 0] = maps[0, 3, 3] = 1.0
    # up to the tie of all normal pixels at 0.5 the overlap is (1/3 + 1) / 2
    assert pro(maps, mask, 0.3) == pytest.approx(2 / 3, abs=1e-12)


def test_regions_do_not_join_across_images():
    masks = np.zeros((2, 3, 3), bool)
    masks[0, 1, 1] = masks[1, 1, 1] = masks[1, 1, 2] = True
    maps = np.full(masks.shape, 0.5)
    maps[0, 1, 1] = 1.0
    maps[1, 1, 1:] = 0.0
    assert pro(maps, masks) == pytest.approx(1 / 2)


def test_a_perfect_map_scores_one():
    masks = np.random.default_rng(0).random((5, 9, 9)) < 0.2
    assert pro(masks.astype(np.float32), masks) == 1.0
    assert pixel_auroc(masks.astype(np.float32), masks) == 1.0


def test_a_constant_map_scores_half_the_limit():
    """One threshold: the curve is the diagonal from (0, 0) to (1, 1)."""
    masks = np.zeros((2, 4, 4), bool)
    masks[0, 0, :2] = True
    assert pro(np.zeros(masks.shape), masks, 0.3) == pytest.approx(0.15, abs=1e-12)


def test_all_normal_is_undefined_with_a_reason():
    value = pro(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)))
    assert math.isnan(value)
    assert why_undefined(value) == "nothing is anomalous"
    assert pro_curve(np.zeros((2, 3, 3)), np.zeros((2, 3, 3))).fpr.size == 0


@settings(deadline=None)
@given(maps_and_masks())
def test_only_the_order_of_scores_counts(case):
    maps, masks = case
    assert pro(np.exp(3 * maps) - 7, masks) == pro(maps, masks)
    assert pixel_auroc(np.exp(3 * maps) - 7, masks) == pixel_auroc(maps, masks)


@settings(deadline=None)
@given(maps_and_masks(), st.randoms(use_true_random=False))
def test_the_order_of_images_and_a_flip_do_not_count(case, random):
    maps, masks = case
    order = list(range(len(maps)))
    random.shuffle(order)
    shuffled = maps[order][:, ::-1], masks[order][:, ::-1]
    assert pro(*shuffled) == pytest.approx(pro(maps, masks), abs=1e-12)
    assert pixel_auroc(*shuffled) == pixel_auroc(maps, masks)


def test_pieces_change_nothing(monkeypatch):
    rng = np.random.default_rng(2)
    maps = [rng.integers(0, 50, (1, width)) / 50 for width in range(1, 30)]
    masks = [np.zeros(m.shape, bool) for m in maps]
    masks[20][0, 3:5] = True  # two thresholds at most, so that pieces may be as small as 8
    whole = pro(maps, masks), pixel_auroc(maps, masks)
    monkeypatch.setattr(counting, "_PIECE", 8)
    assert (pro(maps, masks), pixel_auroc(maps, masks)) == whole


def test_inputs_are_left_as_they_were():
    rng = np.random.default_rng(3)
    maps, masks = rng.random((2, 8, 8), dtype=np.float32), rng.random((2, 8, 8)) < 0.1
    before = maps.copy()
    pro(maps, masks)
    np.testing.assert_array_equal(maps, before)


@pytest.mark.parametrize("limit", [0.0, -0.1, 1.1, math.nan])
def test_a_limit_outside_zero_one_is_refused(limit):
    with pytest.raises(ValueError, match="fpr_limit must lie in"):
        pro(np.zeros((1, 2, 2)), np.array([[[0, 1], [0, 0]]]), limit)


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="NaN has no rank"):
        pro(np.array([[[0.0, np.nan]]]), np.array([[[1, 0]]]))
