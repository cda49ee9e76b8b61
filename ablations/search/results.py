"""The table of a search's settings: made from their folders, and as parquet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pydantic

from dlkd.ablations.search.definition import SearchFile
from dlkd.ablations.search.records import ENDS, PARQUET, Tried
from dlkd.ablations.search.report import SearchReport
from dlkd.ablations.stored.trials import read_trials, read_with_about, write_trials
from dlkd.text import plain


def search_trials(tried: Sequence[Tried], file: SearchFile) -> pd.DataFrame:
    """One line per trial: number, key, status, rungs, score (of the last rung), rung_1 and so on, seconds, reason,
    and each parameter by its key, choices as JSON."""
    lines = []
    for t in tried:
        scores = [rung["score"] for rung in t.rungs]
        lines.append(
            {
                "number": t.number,
                "key": t.key,
                "status": t.status,
                "rungs": len(scores),
                "score": scores[-1] if scores else math.nan,
                **{f"rung_{i + 1}": dict(enumerate(scores)).get(i, math.nan) for i in range(file.search.rungs)},
                "seconds": sum(rung["seconds"] for rung in t.rungs),
                "reason": plain(t.reason),
                **{name: parameter.to_optuna(t.parameters[name]) for name, parameter in file.search.space.items()},
            }
        )
    return pd.DataFrame(lines)


def write_found(report: SearchReport, out: Path) -> None:
    """Write search.parquet to `out`, with what it rests on in the same file."""
    known = {"file": report.file.model_dump(mode="json"), "usual": report.usual, "also": report.also}
    write_trials(report.trials, out / PARQUET, known)


def read_found(folder: Path) -> SearchReport:
    """What `write_found` left. Raises ValueError that names the file where it cannot be read."""
    path = folder / PARQUET
    trials, known = read_with_about(path)
    try:
        return SearchReport(trials, **{**known, "file": SearchFile.model_validate(known["file"])})
    except (KeyError, TypeError, pydantic.ValidationError) as error:
        raise ValueError(
            f"{path} does not contain its search (an older dlkd wrote it): the same `dlkd ablate` command runs it again"
        ) from error


def holds_less(trials: pd.DataFrame, folder: Path) -> bool:
    """Whether `trials` in the place of the search.parquet in `folder` would lose finished settings, or bring none."""
    try:
        old = read_trials(folder / PARQUET)
    except ValueError:
        return False
    ended = [set(t.loc[t["status"].isin(list(ENDS)), "key"]) for t in (old, trials) if "key" in t and "status" in t]
    return len(ended) == 2 and not ended[0] < ended[1]
