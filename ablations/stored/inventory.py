"""What a store holds, which of it a grid still reaches, and how the rest is deleted."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dlkd.ablations.plan.keys import Code, cell_code, cell_key
from dlkd.ablations.stored.history import Held, changes, held_trial, held_trials
from dlkd.ablations.stored.run_folder import TRIALS
from dlkd.ablations.stored.trials import read_trials
from dlkd.data import DataError
from dlkd.files import HeldError, alone, delete
from dlkd.registry import ConfigError, Registry
from dlkd.training.trials.trial_folder import RESULT

CURRENT = "current"
UNREADABLE = "cannot be read"
UNKNOWN = "made of components that are not loaded"


@dataclass(frozen=True)
class Stored:
    """A trial of a store.

    Attributes:
        held: the trial.
        bytes: size of its files.
        state: "current" where a run with today's code and data finds it again, or what changed.
        grids: names of the tables whose runs show it.
    """

    held: Held
    bytes: int
    state: str
    grids: tuple[str, ...]

    @property
    def reached(self) -> bool:
        """Whether a run shows it, or a grid would find it again, or nobody can tell since its components are absent."""
        return bool(self.grids) or self.state in (CURRENT, UNKNOWN)


def inventory(store: Path, runs: Iterable[Path], registry: Registry) -> list[Stored]:
    """Every trial of a store.

    Args:
        store: folder of all trials.
        runs: folders that hold folders of runs.
        registry: holds the components that the trials are made of.

    Raises:
        ValueError: a run's `trials.parquet` cannot be read, so that nobody knows what it reaches.
    """
    shown = _shown(runs)
    today = _Today(registry)
    return [
        Stored(held, held.bytes, today.state(held), tuple(sorted(shown.get(held.folder.name, ()))))
        for held in held_trials(store)
    ]


def searches(store: Path) -> Iterator[tuple[str, int, int]]:
    """Of each search in a store its folder's name, how many settings were tried, and the size."""
    for folder in sorted(store.glob("search-*")):
        if folder.is_dir():
            tried = [path for path in folder.iterdir() if path.is_dir()]
            yield folder.name, len(tried), sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def prune(stored: Iterable[Stored]) -> tuple[list[Stored], list[str]]:
    """Delete the trials that nothing reaches; those that are gone, and a sentence for each that is not.

    A trial that another process holds, or that changed since it was listed, stays. Its result goes first, so that a
    crash leaves an unfinished trial.
    """
    gone, kept = [], []
    for one in stored:
        folder = one.held.folder
        if one.reached or not folder.exists():
            continue
        try:
            with alone(folder, wait=False):
                if held_trial(folder) != one.held:
                    kept.append(f"{folder} stays: it has changed meanwhile")
                    continue
                delete(folder / RESULT)
                delete(folder)
                gone.append(one)
        except HeldError as error:
            kept.append(f"{folder} stays: {error}")
    return gone, kept


def _shown(runs: Iterable[Path]) -> dict[str, set[str]]:
    """By key, the tables of the runs that show it."""
    found: dict[str, set[str]] = defaultdict(set)
    for path in sorted(path for folder in runs for path in folder.glob(f"*/{TRIALS}")):
        trials = read_trials(path)
        if not {"key", "table"} <= set(trials.columns):
            raise ValueError(f"{path} does not say which trials it shows: write it again with `dlkd ablate`")
        for key, table in trials[["key", "table"]].drop_duplicates().itertuples(index=False):
            found[str(key)].add(str(table))
    return found


class _Today:
    """Today's code and data, each looked up once."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self.codes: dict[str, Code | None] = {}
        self.digests: dict[str, str | None] = {}

    def state(self, held: Held) -> str:
        if held.spec is None:
            return UNREADABLE
        code = self._code(held)
        if code is None:
            return UNKNOWN
        contents = self._contents(held)
        if held.code and cell_key(held.spec, contents, code) == held.folder.name:
            return CURRENT
        return "; ".join(changes(held, held.spec, contents, code)) or "its key is made in another way"

    def _code(self, held: Held) -> Code | None:
        assert held.spec is not None
        node = json.dumps([held.spec.model, held.spec.dataset], sort_keys=True)
        if node not in self.codes:
            try:
                self.codes[node] = cell_code(held.spec, self.registry)
            except (ConfigError, KeyError):
                self.codes[node] = None
        return self.codes[node]

    def _contents(self, held: Held) -> dict[str, str]:
        """Digests as they are now; as they were where the data are not there."""
        assert held.spec is not None
        place = json.dumps([held.spec.dataset, held.spec.category], sort_keys=True)
        try:
            contents = held.spec.contents(self.registry, self.digests.get(place))
        except (DataError, ConfigError, OSError, ValueError):
            return dict(held.contents)
        self.digests[place] = contents["data"]
        return contents


def lines(stored: Sequence[Stored]) -> list[tuple[str, int, int, int, str]]:
    """Of trials with the same grids and state: grids, how many, how many finished, bytes, state; the largest first."""
    groups: dict[tuple[str, str], list[Stored]] = defaultdict(list)
    for one in stored:
        groups[", ".join(one.grids), one.state].append(one)
    found = [
        (grids, len(group), sum(one.held.finished for one in group), sum(one.bytes for one in group), state)
        for (grids, state), group in groups.items()
    ]
    return sorted(found, key=lambda line: -line[3])
