"""SegF1 against scikit-learn's F1, and its influences against the derivative by an image's weight."""

import math

import numpy as np
import pytest
from sklearn.metrics import f1_score

from dlkd.metrics import Regions, seg_f1, segmented, why_undefined


@pytest.fixture
def case():
    rng = np.random.default_rng(0)
    maps, masks = rng.integers(0, 10, (5, 8, 9)) / 10, rng.random((5, 8, 9)) < 0.3
    masks[0] = False
    return maps, masks


@pytest.mark.parametrize("threshold", [-1.0, 0.3, 0.55, 2.0])
def test_equals_scikit_learn(case, threshold):
    maps, masks = case
    expected = f1_score(masks.ravel(), maps.ravel() > threshold)
    assert seg_f1(maps, masks, threshold) == pytest.approx(expected, abs=1e-12)
    assert seg_f1(list(maps), [Regions(mask * 3.0) for mask in masks], threshold) == seg_f1(maps, masks, threshold)


def test_influences_are_derivatives_by_an_images_weight(case):
    maps, masks = case
    found = segmented(maps, masks, 0.55)

    def weighted(weights):
        return f1_score(masks.ravel(), maps.ravel() > 0.55, sample_weight=np.repeat(weights, masks[0].size))

    step = 1e-5 * np.eye(len(maps))
    expected = [(weighted(1 + e) - weighted(1 - e)) / 2e-5 for e in step]
    np.testing.assert_allclose(found.influences, expected, atol=1e-8)


def test_undefined_and_refused(case):
    maps, masks = case
    nothing = segmented(maps, ~np.ones_like(masks), 0.5)
    assert why_undefined(nothing.f1) == "nothing is anomalous"
    assert nothing.influences is None
    assert why_undefined(seg_f1([], [], 0.5)) == "nothing is anomalous"
    with pytest.raises(ValueError, match="NaN has no rank"):
        seg_f1(np.full((1, 2, 2), np.nan), np.zeros((1, 2, 2)), 0.5)
    with pytest.raises(ValueError, match="the threshold is NaN"):
        seg_f1(maps, masks, math.nan)
