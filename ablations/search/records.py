"""The files that trials of a search write to their folders, and how they are read."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dlkd.ablations.stored.store import FAILURE, first_line
from dlkd.training.trials.trial_folder import RESULT

PARQUET = "search.parquet"
"""The table of all, in the folder of the search's report."""

PARAMETERS = "parameters.json"
RUNGS = "rungs.json"
RUNG = {"score", "scores", "steps", "seconds", "note"}
DONE, STOPPED, DIVERGED = "done", "stopped", "diverged"
FAILED, UNFINISHED = "failed", "unfinished"
ENDS = {DONE: "trained to the end", STOPPED: "stopped behind the others", DIVERGED: "diverged"}
"""How a trial that is finished has ended, in words."""


@dataclass(frozen=True)
class Tried:
    """One setting and what came of it.

    Attributes:
        number: from 1, in the order of their begin.
        parameters: the setting.
        status: done, stopped (behind the others), diverged, failed or unfinished.
        rungs: the scores so far, as `worker.take_to_rung` gives them.
        reason: why it diverged or failed.
    """

    number: int
    parameters: dict[str, Any]
    status: str
    rungs: tuple[dict[str, Any], ...] = ()
    reason: str = ""

    @property
    def key(self) -> str:
        """The name of its folder."""
        return trial_key(self.parameters)

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.status in (DONE, STOPPED, DIVERGED)


def trial_key(parameters: dict[str, Any]) -> str:
    """The name of a trial's folder."""
    return hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:16]


def read_tried(folder: Path) -> list[Tried]:
    """What was tried so far, in order; a trial whose parameters cannot be read counts as never begun."""
    found = []
    for path in folder.glob(f"*/{PARAMETERS}"):
        begun = _read_keys(path, "number", "parameters")
        if begun is None or trial_key(begun["parameters"]) != path.parent.name:
            continue
        result = _read_keys(path.with_name(RESULT), "status", "rungs", "reason")
        failure = path.with_name(FAILURE)
        if result is not None and result["rungs"] and are_rungs(result["rungs"]):
            found.append(Tried(**begun, **result))
        elif failure.exists():
            found.append(Tried(**begun, status=FAILED, reason=first_line(failure)))
        else:
            found.append(Tried(**begun, status=UNFINISHED))
    return sorted(found, key=lambda tried: (tried.number, tried.key))


def broken(folder: Path) -> list[str]:
    """A sentence for each file of a trial's state that cannot be read, so that the trial is not taken for finished."""
    found = []
    for path in sorted(p for name in (PARAMETERS, RESULT, RUNGS) for p in folder.glob(f"*/{name}")):
        if path.name == PARAMETERS:
            begun = _read_keys(path, "number", "parameters")
            whole = begun is not None and trial_key(begun["parameters"]) == path.parent.name
        elif path.name == RESULT:
            result = _read_keys(path, "status", "rungs", "reason")
            whole = result is not None and bool(result["rungs"]) and are_rungs(result["rungs"])
        else:
            whole = path.with_name(RESULT).exists() or read_rungs(path) is not None
        if not whole:
            found.append(f"note: {path} cannot be read: its trial does not count as finished")
    return found


def read_rungs(path: Path) -> list[dict[str, Any]] | None:
    """What `rungs.json` holds, nothing where there is none; None where it cannot be read."""
    try:
        rungs = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (OSError, ValueError, RecursionError):
        return None
    return rungs if are_rungs(rungs) else None


def are_rungs(found: Any) -> bool:
    """Whether a file's data are rungs as `take_to_rung` gives them."""
    return isinstance(found, list) and all(
        isinstance(rung, dict)
        and rung.keys() >= RUNG
        and all(isinstance(rung[name], int | float) for name in ("score", "seconds"))
        for rung in found
    )


def _read_keys(path: Path, *keys: str) -> dict[str, Any] | None:
    """Those keys of a JSON file, of which each has to be there; None where it cannot be read."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        return {key: data[key] for key in keys}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
