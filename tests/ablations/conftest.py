"""A grid whose cells train in a second, or not at all."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dlkd.ablations.plan.cells import Cell, make_cells
from dlkd.ablations.plan.grid import Grid, GridRow
from dlkd.ablations.run import costs
from dlkd.ablations.run.pool import Pool
from dlkd.registry import Registry, default_registry
from dlkd.training import METRICS, Preset, TrainConfig

TEACHER = {"teacher": {"backbone": "test_resnet", "weights": "random"}}
TINY = Preset(train=TrainConfig(image_size=32, batch_size=3, epochs=2, checkpoint_seconds=0), model=TEACHER)


@pytest.fixture(autouse=True)
def measured(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    """Runs measure no time and memory in new processes here, which take seconds; the cells that they asked for."""
    asked: list[Cell] = []

    def measure(cell: Cell, store: Path, pool: Pool) -> dict[str, Any]:
        asked.append(cell)
        return {"latency_1": 0.1, "latency_8": 0.5, "images_per_second": 16.0, "peak_memory_bytes": 1e6, "device": "d"}

    monkeypatch.setattr(costs, "in_new_process", measure)
    return asked


@pytest.fixture
def make_tiny_cells(tiny_folder: Path) -> Callable[..., list[Cell]]:
    """Cells of grid "g" with rows of LFRB-only variants, on the tiny folder."""

    def make(
        rows: Sequence[tuple[Any, ...]] = (("A", {}), ("B", {"sigma": 2.0})),
        seeds: int = 1,
        preset: Preset = TINY,
        registry: Registry | None = None,
    ) -> list[Cell]:
        """Rows are (label, model overrides) or (label, model overrides, training overrides)."""
        made = tuple(
            GridRow(label=label, variant="dlkd-lfrb", overrides=over, train=dict(*train))
            for label, over, *train in rows
        )
        grid = Grid(name="g", title="a title", rows=made, reference=rows[-1][0])
        registry = registry or default_registry()
        node = registry.complete("dataset", {"name": "folder", "root": str(tiny_folder)})
        return make_cells(grid, registry, [(node, ["disc"])], range(seeds), preset)

    return make


@pytest.fixture
def finish_cell() -> Callable[..., None]:
    """Write a result where a cell's trial would have left it."""

    def finish(cell: Cell, store: Path, value: float = 0.5) -> None:
        result = {
            "metrics": dict.fromkeys(METRICS, value),
            **{"undefined": {}, "costs": {}, "curve": [], "normal": {"level": 0.0, "threshold": 1.0}},
            "alarm": {"threshold": 1.0, "anomalous": 1, "found": 1, "normal": 1, "false_alarms": 0},
        }
        (store / cell.key).mkdir(parents=True)
        (store / cell.key / "result.json").write_text(json.dumps(result))

    return finish
