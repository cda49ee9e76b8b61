"""A whole grid of stubs, from plan to report: what a cell costs beyond its own work, memory, files; how each grows.

    python benchmarks/bench_ablations.py --json ablations.json   # 135 and 945 cells, four minutes
    python benchmarks/bench_ablations.py --json ablations.json --seeds 1 7 74 --plain 60   # and 9,990 cells, 20 minutes

The grids have nine rows and 15 categories of the mean size of MVTec AD's, 115 test images, with one seed and more. A
stub sleeps 50 ms and leaves what a trial leaves, except weights: a result, a description, the influences of its
images, and the pictures of a trial at 256x256, which one trial has made (its file is linked, so that ten thousand fit
on a disk). So everything else is overhead: of the plan, of Ray, of starting the workers, of the store, the display,
the table and the report. Each size runs in a process of its own, one after another. Slopes are those of what is beyond
the smallest size, so that what is there once, such as PyTorch in memory, does not count. Plain Ray Tune (`--plain`)
runs the same sleep as a function trainable, as its manual shows it: a process for each trial.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from said import say

STUB_SECONDS = 0.05
FIRST_SECONDS = 15.0
"""Of the first stub of a process, as a real trial too takes longer than the start of a worker: Tune gives up a worker
that starts where another one, which is done, can take its trial."""
WORKERS = 2
CATEGORIES, ROWS = 15, 9
NORMAL, ANOMALOUS = 31, 84
"""Test images of a category: in MVTec AD 1,725 in 15 categories, 73% of them anomalous."""

GROWS = {
    "plan_seconds": "plan",
    "run_mib": "driver's memory",
    "beyond_seconds": "time beyond the cells' own",
    "table_seconds": "table",
    "report_seconds": "report",
    "parquet_bytes": "parquet",
    "store_bytes": "store",
}


def measure(seeds: list[int], plain: int) -> dict[str, Any]:
    """Figures of every size, and of plain Ray Tune; slopes and ratios that have targets."""
    with tempfile.TemporaryDirectory() as folder:
        say(f"draws {CATEGORIES} categories of {NORMAL + ANOMALOUS} test images")
        draw(Path(folder) / "data")
        say("one trial at 256x256, whose pictures each stub links")
        example = make_example(Path(folder))
        grids = [_process("grid", str(n), folder, str(example)) for n in seeds]
    found: dict[str, Any] = {
        "machine": {"cpu": platform.processor(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "grids": grids,
        "targets": [
            target
            for grid in grids
            for target in (
                _at_most(f"seconds per cell beyond its own, {grid['cells']:,}", grid["beyond_cell"], 0.02),
                _at_most(f"driver's memory, last cell / first tenth, {grid['cells']:,}", grid["memory_ratio"], 1.05),
            )
        ],
    }
    if len(grids) > 2:
        found["slopes"] = {name: slope(grids, name) for name in GROWS}
        found["targets"] += [_near(f"slope of {GROWS[name]}", value) for name, value in found["slopes"].items()]
    if plain:
        theirs = _process("plain", str(plain))
        found["plain Ray Tune"] = theirs
        found["plain / grid, beyond its own a cell"] = theirs["beyond_cell"] / grids[-1]["beyond_cell"]
    return found


def slope(grids: list[dict[str, Any]], name: str) -> float:
    """Of a figure over cells, log-log, between the second size and the last, both beyond the first."""
    cells, figures = ([g[key] - grids[0][key] for g in (grids[1], grids[-1])] for key in ("cells", name))
    if min(figures) <= 0:
        return math.nan  # what is there once, and varies, is larger than what grows
    return math.log(figures[1] / figures[0]) / math.log(cells[1] / cells[0])


def _at_most(what: str, value: float, bound: float) -> dict[str, Any]:
    return {"what": what, "measured": value, "target": f"<= {bound}", "met": value <= bound}


def _near(what: str, value: float) -> dict[str, Any]:
    return {"what": what, "measured": value, "target": "1.0 +- 0.1", "met": abs(value - 1) <= 0.1}


def draw(root: Path) -> None:
    """Categories of a folder in MVTec's layout, of pictures of a few pixels that all differ."""
    from PIL import Image

    rng = np.random.default_rng(0)

    def picture(path: Path, *, mask: bool = False) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        if mask:
            pixels = np.zeros((8, 8), np.uint8)
            pixels[2:5, 2:6] = 255
        Image.fromarray(pixels).save(path)

    for number in range(CATEGORIES):
        category = root / f"category{number:02d}"
        for i in range(8):
            picture(category / "train" / "good" / f"{i:03d}.png")
        for i in range(NORMAL):
            picture(category / "test" / "good" / f"{i:03d}.png")
        for i in range(ANOMALOUS):
            picture(category / "test" / "spot" / f"{i:03d}.png")
            picture(category / "ground_truth" / "spot" / f"{i:03d}_mask.png", mask=True)


