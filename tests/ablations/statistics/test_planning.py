"""Planned seeds and categories against the design note's figures and against verdicts of simulated tables."""

import math

import numpy as np
import pandas as pd
import pytest

from dlkd.ablations.statistics.pairs import Pairs, paired
from dlkd.ablations.statistics.planning import categories_needed, images_needed, plan, seeds_needed
from dlkd.ablations.statistics.power import Noise, Target, power
from dlkd.ablations.statistics.verdict import judge

NONE = np.empty(0)


def noise(categories, *, sd=1.0, spread=0.0, images=0.0):
    of_images = [np.full(categories, images), np.full(categories, 58.0)] if images else [NONE, NONE]
    sds = np.resize(np.asarray(sd, dtype=float), categories)
    return Noise(sds**2, np.full(categories, 2.0), *of_images, spread, 3 * categories, categories)


def pairs(differences, row="a", other="b", images=(NONE, NONE)):
    n = max(map(len, differences))
    several = [np.asarray(each, dtype=float) for each in differences]
    return Pairs(row, other, several, *images, n, sum(map(len, several)), 0, 0, math.nan, "")


def drawn_images(rng, known):
    """What test images add to each category's mean, and the variance that their influences show, with its df."""
    seen = known.images * rng.chisquare(known.images_df) / known.images_df
    return rng.normal(0, np.sqrt(known.images)), (seen, known.images_df)


def helped(rng, known, effect, seeds, categories, scope, level, tables=250):
    """Share of simulated tables in which the verdict is "helps"."""
    found = 0
    for _ in range(tables):
        true = rng.normal(effect, math.sqrt(known.spread), categories)
        true += effect - true.mean() if scope == "these" else 0.0
        shift, images = drawn_images(rng, known)
        sds = np.resize(np.sqrt(known.seeds), categories)
        table = [rng.normal(mean, sd, seeds) for mean, sd in zip(true + (shift if len(shift) else 0), sds, strict=True)]
        [line] = judge([pairs(table, images=images)], scope, max_seeds=None, margin=0.0, alpha=level)
        found += line["verdict"] == "helps"
    return found / tables


@pytest.mark.parametrize(
    ("categories", "expected"),
    # The note's figures are those of one variance for all categories. The verdict gives each category its own, which
    # takes one seed more in the places with a plus.
    [(3, [52, 14, 5, 3 + 1, 3]), (5, [31, 9, 3 + 1, 2 + 1, 2 + 1]), (15, [11, 3, 2, 2, 2])],
)
def test_seeds_are_those_of_the_design_note(categories, expected):
    found = [seeds_needed(noise(categories), Target(e, 2, 0.0), categories) for e in (0.25, 0.5, 1, 1.5, 2)]
    assert found == expected


@pytest.mark.parametrize(
    ("categories", "seeds", "effect", "these", "like"),
    [
        *[(3, 3, 1, 21, 5), (3, 3, 2, 74, 31), (3, 3, 3, 97, 64), (3, 5, 1, 56, 15), (3, 5, 2, 99, 53)],
        *[(5, 3, 1, 46, 25), (5, 3, 2, 98, 90), (15, 3, 1, 99, 97)],
    ],
)
def test_power_is_that_of_the_design_note(categories, seeds, effect, these, like):
    known = noise(categories, sd=math.sqrt(2))  # its effects are in the sd of one training
    target = Target(effect, 2, 0.0)
    assert 100 * power(known, target, seeds, categories) == pytest.approx(these, abs=2.5)
    assert 100 * power(known, target, seeds, categories, "like") == pytest.approx(like, abs=2.5)


@pytest.mark.parametrize(
    ("scope", "categories", "seeds", "effect", "sd", "spread", "images"),
    [
        # 2 seeds are not enough, as the note's figure without the plus would have it.
        ("these", 5, 2, 1.5, 1.0, 0.0, 0.0),
        ("these", 3, 5, 1.0, (0.3, 1.0, 1.4), 4.0, 0.0),
        ("these", 3, 5, 1.5, 1.0, 0.0, 0.5),  # without the images it would be 0.94
        ("like", 6, 3, 1.2, (0.3, 1.0, 1.4), 0.25, 0.0),
    ],
)
def test_power_is_the_share_of_verdicts_on_simulated_tables(scope, categories, seeds, effect, sd, spread, images):
    known = noise(categories, sd=sd, spread=spread, images=images)
    share = helped(np.random.default_rng(3), known, effect, seeds, categories, scope, 0.025)
    assert power(known, Target(effect, 2, 0.0), seeds, categories, scope) == pytest.approx(share, abs=0.07)


