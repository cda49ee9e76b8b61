"""A grid whose cells train in a second."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from dlkd.ablations.grid import Cell, Grid, GridRow, make_cells
from dlkd.registry import default_registry
from dlkd.training import Preset, TrainConfig

TEACHER = {"teacher": {"backbone": "test_resnet", "weights": "random"}}
TINY = Preset(train=TrainConfig(image_size=32, batch_size=3, epochs=2, checkpoint_seconds=0), model=TEACHER)


@pytest.fixture
def make_tiny_cells(tiny_folder: Path) -> Callable[..., list[Cell]]:
    """Cells of grid "g" with rows of LFRB-only variants, on the tiny folder."""

    def make(
        rows: Sequence[tuple[str, dict[str, Any]]] = (("A", {}), ("B", {"sigma": 2.0})), seeds: int = 1, preset: Preset = TINY
    ) -> list[Cell]:
        made = tuple(GridRow(label=label, variant="dlkd-lfrb", overrides=over) for label, over in rows)
        grid = Grid(name="g", title="a title", rows=made, reference=rows[-1][0])
        registry = default_registry()
        node = registry.complete("dataset", {"name": "folder", "root": str(tiny_folder)})
        return make_cells([grid], registry, [(node, ["disc"])], range(seeds), preset)

    return make
