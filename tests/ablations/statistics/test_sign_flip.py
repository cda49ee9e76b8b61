"""The permutation test against literal enumeration, Holm against its definition, power against simulation."""

from itertools import product

import numpy as np
import pytest

from dlkd.ablations.statistics.sign_flip import EXACT_UP_TO, detectable_effect, holm, sign_flip_floor, sign_flip_test


def enumerated(differences, weights):
    observed = abs(sum(d * w for d, w in zip(differences, weights, strict=True)))
    patterns = list(product((-1, 1), repeat=len(differences)))
    sums = [abs(sum(s * d * w for s, d, w in zip(p, differences, weights, strict=True))) for p in patterns]
    return sum(total >= observed - 1e-12 for total in sums) / len(patterns)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 11])
def test_exact_p_is_that_of_literal_enumeration(n):
    rng = np.random.default_rng(n)
    for _ in range(5):
        differences, weights = rng.normal(0.5, 1, n), rng.uniform(0.5, 2, n)
        found = sign_flip_test(differences, weights=weights)
        assert found.p == enumerated(differences, weights)
        assert found.method == f"exact, {2**n} sign patterns"


def test_ties_count_in_full_whatever_the_last_bits():
    differences = np.array([0.1, 0.2, -0.3, 0.3, 0.0, 0.7 - 0.6])  # 0.7 - 0.6 is not 0.1 in binary
    assert sign_flip_test(differences).p == enumerated(np.round(differences, 6), np.ones(6))


def test_no_difference_anywhere_has_p_one():
    assert sign_flip_test(np.zeros(9)).p == 1.0


@pytest.mark.parametrize("n", [3, 6, EXACT_UP_TO])
def test_the_floor_is_reached_when_all_units_agree(n):
    found = sign_flip_test(np.linspace(1, 2, n))
    assert found.p == found.floor == sign_flip_floor(n) == 2 / 2**n


def test_beyond_sixteen_units_monte_carlo_is_stated_seeded_and_close_to_exact():
    differences = np.random.default_rng(3).normal(0.35, 1, 17)
    found = sign_flip_test(differences, seed=1)
    assert found.method == "Monte Carlo, 20000 sign patterns"
    assert found == sign_flip_test(differences, seed=1)
    assert found.p != sign_flip_test(differences, seed=2).p
    signs = 1 - 2 * ((np.arange(2**17)[:, None] >> np.arange(17)) & 1)
    exact = np.mean(np.abs(signs @ differences) >= abs(differences.sum()) - 1e-9)
    assert found.p == pytest.approx(exact, abs=4 * np.sqrt(exact / 20_000))
    assert sign_flip_test(np.ones(40)).p == sign_flip_floor(40) == 1 / 20_001  # never zero


def test_holm_is_its_literal_definition():
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 9):
        p = np.round(rng.uniform(0, 0.4, n), 2)  # rounded: ties
        expected, reached = [None] * n, 0.0
        for rank, index in enumerate(sorted(range(n), key=lambda i: p[i])):
            reached = max(reached, min(1.0, (n - rank) * p[index]))
            expected[index] = reached
        np.testing.assert_allclose(holm(p), expected, rtol=1e-15)
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])  # Wikipedia's example


def test_holm_counts_a_test_that_gave_nothing():
    np.testing.assert_allclose(holm([0.01, np.nan, 0.02]), [0.03, np.nan, 0.04])


@pytest.mark.parametrize(
    ("units", "alpha"), [(6, 0.05), (9, 0.05 / 6), (15, 0.05 / 3), (13, 0.05 / 5), (15, 0.05 / 10)]
)
def test_the_detectable_effect_is_shown_four_times_in_five(units, alpha):
    effect = detectable_effect(units, alpha=alpha)
    tables = np.random.default_rng(11).normal(effect, 1, (600, units))
    power = np.mean([sign_flip_test(table).p <= alpha for table in tables])
    assert power == pytest.approx(0.8, abs=0.05)  # three standard errors of 600 tables


def test_too_few_units_detect_nothing_whatever_its_size():
    assert detectable_effect(3) == float("inf")
    assert detectable_effect(0) == float("inf")
    assert detectable_effect(6, alpha=0.05 / 2) == float("inf")
    assert detectable_effect(7, alpha=0.05) < detectable_effect(6, alpha=0.05) < 2
