"""Which cells a grid stands for, identical ones once."""

from collections.abc import Callable

import pytest

from dlkd.ablations.plan.cells import Cell, make_cells, unique
from dlkd.ablations.plan.grid_files import load_grid
from dlkd.registry import default_registry
from dlkd.registry.problems import ConfigError
from dlkd.training import PRESETS, Preset

REGISTRY = default_registry()
TEXTURES = REGISTRY.complete("dataset", "textures")
DEMO = PRESETS["demo"]
SMALL = Preset(train=DEMO.train, model={"teacher": {"backbone": "test_resnet", "weights": "random"}})

MakeCells = Callable[..., list[Cell]]


def test_rows_that_are_the_same_are_trained_once() -> None:
    grids = [load_grid(name) for name in ("table4", "table5", "untrained")]
    each = [make_cells(grid, REGISTRY, [(TEXTURES, ["brick", "grass"])], [0, 1], SMALL) for grid in grids]
    cells = unique([cell for cells in each for cell in cells])
    assert len(cells) == (3 + 3 + 2 - 2) * 2 * 2
    shared = [cell.rows for cell in cells if len(cell.rows) == 3]
    assert shared == 4 * [(("table4", "LFRB + GFRB + PRL"), ("table5", "PKD + CKD + Con + AS"), ("untrained", "DLKD"))]


def test_rows_that_name_what_does_not_exist_are_found_before_anything_runs(make_tiny_cells: MakeCells) -> None:
    with pytest.raises(ConfigError, match="did you mean 'sigma'"):
        make_tiny_cells([("A", {"sgima": 1})])
