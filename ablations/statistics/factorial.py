"""Main effects and two-way interactions of a grid of on/off factors."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dlkd.ablations.statistics.estimates import estimate
from dlkd.ablations.statistics.metric_cells import metric_cells
from dlkd.ablations.statistics.sign_flip import holm


def factorial_effects(
    trials: pd.DataFrame,
    metric: str,
    factors: pd.DataFrame,
    *,
    unit: str = "auto",
    alpha: float = 0.05,
    confidence: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Effects of a 2**k grid; `factors` maps row (index) to 0 or 1 per factor (column).

    A main effect is what the factor adds, averaged over the others; an interaction is how much more a factor
    adds with the other on than with it off. Both come from least squares on the cells present in each
    (category, seed): on a full grid exactly those averages; with holes, only if no three factors interact.
    Rows of `trials` that `factors` lacks take no part. All effects are one family for Holm.

    Columns: effect, metric, kind ("main" or "interaction"), p_holm, and those of `estimates.estimate`, which
    says what `unit` does; n_missing counts cells of the grid.
    """
    if not factors.isin([0, 1]).all(axis=None):
        raise ValueError("factors has values other than 0 and 1; give one 0/1 column a factor, one line a row")
    if factors.index.has_duplicates:
        raise ValueError(f"factors has rows twice: {factors.index[factors.index.duplicated()].tolist()}")
    cells = metric_cells(trials, metric).values.reindex(factors.index)
    names = [str(name) for name in factors.columns]
    # Coded -1/2 and +1/2, a coefficient is a difference of averages; of a product, one of differences.
    mains = factors.to_numpy(dtype=float) - 0.5
    pairs = list(combinations(range(len(names)), 2))
    design = np.column_stack([np.ones(len(factors)), mains, *(mains[:, a] * mains[:, b] for a, b in pairs)])
    effects = [(name, "main") for name in names]
    effects += [(f"{names[a]} x {names[b]}", "interaction") for a, b in pairs]
    coefficients = np.column_stack([_least_squares(design, values) for values in cells.to_numpy().T])

    lines = []
    for (effect, kind), per_trial in zip(effects, coefficients[1:], strict=True):
        result = estimate(
            pd.Series(per_trial, index=cells.columns),
            family=len(effects),
            unit=unit,
            alpha=alpha,
            confidence=confidence,
            resamples=resamples,
            seed=seed,
        )
        lines.append({"effect": effect, "metric": metric, "kind": kind} | result)
    missing = int(cells.isna().sum(axis=None))
    table = pd.DataFrame(lines).assign(n_missing=missing, partial=missing > 0)
    table.insert(7, "p_holm", holm(table["p"].tolist()))
    return table


def _least_squares(design: NDArray[np.float64], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Coefficients from the cells present; NaN for those that these cells cannot separate from others."""
    present = np.isfinite(values)
    rows = design[present]
    if not len(rows):
        return np.full(design.shape[1], np.nan)
    inverse = np.linalg.pinv(rows)
    separable = np.abs(inverse @ rows - np.eye(design.shape[1])).max(axis=1) < 1e-9
    return np.where(separable, inverse @ values[present], np.nan)
