"""The probability of a repeat against repeats that are simulated."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from dlkd.ablations.statistics.claims import claims
from dlkd.ablations.statistics.pairs import Pairs
from dlkd.ablations.statistics.repeats import repeat_probability, seeds_to_settle
from dlkd.ablations.statistics.verdict import verdicts


def line(verdict, estimate, se, *, df=8.0, seeds=5, level=0.05, se_seeds=None):
    return {
        **{"verdict": verdict, "estimate": estimate, "se": se, "se_seeds": se if se_seeds is None else se_seeds},
        **{"df": df, "level": level, "n_seeds": seeds},
    }


def test_the_formula_of_the_design_note():
    df, t = 6.0, 3.0
    rng = np.random.default_rng(1)
    q1, q2 = rng.chisquare(df, (2, 200_000)) / df
    repeat = ((t - 1 / t) * np.sqrt(q1) + math.sqrt(2) * rng.standard_normal(200_000)) / np.sqrt(q2)
    expected = (repeat > stats.t.isf(0.025, df)).mean()
    assert repeat_probability(line("helps", 0.03, 0.01, df=df)) == pytest.approx(expected, abs=0.02)
    assert repeat_probability(line("harms", -0.03, 0.01, df=df)) == pytest.approx(expected, abs=0.03)


def test_open_verdicts_repeat_as_often_as_simulated_ones():
    rng = np.random.default_rng(2)

    def first_and_second(effect):
        values = rng.normal(0.9, 0.01, (2, 2, 3, 3))
        values[:, 1] += effect
        rows = []
        for run in values:
            trials = [(("ref", "a")[r], f"c{c}", s, value) for (r, c, s), value in np.ndenumerate(run)]
            rows.append(verdicts(pd.DataFrame(trials, columns=["row", "category", "seed", "value"]), "ref").iloc[0])
        return rows

    said, same = [], []
    for effect in rng.normal(0, 0.01, 150):
        first, second = first_and_second(effect)
        if first["verdict"] == "open":
            said.append(repeat_probability(first))
            same.append(second["verdict"] == "open")
    assert len(said) > 60
    assert np.mean(said) == pytest.approx(np.mean(same), abs=0.12)


def test_more_seeds_settle_what_seeds_move_and_not_what_images_do():
    assert seeds_to_settle(line("helps", 0.1, 0.01)) == 5
    needed = seeds_to_settle(line("helps", 0.026, 0.01))
    assert 5 < needed <= 20
    assert repeat_probability(line("helps", 0.026, 0.01)) < 0.8
    # Where hardly any of the error is of seeds, a repeat on the same images moves less.
    sure, moved = (repeat_probability(line("helps", 0.04, 0.01, se_seeds=se)) for se in (0.001, 0.01))
    assert sure > moved + 0.03


def test_what_no_number_of_seeds_settles_and_what_is_not_known():
    assert seeds_to_settle(line("open", 0.0052, 0.02)) is None
    assert math.isnan(repeat_probability(line("open", 0.1, math.nan, df=math.nan, seeds=1)))
    assert seeds_to_settle(line("open", 0.1, math.nan, df=math.nan, seeds=1)) is None


def test_means_that_vary_less_than_seeds_explain():
    lines = [line("open", 0.02, 0.01, df=1.0, se_seeds=se) for se in (0.03, 0.01)]
    assert seeds_to_settle(lines[0]) == seeds_to_settle(lines[1])
    assert repeat_probability(lines[0]) == repeat_probability(lines[1])


def test_nothing_there_settles_as_equivalent():
    open_line = line("open", 0.0, 0.003, df=6, seeds=3)
    seeds = seeds_to_settle(open_line)
    assert 3 < seeds <= 20


def test_a_claim_on_categories_like_these_is_never_surer_to_repeat():
    rng = np.random.default_rng(3)
    same = 0
    for effect in (0.0, 0.01):
        for _ in range(15):
            drawn = [np.asarray(each) for each in rng.normal(effect, 0.006, (5, 4))]
            images = np.full(5, 1e-5)
            found = claims([Pairs("a", "b", drawn, images, np.full(5, 58.0), 4, 20, 0, 0, math.nan, "")], margin=0.006)
            these, like = found.to_dict("records")
            if these["verdict"] == like["verdict"] != "open":
                same += 1
                assert like["repeat"] <= these["repeat"]
    assert same > 10
