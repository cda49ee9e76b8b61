"""Thresholds for a wanted rate keep it, for scores of any distribution; where they cannot, they say what they can."""

import math

import numpy as np
import pytest
from scipy.stats import beta, binomtest, expon

from dlkd.training.thresholds.calibration import CalibrationError, for_false_alarm_rate, for_recall
from dlkd.training.thresholds.order_statistics import beyond, counted, least_images, least_rate, of_order_statistic

RUNS = 1500


def drawn(n: int) -> np.ndarray:
    return np.random.default_rng(n).exponential(size=(RUNS, n))


@pytest.mark.parametrize(("n", "wanted"), [(19, 0.05), (60, 0.05), (25, 0.2)])
def test_the_false_alarm_rate_is_kept_and_the_interval_covers_it(n: int, wanted: float) -> None:
    """The true rate of each threshold is known, since the scores are drawn from an exponential distribution."""
    found = [for_false_alarm_rate(scores, wanted, "images") for scores in drawn(n)]
    true = np.array([expon.sf(threshold) for threshold, _ in found])
    told = found[0][1].false_alarms
    assert told is not None
    assert told.expected <= wanted < told.expected + 1 / (n + 1) + 1e-9
    assert true.mean() == pytest.approx(told.expected, abs=4 * true.std() / math.sqrt(RUNS))
    assert 0.93 < np.mean((told.low <= true) & (true <= told.high)) < 0.97


@pytest.mark.parametrize(("n", "wanted"), [(19, 0.95), (60, 0.9)])
def test_the_recall_is_kept_and_the_interval_covers_it(n: int, wanted: float) -> None:
    found = [for_recall(scores, wanted, "images") for scores in drawn(n)]
    true = np.array([expon.sf(threshold) for threshold, _ in found])
    told = found[0][1].recall
    assert told is not None
    assert told.expected - 1 / (n + 1) - 1e-9 < wanted <= told.expected
    assert true.mean() == pytest.approx(told.expected, abs=4 * true.std() / math.sqrt(RUNS))
    assert 0.93 < np.mean((told.low <= true) & (true <= told.high)) < 0.97


def test_scores_with_ties_keep_the_rates_too() -> None:
    scores = np.minimum(np.floor(3 * drawn(20)), 4)
    probability = expon.cdf((np.arange(5) + 1) / 3) - expon.cdf(np.arange(5) / 3)
    probability[4] = expon.sf(4 / 3)
    false_alarms = [probability[np.arange(5) > for_false_alarm_rate(each, 0.2, "images")[0]].sum() for each in scores]
    assert np.mean(false_alarms) <= 0.2
    found = [probability[np.arange(5) > for_recall(each, 0.8, "images")[0]].sum() for each in scores]
    assert np.mean(found) >= 0.8


def test_ranks_are_the_literal_ones() -> None:
    """The threshold is the lowest score that at most a share `wanted` of the next one's n + 1 places lies beyond."""
    scores = np.random.default_rng(0).permutation(30.0 + np.arange(39))
    for wanted in (0.025, 0.05, 0.11, 0.5):
        allowed = [s for s in scores if (np.sum(scores > s) + 1) / 40 <= wanted]
        threshold, found = for_false_alarm_rate(scores, wanted, "images", anomalous=[0.0, 60.0, 99.0])
        assert threshold == pytest.approx(min(allowed), rel=2e-4)
        assert np.float32(threshold) > np.float32(min(allowed)) == sorted(scores)[found.rank - 1]
        assert str(found.recall) == str(counted(int(threshold < 60) + 1, 3))
        missed = [s for s in scores if (np.sum(scores < s) + 1) / 40 <= wanted]
        threshold, found = for_recall(scores, 1 - wanted, "images", normal=[0.0, 1.0])
        assert threshold == pytest.approx(max(missed), rel=2e-4)
        assert np.float32(threshold) < np.float32(max(missed)) == sorted(scores)[found.rank - 1]
        assert str(found.false_alarms) == str(counted(0, 2))


def test_rounding_makes_no_alarm_of_equal_images() -> None:
    """Scores of one image differ a little from batch to batch; so do those of many images with the same score."""
    for score in (0.0, 0.7, -3.0, 5e6):
        around = score + abs(score) * np.array([-1e-6, 0.0, 1e-6])
        assert (around < for_false_alarm_rate([score] * 19, 0.05, "images")[0]).all()
        assert (around > for_recall([score] * 19, 0.95, "images")[0]).all()


@pytest.mark.parametrize("hits", [0, 3, 8])
def test_intervals_are_those_of_scipy(hits: int) -> None:
    told = counted(hits, 8)
    expected = binomtest(hits, 8).proportion_ci(0.95, method="exact")
    assert (told.low, told.high) == pytest.approx((expected.low, expected.high))
    rate = of_order_statistic(20, hits + 1)
    assert (rate.low, rate.high) == pytest.approx(beta.ppf([0.025, 0.975], hits + 1, 20 - hits))
    assert math.isnan(counted(0, 0).expected)


@pytest.mark.parametrize("rate", [0.5, 0.1, 0.05, 0.01, 0.001, 1 / 3, 0.07])
def test_the_least_number_of_images_supports_a_rate_and_one_less_does_not(rate: float) -> None:
    n = least_images(rate)
    assert beyond(n, rate) == 1
    assert beyond(n - 1, rate) == 0
    assert least_rate(n) <= rate + 1e-12 < least_rate(n - 1)


def test_too_few_images_say_what_they_support() -> None:
    with pytest.raises(CalibrationError) as raised:
        for_false_alarm_rate([0.5] * 18, 0.05, "normal pictures")
    assert str(raised.value) == (
        "18 normal pictures are too few for a false alarm rate of 0.05: the least that they can support is 0.0527; "
        "0.05 takes 19 of them"
    )
    for_false_alarm_rate([0.5] * 18, 0.0527, "images")
    with pytest.raises(
        CalibrationError, match=r"10 images are too few for a recall of 0\.95: the highest .* is 0\.909;"
    ):
        for_recall([0.5] * 10, 0.95, "images")
    for_recall([0.5] * 10, 0.909, "images")
    with pytest.raises(CalibrationError, match="there are no images, from whose scores"):
        for_recall([], 0.95, "images")
    with pytest.raises(CalibrationError, match=r"must lie between 0 and 1, got 1\.5"):
        for_recall([0.5], 1.5, "images")
    with pytest.raises(CalibrationError, match="no finite number"):
        for_false_alarm_rate([0.5, math.inf] * 30, 0.5, "images")
