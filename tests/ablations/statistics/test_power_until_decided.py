"""The planned limit of seeds against looks at simulated tables."""

import math

import numpy as np
import pytest

from dlkd.ablations.statistics.looks import look_by_look
from dlkd.ablations.statistics.pairs import Pairs
from dlkd.ablations.statistics.power import Noise, Target
from dlkd.ablations.statistics.power_until_decided import UntilDecided

NONE = np.empty(0)


def noise(sd, images=0.0):
    of_images = [np.full(3, images), np.full(3, 58.0)] if images else [NONE, NONE]
    return Noise(np.full(3, sd**2), np.full(3, 2.0), *of_images, 0.0, 9, 3)


def looked(rng, known, target, most, tables):
    """Share of simulated tables whose looks end with "helps", and their mean number of seeds; 3 categories."""
    helps, seeds = 0, 0
    for _ in range(tables):
        drawn = rng.normal(target.effect, np.sqrt(known.seeds)[:, None], (3, most))
        seen = known.images
        if len(known.images):
            drawn += rng.normal(0, np.sqrt(known.images))[:, None]
            seen = known.images * rng.chisquare(known.images_df) / known.images_df

        def pairs(n, drawn=drawn, seen=seen):
            return [Pairs("a", "b", list(drawn[:, :n]), seen, known.images_df, n, 3 * n, 0, 0, math.nan, "")]

        found = look_by_look(pairs, lambda i, n: True, first=3, max_seeds=most, margin=target.margin)
        helps += found.lines[-1]["verdict"] == "helps"
        seeds += found.seeds[0]
    return helps / tables, seeds / tables


@pytest.mark.parametrize(
    ("known", "target"),
    [
        (noise(1.0), Target(0.5, 1, 0.0)),
        (noise(1.0, images=0.05), Target(0.6, 1, 0.0)),
        (noise(0.012), Target(0.007)),  # the margin matters: some runs end as equivalent
    ],
)
def test_the_planned_limit_shows_the_effect_in_8_of_10_runs(known, target):
    runs = UntilDecided(known, target, 3, 3)
    needed = runs.most_needed(0.8)
    assert 10 < needed < 20
    assert runs.course(needed - 1).shown < 0.8
    course = runs.course(needed)
    share, seeds = looked(np.random.default_rng(2), known, target, needed, tables=350)
    assert 0.8 <= course.shown == pytest.approx(share, abs=0.06)
    assert course.seeds == pytest.approx(seeds, abs=0.7)


def test_images_that_leave_it_open_end_the_looks_early():
    known, target = noise(0.3, images=1.0), Target(1.0, 1, 0.0)
    course = UntilDecided(known, target, 3, 3).course(20)
    share, seeds = looked(np.random.default_rng(1), known, target, 20, tables=100)
    assert course.seeds == pytest.approx(seeds, abs=1)
    assert course.seeds < 8
    assert course.shown == pytest.approx(share, abs=0.1)
    assert UntilDecided(known, target, 3, 3).most_needed(0.8) == math.inf


def test_one_base_seed_decides_nothing():
    known, target = noise(1.0), Target(2.0, 1, 0.0)
    assert UntilDecided(known, target, 1, 3).course(10) == UntilDecided(known, target, 2, 3).course(10)
