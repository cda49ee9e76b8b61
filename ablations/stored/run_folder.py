"""The file of a run beside its report: trials, grids, the path of the store, and what rows and data are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
import pydantic

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.stored.run_identity import RunIdentity, lost
from dlkd.ablations.stored.trials import read_trials, read_with_about, write_trials
from dlkd.files import is_name

TRIALS = "trials.parquet"
OLDER = ("grids.json", "store.txt")
PLACE = ["table", "row", "dataset", "category", "seed"]
MEASURED_WITH = {"image_size", "epochs", "max_steps", "pro_limit", "score_at", "settings"}
NEEDED = {*PLACE, "metric", "value", "status", "reason", "key", *MEASURED_WITH}


def write_run(folder: Path, trials: pd.DataFrame, grids: Sequence[Grid], store: Path, identity: RunIdentity) -> None:
    """Write `trials.parquet`, which holds all else too, so that it changes together or not at all."""
    about = {"grids": [grid.model_dump(mode="json") for grid in grids], "store": str(store.resolve())}
    write_trials(trials, folder / TRIALS, about | {"identity": identity.as_data()})


def read_run(folder: Path) -> tuple[pd.DataFrame, list[Grid], Path]:
    """What `write_run` left. Raises ValueError that names the file where it cannot be read."""
    path = folder / TRIALS
    trials, about = read_with_about(path)
    if not about and (folder / OLDER[0]).exists():
        raise ValueError(
            f"{folder} was written by an older dlkd, which kept {' and '.join(OLDER)} beside {TRIALS}. Its own report "
            "stays readable. This version resizes pictures and counts regions of masks in another way, so that no "
            "figure is the same: give the same `dlkd ablate` command again, and all cells are trained again; with "
            "another --out the old report stays too"
        )
    try:
        grids = [Grid.model_validate(grid) for grid in about["grids"]]
        store = Path(about["store"])
    except (KeyError, TypeError, pydantic.ValidationError) as error:
        raise ValueError(f"{path} does not contain its grids and store: write it again with `dlkd ablate`") from error
    whole(trials, path)
    if wrong := [key for key in trials["key"] if not is_name(str(key))]:
        raise ValueError(f"cannot read {path}: the key {wrong[0]!r} names no folder of a store")
    return trials, grids, store


def read_identity(folder: Path) -> RunIdentity:
    """What the rows and data of a folder's run are. Raises ValueError that names the file where it cannot be read."""
    path = folder / TRIALS
    try:
        return RunIdentity.from_data(read_with_about(path)[1].get("identity", {}))
    except (AttributeError, TypeError) as error:
        raise ValueError(f"{path} does not say what its rows are: write it again with `dlkd ablate`") from error


def refuse_to_lose(folder: Path, identity: RunIdentity) -> str:
    """Raise ValueError where a run in `folder` has finished trials of rows or data that a new run does not have.

    More rows, categories and seeds are the ordinary way, and so is other code. Returns a sentence if nobody can tell,
    else "".
    """
    if not (folder / TRIALS).exists():
        return ""
    try:
        finished, before = _finished(read_trials(folder / TRIALS)), read_identity(folder)
    except ValueError as error:
        return f"{error}. It is not compared with this run, which takes its place"
    if finished and not before.rows:
        return f"{folder / TRIALS} does not say what its rows are; this run takes its place"
    if finished and (changes := lost(before, identity)):
        raise ValueError(
            f"{folder} holds the results of another grid, which would be replaced ({'; '.join(changes)}). Give this "
            f"grid another `name:` or folder (--out, in Python out=), or replace the report in {folder} (--replace, in "
            "Python replace=True). Finished trials stay in the store either way"
        )
    return ""


def whole(trials: pd.DataFrame, path: Path) -> pd.DataFrame:
    """`trials`, read from `path`, with all columns that a report needs. Raises ValueError where they lack one."""
    if missing := NEEDED - set(trials.columns):
        raise ValueError(f"{path} lacks the columns {', '.join(sorted(missing))}: write it again with `dlkd ablate`")
    return trials


def holds_less(trials: pd.DataFrame, folder: Path, *, ended: bool) -> bool:
    """Whether `trials` in the place of what stands in `folder` would lose finished cells, or bring none.

    A run that ended by itself takes the place with any finished cell, since it was asked for; one that broke off has to
    have all cells that stand there and more.
    """
    new = _finished(trials)
    try:
        old = _finished(read_trials(folder / TRIALS))
    except ValueError:
        return not ended and not new
    return bool(old) and not new if ended else not old < new


def _finished(trials: pd.DataFrame) -> set[tuple[object, ...]]:
    if not {*PLACE, "status"} <= set(trials.columns):
        return set()
    done = trials[trials["status"].isin(["ok", "undefined"])]
    return set(done[PLACE].itertuples(index=False, name=None))
