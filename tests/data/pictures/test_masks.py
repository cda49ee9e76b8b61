"""Regions followed to the network's size, against a slow literal version; the defects that nearest loses."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from skimage.draw import line

from dlkd.data.pictures.masks import resize_mask, small_regions
from dlkd.metrics import Regions, pixel_metrics, pro

EIGHT = np.ones((3, 3))


def literal(mask: np.ndarray, size: tuple[int, int]) -> list[set[tuple[int, int]]]:
    """The target pixels of each region: centres first, else the largest exact area; region by region."""
    labelled, count = label(mask, EIGHT)
    step = [Fraction(m, n) for m, n in zip(mask.shape, size, strict=True)]
    found = []
    for region in range(1, count + 1):
        hit = {
            (i, j)
            for i in range(size[0])
            for j in range(size[1])
            if labelled[int((i + Fraction(1, 2)) * step[0]), int((j + Fraction(1, 2)) * step[1])] == region
        }
        if not hit:
            area = {}
            for y, x in np.argwhere(labelled == region):
                for i in range(size[0]):
                    high = min(y + 1, (i + 1) * step[0]) - max(y, i * step[0])
                    for j in range(size[1]):
                        wide = min(x + 1, (j + 1) * step[1]) - max(x, j * step[1])
                        if high > 0 and wide > 0:
                            area[i, j] = area.get((i, j), 0) + high * wide
            hit = {pixel for pixel, a in area.items() if a == max(area.values())}
        found.append(hit)
    return found


@st.composite
def masks(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.integers(1, 17)), draw(st.integers(1, 17))
    return rng.random(shape) < draw(st.sampled_from([0.02, 0.1, 0.3]))


@settings(deadline=None, max_examples=60)
@given(masks(), st.tuples(st.integers(1, 9), st.integers(1, 9)))
def test_sizes_are_those_of_the_literal_regions(mask, size):
    regions = literal(mask, size)
    assert all(regions)
    weight = np.zeros(size)
    for region in regions:
        for pixel in region:
            weight[pixel] += 1 / len(region)
    found = resize_mask(mask, size)
    assert (found.shape, found.dtype) == (size, np.float32)
    expected = np.divide(1.0, weight, out=np.zeros(size), where=weight > 0)
    np.testing.assert_allclose(found, expected, rtol=1e-6)


@settings(deadline=None, max_examples=60)
@given(masks(), st.tuples(st.integers(1, 9), st.integers(1, 9)), st.sampled_from([0.05, 0.3, 1.0]))
def test_pro_gives_each_region_one_say(mask, size, limit):
    """The mean of the regions' shares, as literally as PRO says it, where regions share pixels."""
    regions = literal(mask, size)
    scores = np.random.default_rng(0).integers(0, 6, size) / 6
    union = np.zeros(size, bool)
    for region in regions:
        union[tuple(np.array(sorted(region)).T)] = True
    found = pixel_metrics([scores], [Regions(resize_mask(mask, size))], limit)
    plain = pixel_metrics([scores], [union], limit)
    for name in ("auroc", "average_precision", "f1_max"):
        assert getattr(found, name) == getattr(plain, name) or not (union.any() and not union.all())
    if not union.any() or union.all():
        assert np.isnan(found.pro)
        return
    assert found.counts.n_regions == len(regions)
    for at, overlap in zip(found.counts.threshold, found.counts.overlap, strict=True):
        expected = np.mean([np.mean([scores[pixel] >= at for pixel in region]) for region in regions])
        assert overlap == pytest.approx(expected, abs=1e-7)


def test_a_small_defect_survives_in_every_place():
    rng = np.random.default_rng(0)
    lost_by_nearest = 0
    for y, x in rng.integers(0, 1022, (200, 2)):
        mask = np.zeros((1024, 1024), bool)
        mask[y : y + 3, x : x + 3] = True
        found = resize_mask(mask, (256, 256))
        where = np.argwhere(found > 0)
        assert len(where) == 1
        assert found.max() == 1
        assert np.abs(where[0] * 4 + 1.5 - (y + 1, x + 1)).max() < 4
        assert small_regions(mask, (256, 256)) == 1
        lost_by_nearest += not mask[::4, ::4].any()
    assert lost_by_nearest > 60


@pytest.mark.parametrize("ends", [(100, 50, 900, 800), (10, 3, 1000, 3), (700, 20, 650, 1000)])
def test_a_thin_scratch_stays_one_region(ends: tuple[int, int, int, int]) -> None:
    mask = np.zeros((1024, 1024), bool)
    mask[line(*ends)] = True
    found = resize_mask(mask, (256, 256))
    regions = Regions(found)
    pixels = int(regions.mask.sum())
    assert pixels > 30  # along the scratch, not one end of it
    assert set(found[regions.mask]) == {pixels}  # each pixel has 1 / pixels of the one region
    scores = [regions.mask.astype(float)]
    assert pixel_metrics(scores, [regions]).counts.n_regions == 1
    assert pro(scores, [regions]) == 1


def test_two_defects_in_one_pixel_are_two_regions() -> None:
    mask = np.zeros((64, 64), bool)
    mask[0, 0] = mask[0, 2] = mask[40:60, 40:60] = True
    found = resize_mask(mask, (16, 16))
    assert found[0, 0] == 0.5
    assert set(found[10:15, 10:15].ravel()) == {25}
    assert pixel_metrics([found], [Regions(found)]).counts.n_regions == 3
    assert small_regions(mask, (16, 16)) == 2


def test_at_its_own_size_a_mask_gives_the_figures_that_it_gave() -> None:
    rng = np.random.default_rng(3)
    maps = rng.random((4, 30, 20))
    plain = rng.random((4, 30, 20)) < 0.15
    regions = [Regions(resize_mask(mask, mask.shape)) for mask in plain]
    assert pro(maps, regions) == pro(maps, plain)


def test_a_mask_that_marks_nothing() -> None:
    assert not resize_mask(np.zeros((50, 40), bool), (32, 32)).any()
    assert small_regions(np.zeros((50, 40), bool), (32, 32)) == 0
