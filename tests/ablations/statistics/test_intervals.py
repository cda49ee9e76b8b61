"""Coverage of the intervals by simulation, and honesty where there is too little to learn from."""

import numpy as np
import pytest

from dlkd.ablations.statistics.intervals import _resample, hierarchical_interval


def simulated_coverage(tables, n_categories, n_seeds, *, category_sd, seed_sd, resamples):
    rng = np.random.default_rng([n_categories, n_seeds, int(10 * category_sd)])
    hits = 0
    for _ in range(tables):
        truth = 0.9 + rng.normal(0, category_sd, (n_categories, 1)) * 0.01
        categories = list(truth + rng.normal(0, seed_sd, (n_categories, n_seeds)) * 0.01)
        interval = hierarchical_interval(categories, resamples=resamples)
        hits += interval.low <= 0.9 <= interval.high
    return hits / tables


@pytest.mark.parametrize("n_categories", [3, 5, 15])
def test_intervals_cover(n_categories):
    coverage = simulated_coverage(500, n_categories, 3, category_sd=1, seed_sd=1, resamples=400)
    assert coverage == pytest.approx(0.95, abs=0.03)  # 0.02 and the sampling error of 500 tables


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("category_sd", [0, 1])
@pytest.mark.parametrize("n_seeds", [1, 3])
@pytest.mark.parametrize("n_categories", [2, 3, 4, 5, 6, 8, 10, 15])
def test_intervals_cover_within_two_percent(n_categories, n_seeds, category_sd):
    coverage = simulated_coverage(2000, n_categories, n_seeds, category_sd=category_sd, seed_sd=1, resamples=1000)
    assert coverage == pytest.approx(0.95, abs=0.02)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another():
    categories = list(np.random.default_rng(0).normal(0.9, 0.02, (6, 3)))
    first = hierarchical_interval(categories, seed=1)
    assert first == hierarchical_interval(categories, seed=1)
    assert first != hierarchical_interval(categories, seed=2)
    assert first.low < np.mean(categories) < first.high


def test_a_higher_confidence_is_wider():
    categories = list(np.random.default_rng(0).normal(0.9, 0.02, (6, 3)))
    wide, narrow = (hierarchical_interval(categories, confidence=level) for level in (0.99, 0.8))
    assert wide.low < narrow.low < narrow.high < wide.high


def test_two_or_three_categories_get_students_interval():
    interval = hierarchical_interval([np.array([0.8, 0.9]), np.array([0.95])])
    assert interval[:2] == pytest.approx((0.9 - 12.7062 * 0.05, 0.9 + 12.7062 * 0.05), abs=1e-4)


def test_a_resample_draws_each_category_as_often_as_it_has_seeds():
    means = _resample([np.array([0.0, 1.0]), np.full(7, 5.0)], 500, seed=0)
    assert set(means.ravel()) == {0, 0.5, 1, 5}
    shares = [np.mean(means == value) for value in (0, 0.5, 1, 5)]
    np.testing.assert_allclose(shares, [0.125, 0.25, 0.125, 0.5], atol=0.05)


@pytest.mark.parametrize(
    ("categories", "reason"),
    [
        ([], "no value"),
        ([np.array([0.9, 0.91, 0.92])], "one category"),
        ([np.array([1.0, 1.0])] * 5, "same mean"),
    ],
)
def test_no_interval_where_none_can_be_given_honestly(categories, reason):
    interval = hierarchical_interval(categories)
    assert np.isnan(interval.low)
    assert np.isnan(interval.high)
    assert reason in interval.note


def test_a_confidence_in_percent_is_refused():
    with pytest.raises(ValueError, match=r"confidence is 95; .*0\.95"):
        hierarchical_interval([np.ones(3)], confidence=95)
