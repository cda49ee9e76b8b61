"""The histogram agrees with the exact metrics within the bound it states."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlkd.metrics import PixelHistogram, aupimo, pixel_metrics, why_undefined
from dlkd.metrics.streaming import bin_of, lower_edge

NAMES = ("auroc", "average_precision", "f1_max", "pro", "pro_05")


@st.composite
def maps_and_masks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 3)), draw(st.integers(2, 8)), draw(st.integers(2, 8))
    maps = rng.normal(draw(st.sampled_from([0.0, 1.0, 100.0])), 1.0, shape)
    if draw(st.booleans()):
        maps = np.round(maps, 1)
    masks = rng.random(shape) < draw(st.sampled_from([0.05, 0.3]))
    masks[0, 0, 0], masks[0, 0, 1] = True, False
    return maps.astype(draw(st.sampled_from([np.float32, np.float64]))), masks


@settings(deadline=None, max_examples=200)
@given(maps_and_masks(), st.integers(9, 16), st.sampled_from([0.05, 0.3, 1.0]))
def test_within_the_stated_bound(case, bits, limit):
    histogram = PixelHistogram(bits)
    histogram.update(*case)
    streamed, bound = histogram.metrics(limit), histogram.error_bound(limit)
    exact = pixel_metrics(*case, fpr_limit=limit)
    for name in NAMES:
        assert abs(getattr(streamed, name) - getattr(exact, name)) <= getattr(bound, name) + 1e-12, name


@settings(deadline=None, max_examples=50)
@given(maps_and_masks(), st.integers(9, 16))
def test_aupimo_is_below_the_exact_one_by_the_stated_bound_at_most(case, bits):
    maps, masks = (np.concatenate([each, each]) for each in case)
    masks[: len(masks) // 2] = False
    rates = (0.3, 0.8)
    histogram = PixelHistogram(bits)
    histogram.update(maps, masks)
    missed = aupimo(maps, masks, rates) - histogram.aupimo(rates)
    assert -1e-12 <= missed <= histogram.error_bound(rates=rates).aupimo + 1e-12
    exact = PixelHistogram(20)
    exact.update(np.round(maps, 1).astype(np.float32), masks)
    assert exact.aupimo(rates) == pytest.approx(aupimo(np.round(maps, 1).astype(np.float32), masks, rates), abs=1e-9)


def test_the_bound_is_reached():
    """One bin for all: the order inside it decides everything, and the bound says so."""
    masks = np.array([[[True, False]]])
    better, worse = np.array([[[1.01, 1.0]]]), np.array([[[1.0, 1.01]]])
    histogram = PixelHistogram(9)
    histogram.update(better, masks)
    streamed, bound = histogram.metrics(1.0), histogram.error_bound(1.0)
    assert (bound.auroc, bound.pro, bound.average_precision) == (0.5, 0.5, 0.5)
    for case in (better, worse):
        assert abs(pixel_metrics(case, masks, 1.0).auroc - streamed.auroc) == bound.auroc
        assert abs(pixel_metrics(case, masks, 1.0).pro - streamed.pro) == bound.pro
    assert pixel_metrics(better, masks).average_precision - streamed.average_precision == bound.average_precision
    assert pixel_metrics(better, masks).f1_max - streamed.f1_max == pytest.approx(bound.f1_max)


def test_twenty_bits_are_tight_on_smooth_maps():
    rng = np.random.default_rng(0)
    masks = np.zeros((8, 64, 64), bool)
    masks[::2, 10:20, 5:25] = True
    maps = rng.gamma(2.0, 0.2, masks.shape) + 0.3 * masks
    histogram = PixelHistogram()
    for map_, mask in zip(maps, masks, strict=True):
        histogram.update(map_[None], mask[None])
    streamed, bound, exact = histogram.metrics(), histogram.error_bound(), pixel_metrics(maps, masks)
    for name in NAMES:
        assert getattr(bound, name) < 2e-3, name
        assert getattr(streamed, name) == pytest.approx(getattr(exact, name), abs=1e-4), name


def test_maps_one_by_one_merged_and_together_are_the_same():
    rng = np.random.default_rng(1)
    maps, masks = rng.normal(size=(4, 9, 9)), rng.random((4, 9, 9)) < 0.2
    together, left, right = PixelHistogram(16), PixelHistogram(16), PixelHistogram(16)
    together.update(maps, masks)
    left.update(maps[:1], masks[:1])
    right.update(list(maps[1:]), list(masks[1:]))
    left.merge(right)
    for name in NAMES:
        assert getattr(left.metrics(), name) == pytest.approx(getattr(together.metrics(), name), abs=1e-12)
    for histogram in (left, right, together):
        histogram.update(maps, np.zeros_like(masks))
    right.merge(left)
    assert right.aupimo((0.01, 0.3)) == pytest.approx(aupimo(
        np.concatenate([maps, *[maps] * 2]), np.concatenate([masks, *[masks & False] * 2]), (0.01, 0.3)
    ), abs=0.01)  # fmt: skip
    with pytest.raises(ValueError, match="16 and 12 bits"):
        left.merge(PixelHistogram(12))


@settings(deadline=None)
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1), st.integers(9, 24))
def test_bins_rise_with_the_score_and_know_their_lower_edge(scores, bits):
    scores = np.sort(np.array(scores, np.float32))
    bins = bin_of(scores, bits)
    assert (np.diff(bins.astype(np.int64)) >= 0).all()
    assert (lower_edge(bins, bits) <= scores).all()
    finite = np.abs(scores) < 1e30
    np.testing.assert_array_equal(bin_of(lower_edge(bins, bits)[finite], bits), bins[finite])


def test_zeros_are_equal_and_large_doubles_are_infinite():
    assert bin_of(np.array([-0.0]), 32) == bin_of(np.array([0.0]), 32)
    assert bin_of(np.array([1e300]), 32) == bin_of(np.array([np.inf]), 32)


def test_undefined_has_its_reason_and_no_bound():
    histogram = PixelHistogram(12)
    histogram.update(np.zeros((1, 3, 3)), np.zeros((1, 3, 3)))
    assert why_undefined(histogram.metrics().pro) == why_undefined(histogram.aupimo()) == "nothing is anomalous"
    assert math.isnan(histogram.error_bound().pro)
    histogram.update(np.zeros((1, 3, 3)), np.ones((1, 3, 3)))
    assert "a false-positive rate of 1e-05 needs 100,000" in (why_undefined(histogram.metrics().aupimo) or "")
    assert math.isnan(histogram.error_bound().aupimo)
    assert not math.isnan(histogram.error_bound().pro)


def test_nan_and_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="NaN has no rank"):
        PixelHistogram(12).update(np.full((1, 2, 2), np.nan), np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match=r"bits must lie in 9\.\.32"):
        PixelHistogram(8)
    with pytest.raises(ValueError, match="fpr_limit must lie in"):
        PixelHistogram(12).error_bound(0.0)
