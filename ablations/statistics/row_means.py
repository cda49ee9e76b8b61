"""The mean of each row over its trainings, with an interval of its own."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dlkd.ablations.statistics.images import IMAGE_COLUMNS
from dlkd.ablations.statistics.metric_trials import metric_trials
from dlkd.ablations.statistics.pairs import Table
from dlkd.ablations.statistics.verdict import judge


def row_means(trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Mean over seeds, then over categories, of every row.

    The interval is that of new seeds of these categories and these very test images, by the procedure of a comparison
    (`verdict.verdicts`), cut at 0 and 1, where these metrics end. It is of one row alone: whether two rows differ is
    said by their comparison.

    Columns: row, mean, low, high (fractions; NaN where nothing is known), n_trials, n_failed, worst (the mean with each
    category's lowest value in place of failed trainings), note.
    """
    # One row alone moves more with other images than its difference to another row does: its interval is of seeds.
    table = Table.of(metric_trials(trials, metric).drop(columns=IMAGE_COLUMNS, errors="ignore"))
    lines = []
    for place, row in enumerate(table.rows):
        pairs = table.contrast({place: 1.0}, row, "")
        [line] = judge([pairs], "these", max_seeds=None, margin=0.0, alpha=0.05)
        low, high = (float(np.clip(line[end], 0, 1)) if np.isfinite(line[end]) else np.nan for end in ("low", "high"))
        note = f"no interval ({line['note']})" if np.isnan(low) and pairs.differences else ""
        lines.append((row, pairs.estimate, low, high, int(pairs.n.sum()), pairs.n_failed, pairs.worst, note))
    return pd.DataFrame(lines, columns=["row", "mean", "low", "high", "n_trials", "n_failed", "worst", "note"])
