"""What stands behind a verdict, against the values that it is made of."""

import numpy as np
import pandas as pd
import pytest

from dlkd.ablations.statistics.by_seed import pair_differences, verdicts_by_seeds
from dlkd.ablations.statistics.verdict import verdicts


@pytest.fixture
def trials():
    values = np.random.default_rng(0).normal(0.9, 0.01, (3, 2, 5))
    values[1] += 0.02
    return pd.DataFrame(
        [("abc"[r], "d", f"c{c}", s + 10, value) for (r, c, s), value in np.ndenumerate(values)],
        columns=["row", "dataset", "category", "seed", "value"],
    )


def test_each_pair_is_a_line(trials):
    trials.loc[0, "value"] = np.nan
    lines = pair_differences(trials, {"b": "a", "c": "b", "x": "a"})
    assert len(lines) == 9 + 10
    value = trials.set_index(["row", "category", "seed"])["value"]
    for line in lines.itertuples():
        expected = value[line.row, line.category, line.seed] - value[line.other, line.category, line.seed]
        assert line.difference == pytest.approx(expected)
    assert pair_differences(trials, {"x": "a"}).empty


def test_verdicts_with_the_first_seeds_are_those_of_a_table_of_these(trials):
    lines = verdicts_by_seeds(trials, {"b": "a", "c": "a"})
    assert lines["seeds"].tolist() == [2, 2, 3, 3, 4, 4, 5, 5]
    third = verdicts(trials[trials["seed"] < 13], "a").iloc[0]
    ours = lines[(lines["seeds"] == 3) & (lines["row"] == "b")].iloc[0]
    assert (
        ours[["estimate", "low", "high", "verdict"]].tolist() == third[["estimate", "low", "high", "verdict"]].tolist()
    )


def test_a_comparison_ends_with_its_own_last_seed(trials):
    fewer = trials[~((trials["row"] == "c") & (trials["seed"] > 12))]
    lines = verdicts_by_seeds(fewer, {"b": "a", "c": "a"})
    assert lines.groupby("row")["seeds"].max().to_dict() == {"b": 5, "c": 3}
