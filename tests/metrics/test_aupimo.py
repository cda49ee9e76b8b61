"""AUPIMO against its definition, threshold by threshold, and its influences against the derivative by a weight."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlkd.metrics import Regions, aupimo, aupimo_per_image, why_undefined

RATES = (0.011, 0.23)


def literal(maps, masks, rates, weights=None):
    """The integral of each anomalous image's recall over the logarithm of the rate, from one threshold to the next."""
    weights = np.ones(len(maps)) if weights is None else weights
    normal = [i for i, mask in enumerate(masks) if not mask.any()]
    curve = []  # the rate of each threshold, and the recall of each anomalous image there
    for threshold in sorted({float(s) for each in maps for s in each.ravel()}, reverse=True):
        rate = sum(weights[i] * (maps[i] >= threshold).mean() for i in normal) / sum(weights[i] for i in normal)
        curve.append((rate, {i: (maps[i][m] >= threshold).mean() for i, m in enumerate(masks) if m.any()}))
    found = {}
    for image in curve[0][1]:
        ends = [*(rate for rate, _ in curve[1:]), 1.0]
        area = sum(
            recall[image] * (math.log(min(max(end, rates[0]), rates[1])) - math.log(min(max(rate, rates[0]), rates[1])))
            for (rate, recall), end in zip(curve, ends, strict=True)
        )
        found[image] = area / math.log(rates[1] / rates[0])
    mean = sum(weights[i] * found[i] for i in found) / sum(weights[i] for i in found)
    return found, mean


@st.composite
def maps_and_masks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    levels = draw(st.sampled_from([4, 30, 1000]))
    sides = [(12, int(rng.integers(9, 13))) for _ in range(draw(st.integers(2, 5)))]
    maps = [rng.integers(0, levels, side) / levels for side in sides]
    masks = [rng.random(side) < (0.1 if i % 2 else 0) for i, side in enumerate(sides)]
    masks[1][0, 0] = True
    maps[1][masks[1]] += draw(st.sampled_from([0.0, 0.5]))
    return maps, masks


@settings(deadline=None, max_examples=40)
@given(maps_and_masks())
def test_of_each_image_by_the_definition(case):
    maps, masks = case
    found = aupimo_per_image(maps, masks, RATES)
    expected, mean = literal(maps, masks, RATES)
    np.testing.assert_allclose([found.per_image[i] for i in expected], list(expected.values()), atol=1e-9)
    assert [i for i, each in enumerate(found.per_image) if not math.isnan(each)] == list(expected)
    assert found.mean == pytest.approx(mean, abs=1e-9) == aupimo(maps, masks, RATES)


@settings(deadline=None, max_examples=15)
@given(maps_and_masks())
def test_influences_are_derivatives_by_an_images_weight(case):
    maps, masks = case
    found = aupimo_per_image(maps, masks, RATES).influences
    step = 1e-6 * np.eye(len(maps))
    expected = [(literal(maps, masks, RATES, 1 + e)[1] - literal(maps, masks, RATES, 1 - e)[1]) / 2e-6 for e in step]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert abs(found.sum()) < 1e-9


def test_many_images_and_few_high_scores():
    """Where most normal pixels cannot matter, they are left out; the rest give the same."""
    rng = np.random.default_rng(0)
    maps, masks = rng.normal(size=(12, 40, 40)), np.zeros((12, 40, 40), bool)
    masks[:5, 10:14, 20:30] = True
    maps[masks] += 3
    expected, _ = literal(maps[[0, *range(5, 12)]], masks[[0, *range(5, 12)]], (1e-3, 1e-2))
    found = aupimo_per_image(maps, masks, (1e-3, 1e-2))
    assert found.per_image[0] == pytest.approx(expected[0], abs=1e-9)
    assert 0.1 < found.mean < 0.9


def test_undefined_says_why_and_from_which_number_of_pixels_it_is_not():
    maps, masks = np.zeros((3, 100, 500)), np.zeros((3, 100, 500), bool)
    assert why_undefined(aupimo(maps, masks)) == "nothing is anomalous"
    assert why_undefined(aupimo(maps[:0], masks[:0])) == "there is nothing to score"
    assert why_undefined(aupimo(maps, ~masks)) == "no image is normal"
    masks[0, 0, 0] = True
    assert aupimo(maps, masks) == 0.0  # 100,000 pixels of two normal images, all of them as high as the anomalous one
    few = aupimo_per_image(maps[:2], masks[:2])
    assert why_undefined(few.mean).endswith("have 50,000 pixels in all; a false-positive rate of 1e-05 needs 100,000")
    assert np.isnan(few.per_image).all()
    assert few.influences is None


def test_regions_count_by_their_pixels():
    rng = np.random.default_rng(1)
    maps, masks = rng.random((4, 20, 20)), rng.random((4, 20, 20)) < 0.1
    masks[::2] = False
    regions = [Regions(np.where(mask, 7.0, 0.0)) for mask in masks]
    assert aupimo(maps, regions, RATES) == aupimo(maps, masks, RATES) > 0


@pytest.mark.parametrize("rates", [(0.0, 0.1), (0.2, 0.1), (0.1, 1.5)])
def test_wrong_rates_and_nan_are_refused(rates):
    with pytest.raises(ValueError, match=r"rates must rise inside \(0, 1\]"):
        aupimo(np.zeros((1, 2, 2)), np.zeros((1, 2, 2)), rates)
    for truth in (0, 1):
        with pytest.raises(ValueError, match="NaN has no rank"):
            aupimo(np.full((1, 2, 2), np.nan), np.full((1, 2, 2), truth))
