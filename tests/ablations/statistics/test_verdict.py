"""Estimate, interval, p and verdict against scipy and against the formulas of the design note, written out."""

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from dlkd.ablations.statistics.images import with_influences
from dlkd.ablations.statistics.verdict import verdicts


def table(values, rows=("ref", "a", "b", "c")):
    """`values`: (rows, categories, seeds)."""
    return pd.DataFrame(
        [(rows[r], f"c{c:02}", s, value) for (r, c, s), value in np.ndenumerate(np.asarray(values, float))],
        columns=["row", "category", "seed", "value"],
    )


def drawn(shape, *, effects=(0.0,), seed=0, sd=0.01):
    values = np.random.default_rng(seed).normal(0.9, sd, (len(effects) + 1, *shape))
    values[1:] += np.array(effects)[:, None, None]
    return values


def test_these_is_welchs_t_over_categories():
    values = drawn((3, 4), effects=(0.01,))
    line = verdicts(table(values), "ref").iloc[0]
    d = values[1] - values[0]
    parts = [category.var(ddof=1) / len(category) for category in d]
    se = np.sqrt(sum(parts)) / 3
    df = sum(parts) ** 2 / sum(part**2 / 3 for part in parts)
    assert line["estimate"] == pytest.approx(d.mean())
    assert line["p"] == pytest.approx(2 * stats.t.sf(abs(d.mean()) / se, df))
    assert line["high"] - line["low"] == pytest.approx(2 * stats.t.isf(0.025, df) * se)


def test_one_category_is_scipys_paired_t_test():
    values = drawn((1, 6), effects=(0.005,))
    line = verdicts(table(values), "ref").iloc[0]
    test = stats.ttest_rel(values[1, 0], values[0, 0])
    assert line["p"] == pytest.approx(test.pvalue)
    assert (line["low"], line["high"]) == pytest.approx(tuple(test.confidence_interval()))


def test_like_is_the_wider_of_that_and_of_t_over_the_categories_means():
    spread = np.array([-0.04, 0.0, 0.07])[:, None]
    values = drawn((3, 3), effects=(0.01,), sd=0.001)
    values[1] += spread
    trials = table(values)
    means = (values[1] - values[0]).mean(axis=1)
    test = stats.ttest_1samp(means, 0)
    wide = verdicts(trials, "ref", "like").iloc[0]
    assert wide["p"] == pytest.approx(test.pvalue)
    assert (wide["low"], wide["high"]) == pytest.approx(tuple(test.confidence_interval()))
    values[1] -= spread  # now the categories do not differ, and their means may lie closer than seeds explain
    values[1] += values[0].mean(axis=1, keepdims=True) - values[1].mean(axis=1, keepdims=True) + 0.01
    narrow, wide = (verdicts(table(values), "ref", scope).iloc[0] for scope in ("these", "like"))
    assert narrow["p"] > 0
    assert wide[["low", "high", "p"]].tolist() == narrow[["low", "high", "p"]].tolist()


def test_holm_and_its_intervals_by_hand():
    values = drawn((5, 3), effects=(0.05, 0.02, 0.0), seed=3)
    alone = [verdicts(table(values[[0, r]]), "ref").iloc[0] for r in (1, 2, 3)]
    family = verdicts(table(values), "ref")
    p = [line["p"] for line in alone]
    assert p[0] < p[1] < p[2]
    assert family["p"].tolist() == pytest.approx([3 * p[0], max(3 * p[0], 2 * p[1]), max(2 * p[1], p[2])])
    assert 2 * p[1] <= 0.05 < p[2]
    for line, one, level in zip(family.to_dict("records"), alone, (0.05 / 3, 0.05 / 2, 0.05), strict=True):
        half = stats.t.isf(level / 2, one["df"]) * one["se"]
        assert (line["low"], line["high"]) == pytest.approx((one["estimate"] - half, one["estimate"] + half))
    assert family["verdict"].tolist() == ["helps", "helps", "open"]


