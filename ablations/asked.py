"""The options of an ablation on the command line or in Python; they win over the grid's file."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.groups import refuse_unknown
from dlkd.ablations.plan.labels import labelled
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.search.definition import SearchFile
from dlkd.data.named import categories_of, dataset_node, refuse_pictures
from dlkd.registry import Registry
from dlkd.training import Preset
from dlkd.training.config import named_preset


@dataclass(frozen=True)
class Asked:
    """Data, training, places and workers of a run.

    Attributes:
        registry: with the user's own files.
        pool: the workers.
        datasets: as `dataset_node` takes them.
        categories: only these.
        seeds: how many.
        until_decided: how many seeds an open comparison gets at most.
        preset: its name.
        training: training arguments; None where one is not given.
        folder: of the results.
        store: folder of all trials.
        force: train again what is in the store.
        replace: put the results in the place of another grid's.
    """

    registry: Registry
    pool: Pool
    datasets: Sequence[str | PathLike[str] | Mapping[str, Any]] = ()
    categories: Sequence[str] = ()
    seeds: int | None = None
    preset: str | None = None
    training: Mapping[str, Any] = field(default_factory=dict)
    folder: Path | None = None
    store: Path = Path("runs/trials")
    force: bool = False
    replace: bool = False
    until_decided: int | None = None

    def labelled(self, grid: Grid) -> Grid:
        """A grid with its labels as this run has them. Raises ValueError where a training argument is wrong."""
        preset = self.preset or grid.preset or "demo"
        named_preset(preset, grid.train, place=grid._source, **self.training)
        return labelled(grid, preset, self.training)

    def settle(self, file: Grid | SearchFile) -> tuple[Preset, list[tuple[dict[str, Any], list[str]]]]:
        """Training and data of a file, with what is asked laid over them."""
        preset = self.preset or file.preset or "demo"
        chosen = named_preset(preset, file.train, place=file._source, **self.training)
        nodes = [dataset_node(self.registry, name) for name in self.datasets or file.datasets or ["textures"]]
        only = list(self.categories) or list(file.categories) or None
        data = [(node, categories_of(self.registry, node, only, some=len(nodes) > 1)) for node in nodes]
        if isinstance(file, Grid):
            known = list(dict.fromkeys(name for _, categories in data for name in categories))
            refuse_unknown(file, known, whole=only is None, own_data=bool(file.datasets and not self.datasets))
        for (node, categories), place in itertools.product(data, filter(None, (self.folder, self.store))):
            refuse_pictures(place, node, categories)
        return chosen, data

    @property
    def own_files(self) -> str:
        """The options that name the user's own files, as a command repeats them."""
        own = [f"--registry {f}" for f in self.pool.registry_files] + [f"--import {f}" for f in self.pool.imports]
        return " ".join(own)
