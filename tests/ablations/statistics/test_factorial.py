"""Effects of a factorial grid against averages by hand, on full grids and on grids with holes."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from dlkd.ablations.statistics.factorial import factorial_effects
from dlkd.ablations.statistics.pairs import paired


def grid(names, *, levels=(False, True), without=()):
    combos = [combo for combo in product(levels, repeat=len(names)) if combo not in without]
    return pd.DataFrame(combos, columns=names, index=["".join(str(level)[0] for level in combo) for combo in combos])


def as_trials(values, rows):
    lines = [(rows[r], f"c{c:02}", s, value) for (r, c, s), value in np.ndenumerate(values)]
    return pd.DataFrame(lines, columns=["row", "category", "seed", "value"])


def effects_of(values, factors, **options):
    return {e.name: e for e in factorial_effects(as_trials(values, list(factors.index)), factors, **options)}


@pytest.fixture
def components():
    return grid(["lfrb", "gfrb", "prl"])


def test_effects_of_a_full_grid_are_differences_of_averages(components):
    values = np.random.default_rng(0).normal(0.9, 0.02, (8, 5, 3))
    effects = effects_of(values, components)
    assert [e.kind for e in effects.values()] == ["main"] * 3 + ["interaction"] * 3
    means = values.mean((1, 2))
    a, b = components["lfrb"].to_numpy(), components["gfrb"].to_numpy()

    def mean(on_a, on_b):
        return means[(a == on_a) & (b == on_b)].mean()

    assert effects["lfrb"].pairs.estimate == pytest.approx(means[a].mean() - means[~a].mean())
    interaction = (mean(1, 1) - mean(0, 1)) - (mean(1, 0) - mean(0, 0))
    assert effects["lfrb x gfrb"].pairs.estimate == pytest.approx(interaction)
    assert effects["lfrb"].pairs.n.tolist() == [3] * 5
    assert (effects["lfrb"].settings, effects["lfrb"].left_out) == (4, ())


def test_images_move_an_effect_by_the_same_sum_of_rows(components):
    """As they move the difference of two rows that are these averages."""
    rng = np.random.default_rng(0)
    values, influences = (
        rng.normal(0.9, 0.02, (8, 2, 3)),
        rng.normal(0, 0.01, (8, 2, 1, 20)) + rng.normal(0, 0.002, (8, 2, 3, 20)),
    )
    on = components["lfrb"].to_numpy()
    averages = [np.stack([of[on].mean(0), of[~on].mean(0)]) for of in (values, influences)]
    [effect, *_] = factorial_effects(of_images(values, influences, list(components.index)), components)
    [expected] = paired(of_images(*averages, ["on", "off"]), {"on": "off"})
    assert effect.pairs.estimate == pytest.approx(expected.estimate)
    assert effect.pairs.image == pytest.approx(expected.image)
    assert (effect.pairs.image > 0).all()
    assert effect.pairs.image_df.tolist() == [18, 18]


def of_images(values, influences, rows):
    trials = as_trials(values, rows)
    anomalous = [np.arange(influences.shape[-1]) % 2 == 0] * len(trials)
    return trials.assign(images="x", anomalous=anomalous, influences=list(influences.reshape(len(trials), -1)))


def test_a_missing_combination_is_never_made_up():
    factors = grid(["lfrb", "gfrb", "prl"], without=[(False, False, False)])
    truth = {"FFT": 0.56, "FTF": 0.83, "FTT": 0.84, "TFF": 0.82, "TFT": 0.85, "TTF": 0.86, "TTT": 0.87}
    values = np.array([truth[row] for row in factors.index])[:, None, None] + np.zeros((7, 2, 2))
    effects = effects_of(values, factors)
    gfrb = effects["gfrb"]
    assert gfrb.pairs.estimate == pytest.approx(np.mean([0.84 - 0.56, 0.86 - 0.82, 0.87 - 0.85]))
    assert (gfrb.settings, gfrb.left_out) == (3, ("all others off",))
    square = effects["lfrb x gfrb"]  # with the PRL alone all four are there
    assert square.pairs.estimate == pytest.approx((0.87 - 0.85) - (0.84 - 0.56))
    assert (square.settings, square.left_out) == (1, ("all others off",))


def test_a_square_that_is_nowhere_complete_has_no_figure():
    factors = grid(["a", "b"], without=[(False, False)])
    interaction = effects_of(np.random.default_rng(0).normal(size=(3, 2, 2)), factors)["a x b"]
    assert interaction.settings == 0
    assert np.isnan(interaction.pairs.estimate)


def test_a_hole_in_one_training_costs_that_seed_and_a_category_without_pairs_costs_the_setting():
    factors = grid(["a", "b"])
    values = np.random.default_rng(0).normal(size=(4, 2, 3))
    one = values.copy()
    one[0, 0, 1] = np.nan
    effect = effects_of(one, factors)["a"]
    assert (effect.settings, effect.pairs.n.tolist(), effect.pairs.n_failed_other) == (2, [2, 3], 1)
    two = values.copy()
    two[0, 0, 1:] = np.nan
    effect = effects_of(two, factors)["a"]
    assert (effect.settings, effect.left_out) == (1, ("all others off",))
    assert effect.pairs.estimate == pytest.approx((values[3] - values[1]).mean())


def test_factors_of_several_levels_are_compared_with_a_baseline():
    factors = pd.DataFrame(
        list(product(["lfrb", "se", "none"], [1, 2])), columns=["block", "depth"], index=list("abcdef")
    )
    values = np.random.default_rng(0).normal(size=(6, 2, 3))
    effects = effects_of(values, factors, baseline={"block": "none", "depth": 1})
    mains = [name for name, effect in effects.items() if effect.kind == "main"]
    assert mains == ["block=lfrb", "block=se", "depth=2"]
    by_row = dict(zip(factors.index, values.mean((1, 2)), strict=True))
    expected = np.mean([by_row["a"] - by_row["e"], by_row["b"] - by_row["f"]])
    assert effects["block=lfrb"].pairs.estimate == pytest.approx(expected)
    assert "block=lfrb x depth=2" in effects
    assert "block=lfrb x block=se" not in effects


def test_rows_outside_the_grid_take_no_part(components):
    values = np.random.default_rng(0).normal(size=(9, 2, 2))
    trials = as_trials(values, [*components.index, "other"])
    names = [e.name for e in factorial_effects(trials, components)]
    assert names[:3] == ["lfrb", "gfrb", "prl"]
    with pytest.raises(ValueError, match="factors has rows twice"):
        factorial_effects(trials, pd.concat([components, components.tail(1)]))
