"""The sentences say what the figures say, and no more."""

import numpy as np
import pandas as pd

from dlkd.ablations.report.words.comparisons import comparisons
from dlkd.ablations.statistics.differences import paired_differences
from dlkd.ablations.statistics.factorial import factorial_effects

METRIC = "image_auroc"


def as_trials(values, rows):
    lines = [
        (rows[r], "mvtec", f"c{c:02}", s, METRIC, value, "ok" if np.isfinite(value) else "failed")
        for (r, c, s), value in np.ndenumerate(values)
    ]
    return pd.DataFrame(lines, columns=["row", "dataset", "category", "seed", "metric", "value", "status"])


def sentences(effects, *, n_categories=10, n_seeds=3, hole=False):
    noise = np.random.default_rng(0).normal(0, 0.002, (len(effects), n_categories, n_seeds))
    values = 0.9 + np.array(effects)[:, None, None] + noise
    if hole:
        values[0, 0, 0] = np.nan
    rows = ["base", "more", "full"][-len(effects) :]
    return comparisons(paired_differences(as_trials(values, rows), METRIC, reference="full"))


def test_a_gain_a_loss_and_noise_are_told_apart():
    overview, base, more, full = sentences([0.0, 0.03, 0.03])
    assert overview == "Image-AUROC, row by row: 2 of 3 can be told from noise (family-wise 5%)."
    assert base.startswith("'base' against the full model 'full': ")
    assert "worse; what 'full' has over 'base' earns its keep. (−3." in base
    assert "better; the step from 'base' to 'more' earns its keep. (+" in more
    assert "cannot be told from noise; only 0." in full
    assert "or more was likely to show (80% power)" in full
    assert "another seed alone moves it by 0.0" in full
    assert "10 categories, 3 seeds)" in full


def test_a_harmful_step_is_called_so():
    _, base, more, _ = sentences([0.03, 0.0, 0.0])
    assert "what 'full' has over 'base' does harm" in base
    assert "worse; the step from 'base' to 'more' does harm" in more


def test_few_categories_are_not_spoken_beyond():
    assert "too few categories to speak of any but these" in sentences([0.0, 0.03], n_categories=3)[1]
    assert "too few categories" not in sentences([0.0, 0.03], n_categories=10)[1]


def test_what_cannot_be_shown_and_what_is_missing_is_said():
    said = sentences([0.0, 0.03], n_categories=3, n_seeds=1)[1]
    assert "cannot be told from noise, whatever its size: cannot reach 0.05 with 3 units: " in said
    assert "the smallest possible p is 0.25" in said
    assert "1 seed)" in said
    assert "partial: 1 cell missing" in sentences([0.0, 0.03], hole=True)[1]
    assert "no interval (one category: " in sentences([0.0, 0.03], n_categories=1)[1]


def test_identical_and_failed_rows_are_said_to_be_so():
    values = np.stack([np.full((8, 3), 0.9), np.full((8, 3), 0.9), np.full((8, 3), np.nan)])
    table = paired_differences(as_trials(values, ["base", "full", "broken"]), METRIC, reference="full")
    _, same, *broken = comparisons(table)
    assert "+0.00 points cannot be told from noise: the same value in every pair of cells" in same
    assert all("the cells that it needs are missing (24 cells missing)." in sentence for sentence in broken)


def test_factors_have_their_own_sentences():
    factors = pd.DataFrame({"lfrb": [0, 0, 1, 1], "gfrb": [0, 1, 0, 1]}, index=["00", "01", "10", "11"])
    rng = np.random.default_rng(0)
    values = np.array([0.8, 0.8, 0.85, 0.95])[:, None, None] + rng.normal(0, 0.002, (4, 10, 3))
    trials = as_trials(values, list(factors.index))
    table = paired_differences(trials, METRIC, reference="11", comparisons=("full",))
    said = comparisons(table, factorial_effects(trials, METRIC, factors))[4:]
    assert said[0] == "Image-AUROC, factor by factor: 3 of 3 can be told from noise (family-wise 5%)."
    assert said[1].startswith("'lfrb': earns its keep: it adds 10.")
    assert said[3].startswith("interaction 'lfrb x gfrb': each adds 9.")
    assert "more with the other on than with it off." in said[3]
    values = 1 - values
    said = comparisons(table, factorial_effects(as_trials(values, list(factors.index)), METRIC, factors))
    assert said[5].startswith("'lfrb': does harm: it takes away 10.")
