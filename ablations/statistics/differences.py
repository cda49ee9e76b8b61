"""What a table of trials supports: averages of its rows and paired differences between them.

`trials` is long format, one line a trial and metric: row, dataset, category, seed, metric, value, status
("ok", "failed" or "undefined"). Averages go over seeds, then over categories, as the paper's do. A missing
cell leaves its average marked `partial`; nothing is dropped silently. Seeds are taken as independent from one
category to the next: a trial's seed comes from its base seed and the name of its cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dlkd.ablations.statistics.estimates import average, estimate, n_seeds, noise_floor
from dlkd.ablations.statistics.intervals import hierarchical_interval
from dlkd.ablations.statistics.metric_cells import by_category, metric_cells
from dlkd.ablations.statistics.sign_flip import holm


def row_summary(
    trials: pd.DataFrame, metric: str, *, confidence: float = 0.95, resamples: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """Mean and interval of every row, in the metric's unit.

    Columns: row, metric, mean, low, high, noise_floor (standard deviation of the row's average from one seed
    to the next), n_categories, n_seeds, n_trials, n_missing, partial, n_undefined (categories without such a
    metric, in no average), note.
    """
    cells, undefined = metric_cells(trials, metric)
    lines = []
    for row, values in cells.iterrows():
        categories = by_category(values)
        interval = hierarchical_interval(categories, confidence=confidence, resamples=resamples, seed=seed)
        missing = int(values.isna().sum())
        lines.append(
            {
                "row": row,
                "metric": metric,
                "mean": average(categories),
                "low": interval.low,
                "high": interval.high,
                "noise_floor": noise_floor(categories),
                "n_categories": len(categories),
                "n_seeds": n_seeds(values),
                "n_trials": int(values.notna().sum()),
                "n_missing": missing,
                "partial": missing > 0,
                "n_undefined": len(undefined),
                "note": interval.note,
            }
        )
    return pd.DataFrame(lines)


def paired_differences(
    trials: pd.DataFrame,
    metric: str,
    *,
    reference: str,
    comparisons: Sequence[str] = ("above", "full"),
    unit: str = "auto",
    alpha: float = 0.05,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Every row minus the row above it and minus the full model `reference`, paired over the same cells.

    One family for Holm: every distinct pair of rows that `comparisons` asks for. A pair asked for both ways
    round is one test. Rows that follow no order (a factorial grid) are better served by ("full",) alone.

    Columns: row, metric, against ("above" or "full"), other, difference (row - other), p_holm, noise_floor
    (the larger of the two rows'), and those of `estimates.estimate`, which says what `unit` does.
    """
    cells, _ = metric_cells(trials, metric)
    rows = list(cells.index)
    if reference not in rows:
        raise ValueError(f"reference {reference!r} is no row of the trials; rows: {', '.join(map(str, rows))}")
    if unknown := set(comparisons) - {"above", "full"}:
        raise ValueError(f"comparisons {sorted(unknown)} are unknown; give 'above', 'full' or both")
    above = dict(zip(rows[1:], rows, strict=False))
    full = {row: reference for row in rows if row != reference}
    others = {"above": above, "full": full}
    wanted = [(row, against, others[against][row]) for row in rows for against in comparisons if row in others[against]]

    pairs = {frozenset((row, other)): (row, other) for row, _, other in wanted}
    found = {
        key: estimate(
            cells.loc[row] - cells.loc[other],
            family=len(pairs),
            unit=unit,
            alpha=alpha,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )
        for key, (row, other) in pairs.items()
    }
    adjusted = dict(zip(found, holm([result["p"] for result in found.values()]), strict=True))
    floors = {row: noise_floor(by_category(cells.loc[row])) for row in rows}

    lines = []
    for row, against, other in wanted:
        key = frozenset((row, other))
        result = dict(found[key])
        difference, low, high = result.pop("estimate"), result.pop("low"), result.pop("high")
        if pairs[key] != (row, other):
            difference, low, high = -difference, -high, -low
        line = {"row": row, "metric": metric, "against": against, "other": other, "difference": difference}
        line |= {"low": low, "high": high, "p_holm": adjusted[key]} | result
        lines.append(line | {"noise_floor": float(np.fmax(floors[row], floors[other]))})
    return pd.DataFrame(lines)
