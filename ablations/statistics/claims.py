"""The comparisons of one kind in both scopes, each with the probability that a repeat says the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from dlkd.ablations.statistics.pairs import Pairs
from dlkd.ablations.statistics.repeats import repeat_probability, seeds_to_settle
from dlkd.ablations.statistics.verdict import COLUMNS, Scope, judge

CLAIM_COLUMNS = ["scope", "repeat", "settle", *COLUMNS]
SCOPES: tuple[Scope, Scope] = ("these", "like")


def claims(comparisons: Sequence[Pairs], *, margin: float = 0.005, max_seeds: int | None = None) -> pd.DataFrame:
    """One line per comparison and scope: the columns of `verdict.verdicts`, with scope, repeat and settle before them.

    All comparisons are one family for Holm's correction, in each scope. `repeat` is `repeats.repeat_probability`,
    `settle` is `repeats.seeds_to_settle` (NaN where no number of seeds is known). `max_seeds` as in `verdicts`.
    """
    lines: list[dict[str, Any]] = []
    for scope in SCOPES:
        for i, line in enumerate(judge(comparisons, scope, max_seeds=max_seeds, margin=margin, alpha=0.05)):
            again = _of_means(line) if scope == "like" else line
            repeat, settle = repeat_probability(again, margin), seeds_to_settle(again, margin)
            if scope == "like" and line["verdict"] == lines[i]["verdict"] != "open" and lines[i]["repeat"] < repeat:
                # The wide claim is never surer than the narrow one.
                repeat, settle = lines[i]["repeat"], lines[i]["settle"]
            lines.append({"scope": scope, "repeat": repeat, "settle": settle, **line})
    return pd.DataFrame(lines, columns=CLAIM_COLUMNS).astype({"settle": float})


def _of_means(line: dict[str, Any]) -> dict[str, Any]:
    """The line of categories like these, with the degrees of freedom of their means.

    Where the categories' means happen to agree better than their seeds explain, the seeds' interval is the wider one,
    and its degrees of freedom are more. In a repeat the means may agree less.
    """
    return line | {"df": min(line["df"], max(line["n_categories"] - 1, 1))}


def estimates(comparisons: Sequence[Pairs]) -> pd.DataFrame:
    """The comparisons by a metric that decides nothing: the columns of `claims`, without interval, p and verdict.

    The scope is empty and the verdict "exploratory".
    """
    nothing = dict.fromkeys(("low", "high", "p", "repeat", "settle"), float("nan"))
    lines = [
        line | {"scope": "", "verdict": "exploratory"} | nothing
        for line in judge(comparisons, "these", max_seeds=None, margin=0.0, alpha=0.05)
    ]
    return pd.DataFrame(lines, columns=CLAIM_COLUMNS)
