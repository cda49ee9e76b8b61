"""AUROC against scikit-learn, and what is undefined or refused."""

import math
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from dlkd.metrics import Undefined, image_auroc, pixel_auroc, why_undefined


@st.composite
def labelled_scores(draw):
    """Scores with many ties, and labels in which both classes occur."""
    n = draw(st.integers(2, 40))
    values = st.floats(-10, 10) | st.integers(-2, 2).map(float)
    scores = draw(st.lists(values, min_size=n, max_size=n))
    labels = draw(st.lists(st.booleans(), min_size=n - 2, max_size=n - 2))
    return np.array(scores), np.array([True, False, *labels])


@settings(deadline=None)
@given(labelled_scores())
def test_image_auroc_equals_scikit_learn(case):
    scores, labels = case
    assert image_auroc(scores, labels) == pytest.approx(roc_auc_score(labels, scores), abs=1e-9)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
def test_pixel_auroc_equals_scikit_learn(dtype):
    rng = np.random.default_rng(0)
    maps = (20 * rng.random((3, 17, 12))).astype(dtype)
    masks = rng.random(maps.shape) < 0.2
    expected = roc_auc_score(masks.ravel(), maps.ravel())
    assert pixel_auroc(maps, masks) == pytest.approx(expected, abs=1e-9)


def test_torch_numpy_lists_and_number_masks_agree():
    rng = np.random.default_rng(1)
    maps, masks = rng.random((4, 8, 8), dtype=np.float32), rng.random((4, 8, 8)) < 0.3
    expected = pixel_auroc(maps, masks)
    assert pixel_auroc(torch.from_numpy(maps).requires_grad_(), torch.from_numpy(masks)) == expected
    assert pixel_auroc(list(maps), [m.astype(np.uint8) for m in masks]) == expected
    assert pixel_auroc([maps[:2].reshape(16, 8), maps[2], maps[3]], [masks[:2].reshape(16, 8), *masks[2:]]) == expected


def test_bfloat16_keeps_its_values():
    scores = torch.tensor([0.25, 0.5, 0.75, 1.0], dtype=torch.bfloat16)
    assert image_auroc(scores, torch.tensor([0, 1, 0, 1])) == 0.75


def test_constant_scores_are_one_half():
    assert image_auroc(np.zeros(5), np.array([0, 0, 1, 1, 1])) == 0.5


def test_float32_and_float64_maps_are_ranked_as_they_are():
    close = np.float64(np.float32(0.1)) + 1e-12
    maps = [np.full((1, 1), 0.1, np.float32), np.full((1, 1), close)]
    assert pixel_auroc(maps, [np.zeros((1, 1)), np.ones((1, 1))]) == 1.0
    assert pixel_auroc(maps, [np.ones((1, 1)), np.zeros((1, 1))]) == 0.0


def test_float64_tensors_keep_their_values():
    scores = torch.tensor([1.0, 1.0 + 1e-12], dtype=torch.float64)
    assert image_auroc(scores, torch.tensor([0, 1])) == 1.0
    assert image_auroc(scores, torch.tensor([1, 0])) == 0.0


def test_infinite_scores_have_a_rank():
    assert image_auroc(np.array([-np.inf, 0.0, np.inf]), np.array([0, 0, 1])) == 1.0


@pytest.mark.parametrize(
    ("labels", "reason"),
    [([0, 0], "nothing is anomalous"), ([1, 1], "nothing is normal"), ([], "there is nothing to score")],
)
def test_undefined_is_nan_with_a_reason(labels, reason):
    value = image_auroc(np.zeros(len(labels)), np.array(labels))
    assert math.isnan(value)
    assert why_undefined(value) == reason
    assert pixel_auroc(np.zeros((1, 1, len(labels))), np.array(labels).reshape(1, 1, -1)).reason == reason


def test_undefined_is_a_float_and_survives_pickling():
    value = pickle.loads(pickle.dumps(Undefined("because")))
    assert (value.reason, f"{value:.3f}", str(value), repr(value)) == (
        "because",
        "nan",
        "nan",
        "Undefined('because')",
    )
    assert why_undefined(0.5) is None


@pytest.mark.parametrize("label", [0, 1])
def test_nan_scores_are_refused(label):
    with pytest.raises(ValueError, match="NaN has no rank"):
        image_auroc(np.array([0.1, np.nan, 0.3]), np.array([1 - label, label, 1 - label]))


def test_wrong_labels_and_shapes_are_refused():
    with pytest.raises(ValueError, match="0 and 1 only, got 255"):
        pixel_auroc(np.zeros((1, 2, 2)), np.full((1, 2, 2), 255))
    with pytest.raises(ValueError, match=r"must both be \(n,\), got \(2, 1\)"):
        image_auroc(np.zeros((2, 1)), np.zeros(2))
    with pytest.raises(ValueError, match="2 maps and 1 masks"):
        pixel_auroc(np.zeros((2, 2, 2)), np.zeros((1, 2, 2)))
    with pytest.raises(ValueError, match=r"map 1 .* \(3, 2\) and \(2, 2\)"):
        pixel_auroc([np.zeros((2, 2)), np.zeros((3, 2))], np.zeros((2, 2, 2)))
    with pytest.raises(ValueError, match="drop the channel axis"):
        pixel_auroc(np.zeros((1, 1, 2, 2)), np.zeros((1, 1, 2, 2)))