def make_cells(root: Path, seeds: int) -> tuple[Any, Any]:
    """The grid of nine rows, and its cells."""
    from dlkd.ablations.plan import cells
    from dlkd.ablations.plan.grid_files import grid_of
    from dlkd.registry import default_registry
    from dlkd.training import PRESETS

    registry = default_registry()
    rows = [
        {"label": f"noise {i / 10:g}", "variant": "dlkd-lfrb", "overrides": {"noise": {"intensity": i / 10}}}
        for i in range(1, ROWS + 1)
    ]
    grid = grid_of({"title": "Stubs", "rows": rows, "reference": rows[1]["label"]}, "stubs")
    node = registry.complete("dataset", {"name": "folder", "root": str(root)})
    categories = sorted(path.name for path in root.iterdir())
    return grid, cells.make_cells(grid, registry, [(node, categories)], range(seeds), PRESETS["demo"])


def make_example(folder: Path) -> Path:
    """A trial of one step at 256x256 on a category: its folder."""
    from dlkd.registry import default_registry
    from dlkd.training import TrialSpec
    from dlkd.training.trials.trial import run_trial

    spec = make_cells(folder / "data", 1)[1][0].spec
    train = spec.train.model_copy(update={"image_size": 256, "max_steps": 1})
    made = folder / "example"
    run_trial(TrialSpec(**{**dict(spec), "train": train}), made, default_registry())
    return made


def make_worker(example: Path) -> type[Any]:
    """A worker of stubs, which leave what the trial in `example` left."""
    from dlkd.ablations.run.worker import CellWorker
    from dlkd.ablations.stored.store import write_description
    from dlkd.files import write_text
    from dlkd.training.trials.kept_influences import INFLUENTIAL, keep_influences
    from dlkd.training.trials.trial_folder import RESULT

    result = json.loads((example / RESULT).read_text(encoding="utf-8"))
    examples = example / "examples.npz"

    class StubWorker(CellWorker):
        is_first = True

        def step(self) -> dict[str, Any]:
            folder = Path(self.cell["store"]) / self.cell["key"]
            begun = time.perf_counter()
            time.sleep(FIRST_SECONDS if self.is_first else STUB_SECONDS)
            self.is_first = False
            rng = np.random.default_rng(int(self.cell["key"][:12], 16))
            metrics = {name: rng.uniform(0.8, 1.0) for name in result["metrics"]}
            labels = np.r_[np.zeros(NORMAL, np.int64), np.ones(ANOMALOUS, np.int64)]
            keep_influences(folder, labels, {name: rng.normal(0, 0.01, len(labels)) for name in INFLUENTIAL})
            os.link(examples, folder / examples.name)
            write_description(folder, self.cell)
            costs = {**result["costs"], "train_seconds": time.perf_counter() - begun}
            write_text(folder / RESULT, json.dumps({**result, "metrics": metrics, "undefined": {}, "costs": costs}))
            return {"done": True, "key": self.cell["key"]}

    return StubWorker


