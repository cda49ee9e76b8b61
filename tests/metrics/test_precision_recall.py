"""Average precision and F1-max against scikit-learn."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score

from dlkd.metrics import average_precision, f1_max, why_undefined


@st.composite
def labelled_scores(draw):
    """Scores with ties and labels, at least one of them anomalous."""
    n = draw(st.integers(1, 30))
    scores = draw(st.lists(st.floats(-5, 5) | st.integers(-2, 2).map(float), min_size=n, max_size=n))
    labels = draw(st.lists(st.booleans(), min_size=n - 1, max_size=n - 1))
    return np.array(scores), np.array([*labels, True])


@settings(deadline=None)
@given(labelled_scores())
def test_average_precision_equals_scikit_learn(case):
    scores, labels = case
    assert average_precision(scores, labels) == pytest.approx(average_precision_score(labels, scores), abs=1e-9)


@settings(deadline=None, max_examples=25)  # scikit-learn's F1 takes a millisecond a threshold
@given(labelled_scores())
def test_f1_max_is_the_best_of_all_thresholds(case):
    scores, labels = case
    best = max(f1_score(labels, scores >= threshold) for threshold in set(scores.tolist()))
    assert f1_max(scores, labels) == pytest.approx(best, abs=1e-9)


def test_of_pixels_and_of_lists_of_maps():
    rng = np.random.default_rng(0)
    maps, masks = rng.random((3, 6, 5), dtype=np.float32), rng.random((3, 6, 5)) < 0.3
    expected = average_precision_score(masks.ravel(), maps.ravel())
    assert average_precision(maps, masks) == pytest.approx(expected, abs=1e-9)
    assert average_precision(list(map(torch.tensor, maps)), list(masks)) == average_precision(maps, masks)
    assert f1_max(maps.tolist()[0][0], masks[0, 0]) == f1_max(maps[0, 0], masks[0, 0])


def test_undefined_only_where_nothing_is_anomalous():
    for metric in (average_precision, f1_max):
        assert why_undefined(metric(np.zeros(2), np.zeros(2))) == "nothing is anomalous"
        assert why_undefined(metric([], [])) == "nothing is anomalous"
        assert metric(np.zeros(2), np.ones(2)) == 1.0
        assert not math.isnan(metric(np.zeros(2), np.array([0, 1])))