@st.composite
def tables(draw):
    shape = (draw(st.integers(2, 5)), draw(st.integers(1, 6)), draw(st.integers(1, 4)))
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    values = 0.8 + rng.normal(0, draw(st.sampled_from([0.0, 0.001, 0.03])), shape)
    values[1:] += rng.normal(0, draw(st.sampled_from([0.0, 0.004, 0.05])), (shape[0] - 1, 1, 1))
    if draw(st.booleans()):
        values[rng.random(shape) < 0.15] = np.nan
    return table(values.round(draw(st.sampled_from([2, 3, 12]))), rows=["ref", "a", "b", "c", "d"])


@settings(max_examples=150, deadline=None)
@given(tables(), st.sampled_from([None, 10]))
def test_p_interval_and_verdict_say_the_same_and_the_wide_claim_is_never_surer(trials, max_seeds):
    narrow, wide = (verdicts(trials, "ref", scope, max_seeds=max_seeds) for scope in ("these", "like"))
    for lines in (narrow, wide):
        excludes = (lines["low"] > 0) | (lines["high"] < 0)
        assert (excludes == (lines["p"] <= 0.05)).all()
        inside = (lines["low"] > -0.005) & (lines["high"] < 0.005)
        expected = np.select([inside, lines["low"] > 0, lines["high"] < 0], ["equivalent", "helps", "harms"], "open")
        assert lines["verdict"].tolist() == expected.tolist()
    assert not (wide["p"] < narrow["p"]).any()
    assert not (wide["low"] > narrow["low"]).any()
    assert not (wide["high"] < narrow["high"]).any()


def test_what_never_varies_is_said_to_be_so():
    same = verdicts(table(np.full((2, 3, 3), 0.9)), "ref").iloc[0]
    assert (same["verdict"], same["low"], same["high"], same["p"]) == ("equivalent", 0, 0, 1)
    assert same["note"] == "identical in every cell"
    values = np.full((2, 3, 3), 0.9)
    values[1] = 0.95
    moved = verdicts(table(values), "ref").iloc[0]
    assert (moved["verdict"], moved["p"], moved["note"]) == ("open", 1, "no spread to learn from")
    alone = verdicts(table(drawn((3, 1), effects=(0.5,))), "ref").iloc[0]
    assert (alone["verdict"], alone["note"]) == ("open", "one seed per category: train two or more")


def test_a_category_with_one_pair_borrows_the_mean_variance_of_the_others():
    values = drawn((3, 3), effects=(0.01,))
    trials = table(values)
    alone = trials[~((trials["category"] == "c02") & (trials["seed"] > 0))]
    line = verdicts(alone, "ref").iloc[0]
    d = values[1] - values[0]
    first, second = d[0].var(ddof=1), d[1].var(ddof=1)
    variance = first / 3 + second / 3 + (first + second) / 2
    df = variance**2 / sum(((1 / 3 + 1 / 2) * s) ** 2 / 2 for s in (first, second))
    assert line["se"] == pytest.approx(np.sqrt(variance) / 3)
    assert line["df"] == pytest.approx(df)
    assert line["estimate"] == pytest.approx(np.mean([d[0].mean(), d[1].mean(), d[2, 0]]))


def test_a_row_that_failed_is_never_said_to_help_and_its_worst_is_shown():
    values = drawn((3, 5), effects=(0.2, 0.2))
    values[1, 0, 0] = np.nan
    failed, whole = verdicts(table(values), "ref").to_dict("records")
    assert whole["verdict"] == "helps"
    assert (failed["verdict"], failed["p"], failed["n_failed"], failed["n_pairs"]) == ("open", 1, 1, 14)
    assert (failed["n_asked"], failed["n_failed_other"]) == (15, 0)
    assert failed["low"] <= 0 <= failed["high"]
    filled = values.copy()
    filled[1, 0, 0] = np.nanmin(values[:, 0])
    assert failed["worst"] == pytest.approx((filled[1] - filled[0]).mean(axis=1).mean())
    # The same where it is the reference that failed, and the row that would do harm.
    values = -values
    values[0, 1, 1], values[1, 0, 0] = np.nan, -0.9
    assert verdicts(table(values), "ref")["verdict"].tolist() == ["open", "open"]