def run_grid(seeds: int, folder: Path, example: Path) -> dict[str, Any]:
    """Plan, run, table and report of a grid, as `dlkd ablate` makes them."""
    from rich.console import Console

    from dlkd.ablations.report.write import write_report
    from dlkd.ablations.run.display import Display
    from dlkd.ablations.run.pool import Pool
    from dlkd.ablations.run.runner import run_cells
    from dlkd.ablations.stored.run_folder import TRIALS, read_run, write_run
    from dlkd.ablations.stored.run_identity import identity_of
    from dlkd.ablations.stored.trials import collect

    figures: dict[str, Any] = {}

    def timed(name: str, begun: float) -> None:
        figures[f"{name}_seconds"] = time.perf_counter() - begun
        figures[f"{name}_mib"] = _memory()

    begun = time.perf_counter()
    grid, cells = make_cells(folder / "data", seeds)
    timed("plan", begun)

    ended: list[float] = []
    memory: list[
        float
    ] = []  # after each tenth of the cells: by the first of them all the driver's parts have been used

    class Watch(Display):
        def finished(self, key: str) -> None:
            super().finished(key)
            ended.append(time.perf_counter())
            if len(ended) % max(1, len(cells) // 10) == 0:
                memory.append(_memory())
            if len(ended) % 1000 == 0:
                say(f"{len(ended):,} of {len(cells):,} stubs ended, the driver has {_memory():.0f} MiB")

    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        store, out = Path(scratch) / "trials", Path(scratch) / "out"
        begun = time.perf_counter()
        with open(os.devnull, "w", encoding="utf-8") as nowhere:
            display, pool = Watch(store, Console(file=nowhere)), Pool(workers=WORKERS)
            run_cells(cells, store, pool, display, trainable=make_worker(example))
        timed("run", begun)
        if len(ended) != len(cells):
            raise RuntimeError(f"{len(ended)} of {len(cells)} stubs ended")
        begun = time.perf_counter()
        trials = collect(cells, store)
        write_run(out, trials, [grid], store, identity_of(cells))
        timed("table", begun)
        say("report")
        begun = time.perf_counter()
        write_report(*read_run(out), out)
        timed("report", begun)
        own = trials.drop_duplicates("key")["train_seconds"].sum() / WORKERS
        figures["parquet_bytes"] = (out / TRIALS).stat().st_size
        figures["report_bytes"] = (out / "report.html").stat().st_size
        figures["store_bytes"] = sum(path.stat().st_size for path in store.rglob("*") if path.is_file())
    return {
        "cells": len(cells),
        **figures,
        "own_seconds": own,
        "beyond_seconds": figures["run_seconds"] - own,
        "beyond_cell": (figures["run_seconds"] - own) / len(cells),
        "memory_ratio": memory[-1] / memory[0],
        "between_cell": (ended[-1] - ended[0] - own + FIRST_SECONDS) / (len(cells) - WORKERS),
        "load": os.getloadavg()[0],
    }


def run_plain(count: int) -> dict[str, Any]:
    """`count` stubs as Ray Tune's manual has it."""
    import ray
    from ray import tune

    def stub(config: dict[str, Any]) -> None:
        time.sleep(STUB_SECONDS)
        tune.report({"score": config["i"]})

    class Watch(tune.Callback):
        ended = 0

        def on_trial_complete(self, **info: Any) -> None:
            self.ended += 1
            if self.ended % 10 == 0:
                say(f"{self.ended} of {count} stubs ended, plain Ray Tune")

        def __getstate__(self) -> dict[str, Any]:
            return {}

    with tempfile.TemporaryDirectory() as scratch:
        begun = time.perf_counter()
        ray.init("local", num_cpus=WORKERS, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
        tune.Tuner(
            stub,
            param_space={"i": tune.grid_search(list(range(count)))},
            run_config=tune.RunConfig(storage_path=scratch, verbose=0, callbacks=[Watch()]),
        ).fit()
        ray.shutdown()
        whole = time.perf_counter() - begun
    return {"cells": count, "run_seconds": whole, "beyond_cell": whole / count - STUB_SECONDS / WORKERS}


def _memory() -> float:
    """This process' resident memory in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _process(part: str, *arguments: str) -> dict[str, Any]:
    say(f"{int(arguments[0]) * (CATEGORIES * ROWS if part == 'grid' else 1):,} stubs, {part}")
    command = [sys.executable, str(Path(__file__).resolve()), "--part", part, *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    """Run, print and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 7], help=f"of grids of {CATEGORIES * ROWS} cells")
    parser.add_argument("--plain", type=int, default=0, help="cells of plain Ray Tune")
    parser.add_argument("--part", nargs="+", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part, count, *paths = options.part
        figures = run_plain(int(count)) if part == "plain" else run_grid(int(count), *map(Path, paths))
        print(json.dumps(figures))
        return
    figures = measure(options.seeds, options.plain)
    print(json.dumps(figures, indent=2))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
