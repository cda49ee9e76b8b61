"""The examples run."""

from __future__ import annotations

import math
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dlkd.ablations.plan.cells import make_cells
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.grid_files import load_grid
from dlkd.ablations.search.rows import row_searches
from dlkd.ablations.stored.trials import collect
from dlkd.check import check_row
from dlkd.registry import create_model, default_registry, load_file, load_registry
from dlkd.training import PRESETS, Preset, TrainConfig, load_model, run_trial

EXAMPLES = Path(__file__).parents[1] / "examples"
SMALL_TEACHER = {"backbone": "test_resnet", "weights": "random"}


def test_reuse_block_learns() -> None:
    main = runpy.run_path(str(EXAMPLES / "reuse_block.py"))["main"]
    assert main(steps=0) < 0.6
    assert main(steps=60) > 0.8


def test_my_variant_builds() -> None:
    registry = load_registry(EXAMPLES / "my_variant.yaml")
    own = set(registry.variants) - set(default_registry().variants)
    assert own == {"wide-scan", "wide-scan-fine", "two-local"}
    for name in own:
        create_model(name, registry=registry, teacher=SMALL_TEACHER)


def test_my_block_keeps_its_contract_and_builds() -> None:
    """In a process of its own: the block must not stay registered for the tests after this one."""
    code = f"""
import runpy, sys
from pathlib import Path
from dlkd.registry import create_model, load_registry
runpy.run_path("my_block.py")
create_model("dlkd-large-kernel", registry=load_registry(Path("my_block.yaml")), teacher={SMALL_TEACHER})
"""
    check = ["-m", "dlkd", "check", "my_block.yaml", "--import", "my_block.py", "--examples", "3"]
    for arguments in (["-c", code], check):
        done = subprocess.run([sys.executable, *arguments], cwd=EXAMPLES, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "ok: block/large_kernel",
        "    requires: does not apply, as it needs a rule in `requires:`",
        "ok: variant dlkd-large-kernel",
    ]


def test_my_detector_trains_beside_dlkd_and_predicts(
    components: None, tiny_folder: Path, tmp_path: Path, predict_images: Callable[..., Any]
) -> None:
    load_file(EXAMPLES / "my_detector.py")
    registry = load_registry(EXAMPLES / "my_detector.yaml")
    assert check_row(registry, "model/nearest_patch", examples=1).problems == []
    rows = [{"label": name, "variant": name} for name in ("nearest-patch", "dlkd-lfrb")]
    grid = Grid.model_validate({"name": "g", "title": "t", "rows": rows, "reference": "dlkd-lfrb"})
    train = TrainConfig(image_size=32, batch_size=3, epochs=1)
    preset = Preset(train=train, model={"teacher": SMALL_TEACHER})
    data = registry.complete("dataset", {"name": "folder", "root": str(tiny_folder)})
    cells = make_cells(grid, registry, [(data, ["disc"])], [0], preset)
    for cell in cells:
        result = run_trial(cell.spec, tmp_path / cell.key, registry)
        assert math.isfinite(result.metrics["pro"])
    trials = collect(cells, tmp_path)
    assert dict(trials.groupby("row")["status"].first()) == {"nearest-patch": "ok", "dlkd-lfrb": "ok"}
    trained = load_model(tmp_path / cells[0].key, registry)
    assert len(trained.detector.bank) == 6 * 16  # every patch of six images
    done = predict_images(trained, tiny_folder / "disc/test", tmp_path / "out", overlays=False)
    assert done.scored == 7
    assert len((EXAMPLES / "my_detector.py").read_text().splitlines()) < 60


def test_my_grid_gives_a_cell_a_row() -> None:
    grid = load_grid(str(EXAMPLES / "my_grid.yaml"))
    registry = default_registry()
    dataset = registry.complete("dataset", "textures")
    cells = make_cells(grid, registry, [(dataset, ["brick"])], [0], PRESETS["demo"])
    assert len(cells) == len(grid.rows) == 4
    scans = [(c.spec.model["decoder"]["global"] or {}).get("scan") for c in cells]
    assert scans == ["cross4", "raster2", "hilbert8", None]


def test_my_tuned_grid_gives_each_row_a_search() -> None:
    grid = load_grid(str(EXAMPLES / "my_tuned_grid.yaml"))
    registry = default_registry()
    preset = Preset(train=PRESETS["demo"].train, model={"teacher": SMALL_TEACHER})
    one = grid.model_copy(update={"rows": grid.rows[:1]})  # the others have the same parameters
    [each] = row_searches(one, registry, [(registry.complete("dataset", "textures"), ["brick"])], preset)
    assert each.study is not None
    assert (each.study.search.trials, len(each.study.search.space), len(grid.rows)) == (8, 2, 3)


def test_my_factors_are_a_row_per_combination() -> None:
    grid = load_grid(str(EXAMPLES / "my_factors.yaml"))
    registry = default_registry()
    preset = Preset(train=PRESETS["demo"].train, model={"teacher": SMALL_TEACHER})
    cells = make_cells(grid, registry, [(registry.complete("dataset", "textures"), ["brick"])], [0], preset)
    made = [(c.spec.model["decoder"]["global"]["scan"], c.spec.model["refiner"]["depth"]) for c in cells]
    scans = ("raster2", "cross4", "hilbert8")
    assert made == [(scan, depth) for scan in scans for depth in (1, 2, 4)][:-1]
    assert grid.reference == "scan=rows and columns, depth=2"


def test_solar_cells_differ_in_training_time_alone() -> None:
    grid = load_grid(str(EXAMPLES / "solar_cells.yaml"))
    registry = default_registry()
    cells = make_cells(grid, registry, [(registry.complete("dataset", "elpv"), ["mono"])], [0], PRESETS["demo"])
    assert [c.spec.train.max_steps for c in cells] == [62, 125, 250, 500, 1000]
    assert {(c.spec.model["optimizer"]["lr"], c.spec.model["lr_refiner"]) for c in cells} == {(0.002, 0.001)}
    assert len({str(c.spec.model) for c in cells}) == 1