def test_a_row_that_failed_is_equivalent_only_with_its_worst():
    values = drawn((3, 5), effects=(0.0, 0.0), sd=0.0005)
    values[2, 0, 0] = 0.2  # how low that category goes
    assert verdicts(table(values), "ref").iloc[0]["verdict"] == "equivalent"
    values[1, 0, 0] = np.nan
    line = verdicts(table(values), "ref").iloc[0]
    assert line["worst"] < -0.04
    assert line["low"] <= line["worst"]
    assert line["verdict"] == "open"


def test_a_training_that_was_not_asked_for_is_no_failure():
    trials = table(drawn((3, 5), effects=(0.2,)))
    line = verdicts(trials[~((trials["row"] == "a") & (trials["seed"] == 4))], "ref").iloc[0]
    assert (line["verdict"], line["n_failed"], line["n_pairs"]) == ("helps", 0, 12)


def test_a_category_without_a_pair_is_named():
    values = drawn((3, 3), effects=(0.0,))
    values[1, 1] = np.nan
    line = verdicts(table(values), "ref").iloc[0]
    assert (line["n_categories"], line["note"]) == (2, "no pair in c01")


def test_wins_are_counted_ties_half():
    values = np.array([[[0.5, 0.5, 0.5]], [[0.6, 0.5, 0.4]]])
    assert verdicts(table(values), "ref").iloc[0]["wins"] == 1.5


def test_looks_at_seeds_that_are_added_spend_alpha():
    trials = table(drawn((3, 5), effects=(0.01,)))
    once, looked = (verdicts(trials, "ref", max_seeds=n).iloc[0] for n in (None, 20))
    assert looked["p"] == pytest.approx(min(once["p"] * 20 / (0.3 * 5), 1))
    half = stats.t.isf(0.05 * 0.3 * 5 / 20 / 2, once["df"]) * once["se"]
    assert looked["high"] - looked["estimate"] == pytest.approx(half)
    with pytest.raises(ValueError, match="has 5 seeds, more than max_seeds 4"):
        verdicts(trials, "ref", max_seeds=4)


def test_steps_are_compared_with_the_rows_that_they_name():
    values = drawn((3, 3), effects=(0.05, 0.1))
    steps = verdicts(table(values), {"a": "ref", "b": "a"})
    assert steps[["row", "other"]].to_numpy().tolist() == [["a", "ref"], ["b", "a"]]
    assert steps["estimate"].tolist() == pytest.approx([(values[r + 1] - values[r]).mean() for r in (0, 1)])


def test_datasets_keep_their_categories_apart():
    trials = pd.concat([table(drawn((2, 3), effects=(0.1,), seed=s)).assign(dataset=f"d{s}") for s in (0, 1)])
    assert verdicts(trials, "ref").iloc[0]["n_categories"] == 4


@pytest.mark.parametrize(
    ("reference", "options", "says"),
    [
        ("reff", {}, "'reff' is no row of the trials; rows: ref, a"),
        ("ref", {"scope": "all"}, "scope 'all' is unknown; give 'these' or 'like'"),
        ("ref", {"alpha": 5}, "alpha is 5"),
        ("ref", {"margin": -1}, "margin is -1"),
        ("ref", {"max_seeds": 40}, "the rule for adding seeds holds to 20"),
    ],
)
def test_wrong_arguments_are_named(reference, options, says):
    with pytest.raises(ValueError, match=says):
        verdicts(table(drawn((2, 2))), reference, **options)


def test_a_training_that_is_there_twice_is_named():
    trials = table(drawn((2, 2)))
    with pytest.raises(ValueError, match=r"row 'a', category 'c01', seed 1 is there twice"):
        verdicts(pd.concat([trials, trials.tail(1)]), "ref")


def influence_table(trials, images, rng, *, shared):
    lines = []
    for row, category, seed in trials[["row", "category", "seed"]].itertuples(index=False):
        values = shared[row, category] + rng.normal(0, 1e-4, images)
        lines += [(row, category, seed, k, k % 2 == 1, v) for k, v in enumerate(values)]
    return pd.DataFrame(lines, columns=["row", "category", "seed", "image", "anomalous", "influence"])