def test_so_many_more_images_and_seeds_give_the_planned_power():
    known, target = noise(3, images=1.0), Target(1.0, 1, 0.0)
    times = images_needed(known, target, 3)
    more = known.with_images(times)
    seeds = seeds_needed(more, target, 3)
    assert (times, seeds) == (4, 8)
    assert seeds_needed(known.with_images(times - 1), target, 3) > 2 * seeds_needed(noise(3), target, 3) >= seeds
    assert helped(np.random.default_rng(3), more, 1.0, seeds, 3, "these", 0.05, tables=400) == pytest.approx(
        0.8, abs=0.06
    )
    assert images_needed(noise(3, images=0.1), target, 3) == 1
    assert images_needed(noise(3), target, 3) == 1


def test_what_seeds_alone_never_show():
    varied = noise(3, spread=1.0)
    assert seeds_needed(varied, Target(1.0, 1, 0.0), 3) == seeds_needed(noise(3), Target(1.0, 1, 0.0), 3)
    assert seeds_needed(varied, Target(1.0, 1, 0.0), 3, "like") == math.inf
    few, many = (categories_needed(varied, Target(1.0, 1, 0.0), seeds) for seeds in (3, 30))
    assert many < few
    assert (
        power(varied, Target(1.0, 1, 0.0), 3, few, "like")
        >= 0.8
        > power(varied, Target(1.0, 1, 0.0), 3, few - 1, "like")
    )
    assert categories_needed(noise(3, spread=100.0), Target(1.0, 1, 0.0), 3) == math.inf
    assert seeds_needed(noise(3, sd=40.0), Target(1.0, 1, 0.0), 3) > 1000
    # The same images in every seed: their part of the error stays.
    assert seeds_needed(noise(3, images=1.0), Target(1.0, 1, 0.0), 3) == math.inf
    assert seeds_needed(noise(3, images=0.1), Target(1.0, 1, 0.0), 3) > seeds_needed(noise(3), Target(1.0, 1, 0.0), 3)
    # No run calls an effect inside the margin more than equivalent.
    assert seeds_needed(noise(3, sd=0.01), Target(0.004), 3) == math.inf
    assert power(noise(3, sd=0.01), Target(0.004), 1000, 3) < 0.01 < power(noise(3, sd=0.01), Target(0.0051), 1000, 3)
    assert seeds_needed(noise(3, sd=0.01), Target(0.02), 3) < 10


def test_noise_is_found_from_pairs():
    rng = np.random.default_rng(4)
    true = rng.normal(0.01, 0.01, 200)
    known = Noise.of(pairs([rng.normal(mean, 0.02, 5) for mean in true]))
    assert known.pair_sd == pytest.approx(0.02, rel=0.1)
    assert math.sqrt(known.spread) == pytest.approx(0.01, rel=0.15)
    assert (known.n_pairs, known.n_categories) == (1000, 200)
    assert 1 < known.high.pair_sd / known.pair_sd < 1.15
    alone = Noise.of(pairs([[0.1, 0.2], [0.3]]))
    assert alone.pair_sd == pytest.approx(math.sqrt(0.005))
    assert alone.high.pair_sd > 5 * alone.pair_sd
    assert math.isnan(Noise.of(pairs([[0.1, 0.2]])).spread)
    assert Noise.of(pairs([[0.1], [0.3]])) is None
    assert Noise.of(pairs([[0.1, 0.1], [0.3, 0.3]])) is None


def test_the_plan_of_a_family():
    rng = np.random.default_rng(5)
    trials = pd.DataFrame(
        [
            (row, category, seed, rng.normal(0.8, 0.01))
            for row in ("a", "b", "c")
            for category in ("x", "y", "z")
            for seed in range(3 if row != "c" else 1)
        ],
        columns=["row", "category", "seed", "value"],
    )
    family = paired(trials, {"a": "b", "c": "b"})
    found = plan(family, 0.02, seeds=3).set_index("row")
    [known] = [Noise.of(each) for each in family if each.row == "a"]
    assert found.loc["a", "seeds"] == seeds_needed(known, Target(0.02, 2), 3)
    assert found.loc["a", "seeds"] <= found.loc["a", "seeds_high"]
    assert found.loc["a", "categories"] == categories_needed(known, Target(0.02, 2), 3)
    assert found.loc["a", "pair_sd"] == known.pair_sd
    assert found.loc["c", ["pair_sd", "seeds", "categories"]].isna().all()
    assert plan(family, 0.02, seeds=3, categories=15).set_index("row").loc["a", "seeds"] < found.loc["a", "seeds"]
    one = plan(paired(trials[trials["category"] == "x"], "b"), 0.05, seeds=3)
    assert one[["seeds_like", "categories"]].isna().all(axis=None)
    assert one["seeds"].notna().any()


@pytest.mark.parametrize(("effect", "said"), [(0.005, "above the margin"), (-0.1, "above"), (1.0, "below 1")])
def test_effects_that_no_run_shows(effect, said):
    with pytest.raises(ValueError, match=said):
        plan([pairs([[0.1, 0.2]])], effect, seeds=3)
    with pytest.raises(ValueError, match="one row only"):
        plan([], 0.01, seeds=3)
