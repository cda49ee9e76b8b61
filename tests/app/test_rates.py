"""The common unit, and precision and recall by threshold, against literal versions."""

import math

import numpy as np
import pytest

from dlkd.app.curve import HEIGHT, WIDTH, curve
from dlkd.app.rates import rates_at, steps
from dlkd.app.scored import TestScores
from dlkd.scoring.scorer import Normal
from dlkd.training.prediction.pictures import overlay

SCORES = [(0.1, 0), (0.4, 0), (0.4, 1), (0.4, 1), (0.9, 1), (0.7, 0), (1.5, 1)]


def scored(pairs: list[tuple[float, int]]) -> TestScores:
    scores, labels = zip(*pairs, strict=True) if pairs else ((), ())
    return TestScores(np.array(scores, np.float64), np.array(labels, np.int64))


def literal(pairs: list[tuple[float, int]], threshold: float) -> tuple[list[int], list[float]]:
    """Counts tp, fp, fn, tn; and precision, recall, F1 and the rate of false alarms, picture by picture."""
    tp = fp = fn = tn = 0
    for score, label in pairs:
        if score > threshold:
            tp, fp = tp + (label == 1), fp + (label == 0)
        else:
            fn, tn = fn + (label == 1), tn + (label == 0)
    precision = tp / (tp + fp) if tp + fp else math.nan
    recall = tp / (tp + fn) if tp + fn else math.nan
    f1 = 2 * tp / (2 * tp + fp + fn) if tp + fn else math.nan
    return [tp, fp, fn, tn], [precision, recall, f1, fp / (fp + tn) if fp + tn else math.nan]


@pytest.mark.parametrize("pairs", [SCORES, SCORES[:2], SCORES[2:5], []], ids=["both", "normal", "anomalous", "none"])
@pytest.mark.parametrize("threshold", [-1.0, 0.1, 0.4, 0.5, 0.9, 1.5, 9.0])
def test_rates_are_those_of_a_count(pairs: list[tuple[float, int]], threshold: float) -> None:
    found = rates_at(scored(pairs), threshold)
    counts, rates = literal(pairs, threshold)
    assert [found.found, found.false_alarms, found.anomalous - found.found, found.normal - found.false_alarms] == counts
    np.testing.assert_equal([found.precision, found.recall, found.f1, found.false_alarm_rate], rates)


@pytest.mark.parametrize("pairs", [SCORES, SCORES[:2], SCORES[2:5], []], ids=["both", "normal", "anomalous", "none"])
def test_steps_are_the_rates_at_every_threshold(pairs: list[tuple[float, int]]) -> None:
    tests = scored(pairs)
    made = steps(tests.scores, tests.labels)
    for threshold in (-5.0, 0.0, 0.1, 0.2, 0.4, 0.41, 0.7, 0.8, 0.9, 1.5, 3.0):
        step = [s for s in made if s.threshold <= threshold][-1]
        np.testing.assert_equal([step.precision, step.recall], literal(pairs, threshold)[1][:2])


def test_a_curve_steps_at_the_scores_and_ends_where_nothing_is_above() -> None:
    made = steps(np.array([0.5, 1.0]), np.array([0, 1]))
    drawn = curve(made, 0.0, 2.0)
    assert drawn.recall == f"M0.0 0.0 H{WIDTH / 4} V0.0 H{WIDTH / 2} V{HEIGHT:.1f} H{WIDTH:.1f}"
    assert drawn.precision == f"M0.0 {HEIGHT / 2} H{WIDTH / 4} V0.0 H{WIDTH / 2}"
    assert drawn.x(0.5) == WIDTH / 4


@pytest.mark.parametrize(
    ("level", "threshold", "unit"),
    [(100.0, 120.0, 20.0), (-3.0, -1.0, 2.0), (math.nan, 4.0, 4.0), (5.0, 4.0, 4.0), (0.0, 0.0, 1.0)],
)
def test_one_is_the_threshold_of_every_model(level: float, threshold: float, unit: float) -> None:
    normal = Normal(threshold=threshold, origin="", level=level, proportions=1.0)
    assert normal.unit == unit
    assert normal.in_units(threshold) == 1
    assert normal.from_units(1.0) == threshold
    assert normal.from_units(normal.in_units(threshold + 0.3)) == pytest.approx(threshold + 0.3)
    if level < threshold:
        assert normal.in_units(level) == 0


def test_maps_in_units_have_the_colours_of_a_prediction() -> None:
    """`dlkd predict` draws from the level to twice the way to the threshold, which is 0 to 2 units."""
    normal = Normal(threshold=3.0, origin="", level=1.0, proportions=1.0)
    anomaly_map = np.linspace(0, 7, 64, dtype=np.float32).reshape(8, 8)
    picture = np.full((8, 8, 3), 90, np.uint8)
    assert (
        overlay(picture, normal.in_units(anomaly_map), 0, 2) == overlay(picture, anomaly_map, *normal.scale(3.0))
    ).all()
