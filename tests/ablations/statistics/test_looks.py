"""Looks at a family: who gets more seeds, and that what is told stays so."""

import numpy as np
import pytest

from dlkd.ablations.statistics.looks import can_be_decided, look_by_look
from dlkd.ablations.statistics.pairs import Pairs
from dlkd.ablations.statistics.verdict import judge


def pairs(row, differences):
    """A comparison of one category."""
    none, n = np.empty(0), len(differences)
    return Pairs(row, "b", [np.array(differences)], none, none, n, n, 0, 0, np.nan, "")


def looked(drawn, complete=lambda i, n: True):
    return look_by_look(
        lambda n: [pairs(str(i), row[:n]) for i, row in enumerate(drawn)],
        complete,
        first=3,
        max_seeds=drawn.shape[1],
        margin=0.001,
    )


def test_a_comparison_that_is_told_stays_told_whatever_the_others_bring():
    rng = np.random.default_rng(0)
    parted = 0
    for _ in range(30):
        drawn = rng.normal(0, 0.01, (3, 12)) + np.array([[0.03], [0.015], [0.0]])
        found = looked(drawn)
        own = [pairs(str(i), row[:n]) for i, (row, n) in enumerate(zip(drawn, found.seeds, strict=True))]
        final = judge(own, "these", max_seeds=12, margin=0.001, alpha=0.05)
        for i, (line, seeds) in enumerate(zip(final, found.seeds, strict=True)):
            looks = [look for look in found.lines if look["row"] == str(i)]
            assert [look["seeds"] for look in looks] == list(range(3, seeds + 1))
            assert {look["verdict"] for look in looks[:-1]} <= {"open"}
            assert line["verdict"] == looks[-1]["verdict"] or looks[-1]["verdict"] == "open"
            assert seeds == 12 or line["verdict"] != "open"
        parted += len(set(found.seeds)) == 3
    assert parted > 5


def test_a_look_waits_for_all_that_is_open():
    drawn = np.random.default_rng(1).normal(0, 0.01, (2, 8))
    found = looked(drawn, lambda i, n: i == 1 or n < 6)
    assert (found.seeds, found.more) == ([5, 5], [True, True])


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, True),
        ({"verdict": "helps"}, False),
        ({"n_pairs": 0, "se": np.nan}, False),
        ({"se": 0.0}, False),  # nothing varies
        ({"se": np.nan}, True),  # one seed
        ({"n_failed": 1}, False),
        ({"n_failed": 1, "estimate": -0.1}, True),  # it may still harm
        ({"n_failed_other": 1, "estimate": -0.1}, False),
        ({"se_seeds": 0.03, "estimate": 0.1}, False),  # images alone: 0.095, times 2.4 in the last look
        ({"se_seeds": 0.03, "estimate": 0.2}, True),
        ({"se_seeds": 0.03, "estimate": 0.1, "margin": 0.3}, True),  # it may be equivalent
    ],
)
def test_more_seeds_go_where_they_can_decide(change, expected):
    line = {"verdict": "open", "n_pairs": 3, "se": 0.1, "estimate": 0.1, "n_failed": 0, "n_failed_other": 0}
    line |= {"se_seeds": 0.1, "level": 0.05 * 0.3 * 3 / 10, "n_seeds": 3, "margin": 0.005} | change
    assert can_be_decided(line, 10, line["margin"]) == expected
