"""What the store holds of earlier runs, and why a cell is not among it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.stored.store import DESCRIPTION
from dlkd.training import TrialError, TrialSpec
from dlkd.training.trials.identity import differences
from dlkd.training.trials.trial_folder import RESULT, SPEC
from dlkd.training.trials.trial_spec import read_spec

NEVER = "never run"
OLDER = "stored by an older dlkd"
SHOWN = 3
"""So many changes are named; a cell of other settings may differ in all of them."""

_KEY = re.compile(r"[0-9a-f]{16}")


@dataclass(frozen=True)
class Held:
    """A trial of the store.

    Attributes:
        folder: its own; its name is its key.
        spec: what was run; None where that cannot be read.
        contents: digests of the data and of the files that the spec names.
        code: digests of the code that computed it, by file; empty where an older dlkd stored it.
        rows: (grid name, row label) of each place that it stood in.
    """

    folder: Path
    spec: TrialSpec | None
    contents: Mapping[str, str] = field(default_factory=dict)
    code: Mapping[str, str] = field(default_factory=dict)
    rows: frozenset[tuple[str, str]] = frozenset()

    @property
    def finished(self) -> bool:
        """Whether it has a result."""
        return (self.folder / RESULT).exists()

    @property
    def bytes(self) -> int:
        """Size of all its files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def held_trials(store: Path) -> Iterator[Held]:
    """Every trial's folder of a store, by name, also one that cannot be read; nothing else that lies there."""
    folders = sorted(store.iterdir()) if store.is_dir() else []
    for folder in folders:
        if _KEY.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink():
            yield held_trial(folder)


def held_trial(folder: Path) -> Held:
    """The trial of a folder, whether it can be read or not."""
    try:
        if not (folder / DESCRIPTION).exists():
            return Held(folder, *read_spec(folder)) if (folder / SPEC).exists() else Held(folder, None)
        about = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
        spec, rows = TrialSpec.model_validate(about["spec"]), frozenset(map(tuple, about["rows"]))
        return Held(folder, spec, dict(about["contents"]), dict(about["code"]), rows)
    except (OSError, ValueError, KeyError, TypeError, RecursionError):  # TrialError is a ValueError
        return Held(folder, None)


def seeds_held(store: Path) -> int:
    """How many base seeds, from 0, the finished trials of a store have at most."""
    return max((held.spec.seed + 1 for held in held_trials(store) if held.spec and held.finished), default=0)


def reasons(cells: Sequence[Cell], store: Path) -> dict[str, str]:
    """Why cells have no result in the store, by their keys.

    "code of blocks/lfrb.py changed", "the data changed", "train.max_steps 20 -> 30", "stored by an older dlkd",
    "never run". Of several earlier trials the nearest one is compared: one with the same settings, and else one that
    stood in the same row.
    """
    keys = {cell.key for cell in cells}
    same: dict[str, list[Held]] = {}
    beside: dict[tuple[object, ...], list[Held]] = {}
    for held in held_trials(store):
        if held.spec is not None and held.finished and held.folder.name not in keys:
            same.setdefault(_settings(held.spec, held.contents), []).append(held)
            for row in held.rows:
                beside.setdefault(_place(row, held.spec), []).append(held)
    found = {}
    for cell in cells:
        in_row = [held for row in cell.rows for held in beside.get(_place(row, cell.spec), ())]
        found[cell.key] = _nearest(cell, same.get(_settings(cell.spec, cell.contents)) or in_row)
    return found


def grouped(why: Iterable[str]) -> list[str]:
    """Reasons with how many cells have each, the most frequent first: "54 cells: code of blocks/lfrb.py changed"."""
    counts = Counter(why).most_common()
    return [f"{count} {'cell' if count == 1 else 'cells'}: {reason}" for reason, count in counts]


def changes(held: Held, spec: TrialSpec, contents: Mapping[str, str], code: Mapping[str, str]) -> list[str]:
    """In words, what differs between a held trial, which can be read, and one of now."""
    if held.spec is None:
        raise TrialError(f"{held.folder} cannot be read")
    changed = list(differences(held.spec.identity(held.contents), spec.identity(contents)))
    files = _differ(held.code, code)
    if not held.code:
        changed.append(OLDER)
    elif files:
        more = f" and {len(files) - 1} more {'file' if len(files) == 2 else 'files'}" if len(files) > 1 else ""
        changed.append(f"code of {files[0]}{more} changed")
    return changed


def _nearest(cell: Cell, earlier: Sequence[Held]) -> str:
    said = [changes(held, cell.spec, cell.contents, cell.code) for held in earlier]
    nearest = min(said, key=len, default=[])
    more = [f"{len(nearest) - SHOWN} more"] if len(nearest) > SHOWN else []
    return "; ".join([*nearest[:SHOWN], *more]) or NEVER


def _differ(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Files whose code differs, or that only one of both uses; those that both use come first."""
    differ = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    return sorted(differ, key=lambda name: (name not in before or name not in now, name))


def _settings(spec: TrialSpec, contents: Mapping[str, str]) -> str:
    """What two trials share that differ in the contents of files, or in code, alone."""
    return json.dumps(spec.identity(dict.fromkeys(contents, "")), sort_keys=True)


def _place(row: tuple[str, str], spec: TrialSpec) -> tuple[object, ...]:
    return *row, spec.dataset["name"], spec.category, spec.seed
