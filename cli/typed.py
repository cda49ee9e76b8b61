"""What is typed on `dlkd ablate`, which wins over what files say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkd.cli.datasets import categories_of, dataset_node
from dlkd.cli.settings import read_preset

if TYPE_CHECKING:
    from dlkd.ablations.plan.grid import Grid
    from dlkd.ablations.run.pool import Pool
    from dlkd.ablations.search.definition import SearchFile
    from dlkd.registry import Registry
    from dlkd.training import Preset


@dataclass(frozen=True)
class TypedAblation:
    """The options of `dlkd ablate`, as they are typed.

    Attributes:
        registry: of `--registry` and `--import`.
        datasets: of `--dataset`.
        categories: of `--category`.
        seeds: how many.
        preset: its name.
        training: training arguments; None where one is not typed.
        folder: of the report.
        store: folder of all trials.
        force: train again what is in the store.
        dry_run: say what a run would do, and stop.
        pool_settings: arguments of `dlkd.ablations.run.pool.Pool`, which takes a second to import.
    """

    registry: Registry
    datasets: list[str] | None
    categories: list[str] | None
    seeds: int | None
    preset: str | None
    training: dict[str, Any]
    folder: Path | None
    store: Path
    force: bool
    dry_run: bool
    pool_settings: dict[str, Any]

    def settle(self, file: Grid | SearchFile) -> tuple[Preset, list[tuple[dict[str, Any], list[str]]]]:
        """Training and data of a file, with what is typed laid over them."""
        preset = self.preset or file.preset or "demo"
        chosen = read_preset(preset, file.train, place=file._source, **self.training)
        nodes = [dataset_node(self.registry, name) for name in self.datasets or file.datasets or ["textures"]]
        only = self.categories or list(file.categories) or None
        return chosen, [(node, categories_of(self.registry, node, only, some=len(nodes) > 1)) for node in nodes]

    def pool(self) -> Pool:
        """The workers of a run."""
        from dlkd.ablations.run.pool import Pool

        return Pool(**self.pool_settings)

    @property
    def own_files(self) -> str:
        """The options that name the user's own files, as a command repeats them."""
        pool = self.pool_settings
        own = [f"--registry {f}" for f in pool["registry_files"]] + [f"--import {f}" for f in pool["imports"]]
        return " ".join(own)
