"""Influences against the derivative by an image's weight, written out, and against leaving one image out."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label

from dlkd.metrics import Regions, image_auroc, image_influences, pixel_influences, pixel_metrics
from dlkd.metrics import influences as influencing


def weighted_auroc(scores, truth, weights):
    """Every pair of an anomalous and a normal score; `weights` of the scores."""
    wins = sum(
        weights[i] * weights[j] * ((scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j]))
        for i in np.flatnonzero(truth)
        for j in np.flatnonzero(~truth)
    )
    return wins / (weights[truth].sum() * weights[~truth].sum())


def weighted_pro(maps, masks, weights, limit):
    """The curve at every distinct score, one region at a time; each image's pixels and regions have its weight."""
    regions = []
    for image, mask in enumerate(masks):
        labelled, n = label(mask, np.ones((3, 3)))
        regions += [(image, labelled == k) for k in range(1, n + 1)]
    normal = sum(w * (~mask).sum() for w, mask in zip(weights, masks, strict=True))
    fprs, pros = [0.0], [0.0]
    for threshold in sorted(set(maps.ravel().tolist()), reverse=True):
        above = sum(w * (m[~k] >= threshold).sum() for w, m, k in zip(weights, maps, masks, strict=True))
        fprs.append(above / normal)
        overlap = sum(weights[image] * np.mean(maps[image][region] >= threshold) for image, region in regions)
        pros.append(overlap / sum(weights[image] for image, _ in regions))
    area = 0.0
    for x0, x1, y0, y1 in zip(fprs, fprs[1:], pros, pros[1:], strict=False):
        end = min(x1, limit)
        if x0 < end:
            area += (end - x0) * (y0 + y0 + (y1 - y0) * (end - x0) / (x1 - x0)) / 2
    return area / limit


def derivative(metric, n, step=1e-5):
    """By the weight of each of n images, from both sides."""
    change = step * np.eye(n)
    return np.array([(metric(1 + e) - metric(1 - e)) / (2 * step) for e in change])


@st.composite
def maps_and_masks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(2, 4)), draw(st.integers(2, 5)), draw(st.integers(2, 5))
    levels = draw(st.sampled_from([3, 6, 1000]))
    maps = rng.integers(0, levels, shape) / levels
    masks = rng.random(shape) < draw(st.sampled_from([0.1, 0.4]))
    masks[0, 0, 0], masks[0, 0, 1] = True, False
    return maps, masks


@settings(deadline=None, max_examples=25)
@given(maps_and_masks())
def test_images_and_pixels_by_the_derivative_of_every_pair(case):
    maps, masks = case
    n = len(maps)
    of_pixel = np.repeat(np.arange(n), maps[0].size)
    expected = derivative(lambda w: weighted_auroc(maps.ravel(), masks.ravel(), w[of_pixel]), n)
    found, _ = pixel_influences(maps, masks, pixel_metrics(maps, masks).counts)
    np.testing.assert_allclose(found, expected, atol=1e-8)
    scores, truth = maps[0].ravel(), masks[0].ravel()
    expected = derivative(lambda w: weighted_auroc(scores, truth, w), len(scores))
    np.testing.assert_allclose(image_influences(scores, truth), expected, atol=1e-8)


@settings(deadline=None, max_examples=25)
@given(maps_and_masks(), st.sampled_from([0.31234, 0.71234, 0.999]))
def test_pro_by_the_derivative_of_the_curve(case, limit):
    """At limits that no rate of false positives equals, where PRO has a bend."""
    maps, masks = case
    expected = derivative(lambda w: weighted_pro(maps, masks, w, limit), len(maps))
    counts = pixel_metrics(maps, masks).counts
    auroc, found = pixel_influences(maps, masks, counts, limit)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    several = pixel_influences(maps, masks, counts, limit, 0.1, limit)
    for each, same in zip(several, (auroc, found, several[2], found), strict=True):
        np.testing.assert_allclose(each, same, atol=1e-12)
    assert np.array_equal(several[:2], [auroc, found])


def drawn(n, seed=0, side=24):
    rng = np.random.default_rng(seed)
    masks = np.zeros((n, side, side), bool)
    for image, mask in enumerate(masks[: n // 2]):
        mask[4 : 6 + image % 5, 5 : 7 + image % 7] = True
        mask[15:18, 15:20] = image % 3 == 0
    maps = rng.normal(0, 1, masks.shape) + 0.5 * rng.normal(0, 1, (n, 1, 1))
    return np.where(masks, maps + 1, maps).astype(np.float32), masks


def test_variances_are_those_of_the_delete_one_jackknife():
    maps, masks = drawn(60)
    truth = masks.any(axis=(1, 2))
    scores = maps.max(axis=(1, 2))
    found = pixel_metrics(maps, masks)
    auroc, pro = pixel_influences(maps, masks, found.counts)
    image = image_influences(scores, truth)
    assert [abs(each.sum()) < 1e-9 for each in (image, auroc, pro)] == [True] * 3
    for own, metric in (
        (image, lambda keep: image_auroc(scores[keep], truth[keep])),
        (auroc, lambda keep: pixel_metrics(maps[keep], masks[keep]).auroc),
        (pro, lambda keep: pixel_metrics(maps[keep], masks[keep]).pro),
    ):
        left_out = np.array([metric(np.arange(len(maps)) != k) for k in range(len(maps))])
        jackknife = metric(np.arange(len(maps)) >= 0) - left_out
        assert np.corrcoef(own, jackknife)[0, 1] > 0.999
        np.testing.assert_allclose(own.std(), jackknife.std(), rtol=0.06)


def test_many_thresholds_are_thinned_by_a_little(monkeypatch):
    maps, masks = drawn(20)
    counts = pixel_metrics(maps, masks).counts
    exact = np.array(pixel_influences(maps, masks, counts))
    monkeypatch.setattr(influencing, "_LEVELS", 80)
    assert counts.threshold.size > 200
    thinned = np.array(pixel_influences(maps, masks, counts))
    assert (thinned != exact).any()
    np.testing.assert_allclose(thinned, exact, atol=0.01 * np.abs(exact).max())


def test_regions_in_place_of_masks_and_sizes_of_their_own():
    maps, masks = drawn(6)
    counts = pixel_metrics(maps, masks).counts
    expected = pixel_influences(maps, masks, counts)
    sizes = []
    for mask in masks:
        labelled, _ = label(mask, np.ones((3, 3)))
        sizes.append(Regions(np.where(mask, np.bincount(labelled.ravel())[labelled], 0)))
    np.testing.assert_allclose(pixel_influences(list(maps), sizes, counts), expected)
    wide, wide_masks = [m.reshape(12, 48) for m in maps], [m.reshape(12, 48) for m in masks]
    counts = pixel_metrics(wide, wide_masks).counts
    np.testing.assert_allclose(pixel_influences(wide, wide_masks, counts)[0], expected[0])


@pytest.mark.parametrize("truth", [0, 1])
def test_where_a_class_is_missing_there_are_none(truth):
    labels = np.full(3, truth)
    assert image_influences(np.arange(3.0), labels) is None
    maps, masks = np.zeros((2, 3, 3)), np.full((2, 3, 3), truth)
    assert pixel_influences(maps, masks, pixel_metrics(maps, masks).counts) is None
    assert image_influences([], []) is None
