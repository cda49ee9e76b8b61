"""Effects of a factorial grid against averages by hand, on full grids and on grids with holes."""

from itertools import product

import numpy as np
import pandas as pd
import pytest

from dlkd.ablations.statistics.factorial import factorial_effects

METRIC = "image_auroc"


def grid(names, *, without=()):
    combos = [combo for combo in product((0, 1), repeat=len(names)) if combo not in without]
    return pd.DataFrame(combos, columns=names, index=["".join(map(str, combo)) for combo in combos])


def as_trials(values, rows):
    lines = [
        (rows[r], "mvtec", f"c{c:02}", s, METRIC, value, "ok" if np.isfinite(value) else "failed")
        for (r, c, s), value in np.ndenumerate(values)
    ]
    return pd.DataFrame(lines, columns=["row", "dataset", "category", "seed", "metric", "value", "status"])


@pytest.fixture
def components():
    return grid(["lfrb", "gfrb", "prl"])


def test_effects_are_differences_of_averages(components):
    values = np.random.default_rng(0).normal(0.9, 0.02, (8, 5, 3))
    table = factorial_effects(as_trials(values, list(components.index)), METRIC, components).set_index("effect")
    assert list(table["kind"]) == ["main"] * 3 + ["interaction"] * 3
    means = values.mean((1, 2))
    a, b = components["lfrb"].to_numpy(), components["gfrb"].to_numpy()

    def mean(on_a, on_b):
        return means[(a == on_a) & (b == on_b)].mean()

    assert table.loc["lfrb", "estimate"] == pytest.approx(means[a == 1].mean() - means[a == 0].mean())
    interaction = (mean(1, 1) - mean(0, 1)) - (mean(1, 0) - mean(0, 0))
    assert table.loc["lfrb x gfrb", "estimate"] == pytest.approx(interaction)
    assert not table["partial"].any()
    assert table["p_holm"].min() == pytest.approx(min(1, 6 * table["p"].min()))


def test_true_effects_are_found_and_absent_ones_are_not(components):
    rng = np.random.default_rng(1)
    a, b, _ = components.to_numpy().T
    truth = 0.8 + 0.05 * a + 0.02 * b + 0.03 * a * b
    values = truth[:, None, None] + rng.normal(0, 0.05, (12, 1)) + rng.normal(0, 0.004, (8, 12, 3))
    table = factorial_effects(as_trials(values, list(components.index)), METRIC, components).set_index("effect")
    expected = {"lfrb": 0.065, "gfrb": 0.035, "prl": 0, "lfrb x gfrb": 0.03, "lfrb x prl": 0, "gfrb x prl": 0}
    for effect, value in expected.items():
        line = table.loc[effect]
        assert line["estimate"] == pytest.approx(value, abs=0.003)
        assert (line["p_holm"] <= 0.05) == (value != 0)
        assert line["low"] - 1e-3 <= value <= line["high"] + 1e-3
    assert set(table["unit"]) == {"category"}


def test_the_losses_without_the_empty_combination_are_still_separable():
    losses = grid(["pkd", "ckd", "con", "as"], without=[(0, 0, 0, 0)])
    on = losses.to_numpy()
    truth = 0.5 + on @ [0.1, 0.05, 0.02, 0.0] + 0.04 * on[:, 0] * on[:, 3]
    values = np.broadcast_to(truth[:, None, None], (15, 4, 2))
    table = factorial_effects(as_trials(values, list(losses.index)), METRIC, losses).set_index("effect")
    assert len(table) == 10
    expected = {"pkd": 0.12, "ckd": 0.05, "con": 0.02, "as": 0.02, "pkd x as": 0.04, "ckd x con": 0.0}
    np.testing.assert_allclose(table.loc[list(expected), "estimate"], list(expected.values()), atol=1e-12)


def test_a_failed_cell_leaves_effects_partial_not_gone(components):
    on = components.to_numpy()
    values = np.array(np.broadcast_to((0.8 + on @ [0.1, 0.05, 0.0])[:, None, None], (8, 3, 2)))
    values[5, 1, 0] = np.nan
    table = factorial_effects(as_trials(values, list(components.index)), METRIC, components)
    assert table["partial"].all()
    assert (table["n_missing"] == 1).all()
    assert (table["n_pairs"] == 6).all()
    np.testing.assert_allclose(table["estimate"], [0.1, 0.05, 0, 0, 0, 0], atol=1e-12)


def test_what_the_cells_cannot_separate_is_nan_and_says_so(components):
    values = np.full((8, 3, 2), np.nan)
    values[[0, 4, 6]] = 0.9  # 000, 100, 110: one at a time
    table = factorial_effects(as_trials(values, list(components.index)), METRIC, components)
    assert table["estimate"].isna().all()
    assert table["note"].str.contains("missing").all()
    nothing_with_both = np.random.default_rng(0).normal(0.9, 0.01, (8, 3, 2))
    nothing_with_both[[6, 7]] = np.nan  # lfrb and gfrb never together
    table = factorial_effects(as_trials(nothing_with_both, list(components.index)), METRIC, components)
    estimates = table.set_index("effect")["estimate"]
    assert np.isnan(estimates["lfrb x gfrb"])
    assert np.isfinite(estimates["lfrb x prl"])


def test_rows_outside_the_grid_take_no_part_and_absent_rows_are_missing(components):
    values = np.random.default_rng(0).normal(0.9, 0.01, (9, 3, 2))
    trials = as_trials(values, [*components.index, "published"])
    with_it = factorial_effects(trials, METRIC, components)
    without = factorial_effects(trials[trials["row"] != "published"], METRIC, components)
    pd.testing.assert_frame_equal(with_it, without)
    shorter = factorial_effects(trials[trials["row"] != "111"], METRIC, components)
    assert (shorter["n_missing"] == 6).all()


def test_bad_factors_are_named(components):
    trials = as_trials(np.full((8, 3, 2), 0.9), list(components.index))
    with pytest.raises(ValueError, match="other than 0 and 1"):
        factorial_effects(trials, METRIC, components * 2)
    with pytest.raises(ValueError, match=r"rows twice: \['000'\]"):
        factorial_effects(trials, METRIC, pd.concat([components, components.iloc[:1]]))
