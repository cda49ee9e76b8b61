"""The cells of a grid: each row on each category with each seed, identical ones once."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.plan.keys import Code, cell_code, cell_key
from dlkd.data import dataset_label
from dlkd.data.digest import Progress, category_digest
from dlkd.registry import Node, Registry
from dlkd.registry.problems import ConfigError, Problem
from dlkd.training import Preset, TrainConfig, TrialSpec
from dlkd.training.trials.trial_spec import load_category


@dataclass(frozen=True)
class Cell:
    """One trial of a grid, and every table row that it stands in.

    Attributes:
        key: hash of all that decides the result; names the trial's folder.
        spec: what to run.
        rows: (grid name, row label) of each place it stands in.
        settings: what reports say that it was measured with, see `Registry.shown`.
        contents: digests of the data and of the files that the spec names, as the key was made of them.
        code: digests of the code that computes the result, by file.
    """

    key: str
    spec: TrialSpec
    rows: tuple[tuple[str, str], ...]
    contents: dict[str, str] = field(default_factory=dict)
    settings: str = ""
    code: dict[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """For people: "LFRB + GFRB, textures/brick, seed 0"."""
        return f"{self.rows[0][1]}, {dataset_label(self.spec.dataset)}/{self.spec.category}, seed {self.spec.seed}"


def make_cells(
    grid: Grid,
    registry: Registry,
    datasets: Sequence[tuple[dict[str, Any], Sequence[str]]],
    seeds: Sequence[int],
    preset: Preset,
    progress: Progress | None = None,
) -> list[Cell]:
    """Every cell of a grid, identical ones once.

    Args:
        grid: the table.
        registry: resolves variants.
        datasets: completed dataset nodes, each with its categories.
        seeds: base seeds.
        preset: training that the rows' lies on; its name says what lies under their variants.
        progress: called with (files done, files in all) while the data of a category are read for their digest.

    Raises:
        ConfigError: a row names what does not exist.
        DataError: data or a file of weights cannot be read.
    """
    cells = []
    digests: dict[str, str] = {}
    for row, model, train in settled_rows(grid, registry, preset):
        settings = registry.shown(model)
        for dataset, categories in datasets:
            code: Code = {}
            for category, seed in itertools.product(categories, seeds):
                spec = TrialSpec(
                    variant=row.variant, model=model, dataset=dataset, category=category, train=train, seed=seed
                )
                place = json.dumps([dataset, category], sort_keys=True)
                if place not in digests:
                    digests[place] = category_digest(load_category(spec, registry), progress=progress)
                contents = spec.contents(registry, digests[place])
                code = code or cell_code(spec, registry)  # of all categories and seeds
                key = cell_key(spec, contents, code)
                cells.append(Cell(key, spec, ((grid.name, row.label),), contents, settings, code))
    return unique(cells)


def settled_rows(grid: Grid, registry: Registry, preset: Preset) -> list[tuple[GridRow, Node, TrainConfig]]:
    """Each row with its resolved model and its training configuration. Raises ConfigError with all rows' problems."""
    settled = []
    problems: list[Problem] = []
    source = grid._source
    for i, row in enumerate(grid.rows):
        own = preset
        try:
            own = preset.trained(row.train, places=[(source, ("rows", i, "train"))])
        except ConfigError as error:
            problems += error.problems
        try:
            over = ("rows", i, "overrides")
            settled.append((row, *own.settle(registry, row.variant, row.overrides, source=source, path=over)))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(problems)
    return settled


def unique(cells: Sequence[Cell]) -> list[Cell]:
    """The cells with identical ones as one, which stands in all their places."""
    found: dict[str, Cell] = {}
    for cell in cells:
        if cell.key in found:
            # Once each: two datasets may be copies of one.
            cell = replace(found[cell.key], rows=tuple(dict.fromkeys((*found[cell.key].rows, *cell.rows))))
        found[cell.key] = cell
    return list(found.values())
