"""The rows of a grid tuned before its cells are trained: a search for each, all with the same budget."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from rich.console import Console

from dlkd.ablations.plan.cells import settled_rows
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.plan.tuning import TunedRow, Tuning
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.parameters import check_keys, check_values, with_absolute_choices, with_paths
from dlkd.ablations.search.records import DONE, Tried, read_tried, trial_key
from dlkd.ablations.search.study import Study, make_study, search_folder
from dlkd.ablations.search.values import TRAIN, laid, overrides, settled, value_at
from dlkd.data.digest import Progress
from dlkd.registry import Node, Registry
from dlkd.registry.nodes import key_paths
from dlkd.registry.problems import ConfigError, KeyPath
from dlkd.training import Preset, TrainConfig

SPACE: KeyPath = ("tune", "space")

Data = Sequence[tuple[dict[str, Any], Sequence[str]]]
"""Completed dataset nodes with their categories."""


@dataclass(frozen=True)
class RowSearch:
    """The search of one row.

    Attributes:
        row: as the grid's file has it.
        study: what is tried; None where the row is passed over.
        passed_over: why it is.
    """

    row: GridRow
    study: Study | None = None
    passed_over: str = ""

    def tried(self, registry: Registry, store: Path) -> list[Tried]:
        """The finished settings that a store holds."""
        if self.study is None:
            return []
        return [t for t in read_tried(search_folder(self.study, registry, store)) if t.finished]

    def left(self, registry: Registry, store: Path) -> int:
        """How many settings are still to try."""
        return 0 if self.study is None else max(0, self.study.search.trials - len(self.tried(registry, store)))


def row_searches(
    grid: Grid, registry: Registry, data: Data, preset: Preset, progress: Progress | None = None
) -> list[RowSearch]:
    """A search for each row of a grid with `tune:`, over those of its parameters that the row has.

    What a row sets itself makes it the row that it is, and is not varied.

    Raises:
        ConfigError: a row is wrong, no row has a parameter, or a row refuses a value; all of it at once.
        DataError: data cannot be read.
    """
    assert grid.tune is not None
    rows = [
        _Row(row, node, train, _own(grid.tune, row, node, train))
        for row, node, train in settled_rows(grid, registry, preset)
    ]
    _check(grid, rows, registry, preset)
    found = []
    for each in rows:
        if each.train.epochs == 0 or each.train.max_steps == 0:
            found.append(RowSearch(each.row, passed_over="it is not trained"))
        elif not each.own:
            found.append(RowSearch(each.row, passed_over="it has none of these settings, or sets them itself"))
        else:
            base = preset.trained(each.row.train)
            search = with_absolute_choices(_search(grid.tune, each, each.own), grid._source, registry, base)
            found.append(
                RowSearch(each.row, make_study(settled(search, registry, base), registry, data, base, progress))
            )
    return found


class _Row(NamedTuple):
    """A row with its resolved model, its training, and the parameters that it has and does not set itself."""

    row: GridRow
    node: Node
    train: TrainConfig
    own: list[str]


def _check(grid: Grid, rows: Sequence[_Row], registry: Registry, preset: Preset) -> None:
    """Raise ConfigError with all that is wrong with the parameters."""
    assert grid.tune is not None
    source = grid._source
    problems = list(check_keys(grid.tune.space, source, SPACE))
    if problems:
        raise ConfigError(problems)
    for each in rows:
        base = preset.trained(each.row.train)
        for key in each.own:
            problems += check_values(_search(grid.tune, each, [key]), key, source, SPACE, registry, base)
    for key in grid.tune.space:
        if not any(key in each.own for each in rows):
            # The first row says what is wrong with the key; nothing is where the row sets it itself.
            search, base = _search(grid.tune, rows[0], [key]), preset.trained(rows[0].row.train)
            wrong = list(check_values(search, key, source, SPACE, registry, base))
            problems += wrong or [source.problem((*SPACE, key), "no row has this setting without setting it itself")]
    if problems:
        raise ConfigError(list({(p.path, p.message): p for p in problems}.values()))


def tune_rows(
    grid: Grid, searches: Sequence[RowSearch], registry: Registry, store: Path, pool: Pool, console: Console,
    *, force: bool = False,
) -> Grid:  # fmt: skip
    """Run the searches of a grid's rows, as far as the store does not hold them, and lay what they chose over the rows.

    Raises:
        ValueError: no setting of a row was trained to its end.
        KeyboardInterrupt, MachineError, ConnectionError, StorageError, HeldError: see `run_search`.
    """
    from dlkd.ablations.search.runner import run_search  # loads Ray

    for each in searches:
        if each.study is not None:
            name = f"the row '{each.row.label}'"
            run_search(each.study, registry, store, pool, console, force=force, name=name)
    return with_chosen(grid, searches, registry, store)


def with_chosen(grid: Grid, searches: Sequence[RowSearch], registry: Registry, store: Path) -> Grid:
    """The grid with each row's best setting, as the store holds it, over what the row says.

    Raises:
        ValueError: no setting of a row was trained to its end.
    """
    tuned = [_tuned(each, registry, store) for each in searches]
    rows = []
    for each, found in zip(searches, tuned, strict=True):
        row = each.row
        if each.study is not None:
            model, train = overrides(found.chosen)
            over = laid(each.study.search.overrides, model)
            row = row.model_copy(update={"overrides": over, "train": {**row.train, **train}})
        rows.append(row)
    return grid.model_copy(update={"rows": tuple(rows), "tuned": tuple(tuned)})


def _tuned(each: RowSearch, registry: Registry, store: Path) -> TunedRow:
    """What a row's finished search found; of equal scores the setting that was tried first."""
    if each.study is None:
        return TunedRow(label=each.row.label, passed_over=each.passed_over)
    tried = each.tried(registry, store)
    done = [t for t in tried if t.status == DONE]
    if not done:
        raise ValueError(
            f"tune: no setting of the row '{each.row.label}' was trained to its end; the failures lie in "
            f"{search_folder(each.study, registry, store)}"
        )
    best = max(done, key=lambda t: t.rungs[-1]["score"])
    usual = each.study.usual(registry)
    unchanged = [t.rungs[-1]["score"] for t in done if usual is not None and t.key == trial_key(usual)]
    return TunedRow(
        label=each.row.label,
        chosen=best.parameters,
        tried=len(tried),
        score=best.rungs[-1]["score"],
        unchanged=unchanged[0] if unchanged else None,
    )


def _search(tune: Tuning, each: _Row, keys: Sequence[str]) -> Search:
    space = {key: tune.space[key] for key in keys}
    choices = [parameter.choice for parameter in space.values()]
    there_are = math.inf if None in choices else math.prod(len(choice or ()) for choice in choices)
    return Search(
        **tune.model_dump(exclude={"space", "trials"}),
        space=space,
        trials=int(min(tune.trials, there_are)),
        variant=each.row.variant,
        overrides=with_paths(each.row.overrides, each.node),
    )


def _own(tune: Tuning, row: GridRow, node: Node, train: TrainConfig) -> list[str]:
    """The parameters that a row has and does not set itself."""
    sets = [*(".".join(map(str, path)) for path in key_paths(row.overrides)), *(f"{TRAIN}{name}" for name in row.train)]
    return [
        key
        for key in tune.space
        if _has(key, node, train) and not any(said == key or said.startswith(f"{key}.") for said in sets)
    ]


def _has(key: str, node: Node, train: TrainConfig) -> bool:
    try:
        value_at(key, node, train)
    except (KeyError, TypeError):
        return False
    return True