def test_new_images_widen_the_claim_by_what_all_seeds_share():
    rng = np.random.default_rng(0)
    trials = table(drawn((2, 3), effects=(0.02,), sd=0.001))
    shared = {(row, c): rng.normal(0, 0.003, 40) for row in ("ref", "a") for c in ("c00", "c01")}
    influences = influence_table(trials, 40, rng, shared=shared)
    without, with_images = verdicts(trials, "ref").iloc[0], verdicts(trials, "ref", influences=influences).iloc[0]
    expected = 0.0
    for c in ("c00", "c01"):
        own = influences[influences["category"] == c].pivot(index=["row", "seed"], columns="image", values="influence")
        d = (own.loc["a"] - own.loc["ref"]).to_numpy()  # (seeds, images)

        def variance(each):
            return sum(
                len(part) / (len(part) - 1) * ((part - part.mean()) ** 2).sum() for part in (each[::2], each[1::2])
            )

        expected += max(0, (3 * variance(d.mean(0)) - np.mean([variance(seed) for seed in d])) / 2)
    assert with_images["se"] == pytest.approx(np.sqrt(without["se"] ** 2 + expected / 4))
    assert with_images["se_seeds"] == pytest.approx(without["se"])
    assert with_images["high"] - with_images["low"] > 1.5 * (without["high"] - without["low"])
    assert (without["new_images"], with_images["new_images"]) == (False, True)
    with pytest.raises(ValueError, match="influences lacks those of row 'a', category 'c00', seed 2"):
        verdicts(trials, "ref", influences=influences[influences["seed"].ne(2) | influences["row"].eq("ref")])


def test_influences_in_columns_are_those_in_lines_unless_one_is_missing_or_of_other_images():
    rng = np.random.default_rng(0)
    trials = table(drawn((2, 3), effects=(0.02,), sd=0.001))
    shared = {(row, c): rng.normal(0, 0.003, 40) for row in ("ref", "a") for c in ("c00", "c01")}
    influences = influence_table(trials, 40, rng, shared=shared)
    lists = with_influences(trials, influences)
    expected = verdicts(trials, "ref", influences=influences)
    pd.testing.assert_frame_equal(verdicts(lists, "ref"), expected)
    failed = lists.copy()
    failed.loc[3, "value"], failed.at[3, "influences"] = np.nan, None
    assert verdicts(failed, "ref")["new_images"].all()  # none are needed of a training without a value
    for column, other in (("influences", None), ("images", "other pictures")):
        changed = lists.copy()
        changed.at[3, column] = other
        pd.testing.assert_frame_equal(verdicts(changed, "ref"), verdicts(trials, "ref"))


@pytest.fixture(scope="module")
def simulation():
    path = Path(__file__).resolve().parents[3] / "benchmarks/bench_verdicts.py"
    spec = importlib.util.spec_from_file_location("bench_verdicts", path)
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)  # it imports its neighbours
        spec.loader.exec_module(module)
    return module


@pytest.mark.slow
@pytest.mark.parametrize("scope", ["these", "like"])
@pytest.mark.parametrize(
    ("scenario", "shape", "limit"),
    [
        ("normal", (3, 3), 0.06),
        ("normal", (15, 3), 0.06),
        ("categories unequal", (5, 3), 0.08),
        ("skewed, rows unequal", (3, 3), 0.08),
        ("at the ceiling", (3, 5), 0.06),
        ("collapses", (5, 3), 0.06),
        ("effects by category", (3, 5), 0.06),
    ],
)
def test_simulated_tables_are_seldom_wrong(simulation, scenario, shape, limit, scope):
    found = simulation.simulate(scenario, shape, scope, tables=1000)
    # Two standard errors of a share near 5% from 1,000 tables are 1.4 points.
    assert found["wrong"] <= limit + 0.014
    assert found["parted"] == 0
    assert found["covers"] >= 0.93 - 0.014
    adding = simulation.simulate(scenario, shape, scope, tables=100, max_seeds=20)
    assert adding["wrong"] <= limit + 0.05


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "without"),
    [("rows see images differently", 0.9), ("the same images are hard", 0.95), ("hardly any seed noise", 0.6)],
)
def test_intervals_hold_the_truth_of_new_images_where_those_of_seeds_alone_do_not(simulation, kind, without):
    found = simulation.simulate_images(kind, (3, 3), tables=200)
    assert found["new images"] >= 0.93 - 2 * 0.018  # two standard errors of a share from 200 tables
    assert found["these images"] < without
