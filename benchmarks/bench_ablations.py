"""The ablation runner: what a cell costs beyond its own work, and the driver's memory, beside plain Ray Tune.

    python benchmarks/bench_ablations.py --json ablations.json     # about four minutes

A cell is a stub that sleeps 50 ms and writes a result, so that everything else is overhead: of Ray, of starting
the workers, of the store and of the display. Plain Ray Tune runs the same sleep as a function trainable, as its
manual shows it: a process for each trial. Each of the two runs in a process of its own, one after the other.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from said import say

STUB_SECONDS = 0.05
WORKERS = 2
WARM = 0.1
"""Share of the cells after which the driver's memory is first looked at: all its parts have been used by then."""


def measure(cells: int = 1000, plain: int = 60) -> dict[str, Any]:
    """Figures of both runs, and the ratios that have targets."""
    ours, theirs = _process("cells", cells), _process("plain", plain)
    values = [
        ("seconds per cell beyond its own", ours["overhead_seconds"], 0.15),
        ("driver's memory, last cell / first tenth", ours["memory_mib"][-1] / ours["memory_mib"][0], 1.05),
    ]
    return {
        "machine": {"cpu": platform.processor(), "cores": os.cpu_count(), "load": os.getloadavg()[0]},
        "runner": ours,
        "plain Ray Tune": theirs,
        "plain / runner, overhead a cell": theirs["overhead_seconds"] / ours["overhead_seconds"],
        "plain / runner, between cells": theirs["between_seconds"] / ours["between_seconds"],
        "targets": [
            {"what": what, "measured": value, "target": f"<= {bound}", "met": value <= bound}
            for what, value, bound in values
        ],
    }


def run_runner(count: int) -> dict[str, Any]:
    """`count` stubs through `run_cells`."""
    from rich.console import Console

    from dlkd.ablations.plan.cells import Cell
    from dlkd.ablations.run.display import Display
    from dlkd.ablations.run.pool import Pool
    from dlkd.ablations.run.runner import run_cells
    from dlkd.ablations.run.worker import CellWorker
    from dlkd.files import write_text
    from dlkd.registry import default_registry
    from dlkd.training import METRICS, PRESETS, TrialSpec

    result = {
        "metrics": dict.fromkeys(METRICS, 0.5),
        "undefined": {},
        "costs": {},
        "curve": [],
        "normal": {"level": 0.0, "threshold": 1.0},
    }

    class StubWorker(CellWorker):
        def _run(self, folder: Path) -> None:
            time.sleep(STUB_SECONDS)
            write_text(folder / "result.json", json.dumps(result))

    ended: list[float] = []
    memory: list[float] = []

    class Watch(Display):
        def finished(self, key: str) -> None:
            super().finished(key)
            ended.append(time.perf_counter())
            if len(ended) % max(1, round(WARM * count)) == 0:
                say(f"{len(ended):,} of {count:,} stubs ended")
                memory.append(_memory())

    registry = default_registry()
    preset = PRESETS["demo"]
    spec = {
        "variant": "dlkd",
        "model": registry.resolve("dlkd", preset=preset.name),
        "dataset": registry.complete("dataset", "textures"),
        "category": "brick",
        "train": preset.train,
    }
    cells = [Cell(f"{i:016x}", TrialSpec(**spec, seed=i), (("stubs", "stub"),)) for i in range(count)]
    with tempfile.TemporaryDirectory() as store:
        begun = time.perf_counter()
        run_cells(
            cells,
            Path(store),
            Pool(workers=WORKERS),
            Watch(Path(store), Console(file=io.StringIO())),
            trainable=StubWorker,
        )
        whole = time.perf_counter() - begun
    if len(ended) != count:
        raise RuntimeError(f"{len(ended)} of {count} stubs ended")
    return {**_figures(whole, ended), "memory_mib": memory}


def run_plain(count: int) -> dict[str, Any]:
    """`count` stubs as Ray Tune's manual has it."""
    import ray
    from ray import tune

    def stub(config: dict[str, Any]) -> None:
        time.sleep(STUB_SECONDS)
        tune.report({"score": config["i"]})

    ended: list[float] = []

    class Watch(tune.Callback):
        def on_trial_complete(self, **info: Any) -> None:
            ended.append(time.perf_counter())
            if len(ended) % 10 == 0:
                say(f"{len(ended)} of {count} stubs ended, plain Ray Tune")

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
    return _figures(whole, ended)


def _figures(whole: float, ended: list[float]) -> dict[str, Any]:
    """Per cell: from the start of Ray to its end, and between the first cell's end and the last's."""
    count, own = len(ended), STUB_SECONDS / WORKERS
    return {
        "cells": count,
        "seconds": whole,
        "overhead_seconds": whole / count - own,
        "between_seconds": (ended[-1] - ended[0]) / (count - 1) - own,
        "load": os.getloadavg()[0],
    }


def _memory() -> float:
    """This process' resident memory in MiB."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS:")) / 1024


def _process(part: str, count: int) -> dict[str, Any]:
    say(f"{count:,} stubs of {STUB_SECONDS * 1000:.0f} ms, {part}")
    command = [sys.executable, str(Path(__file__).resolve()), "--part", part, str(count)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--plain", type=int, default=60, help="cells of plain Ray Tune")
    parser.add_argument("--part", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        part, count = options.part
        print(json.dumps({"cells": run_runner, "plain": run_plain}[part](int(count))))
        return
    figures = measure(options.cells, options.plain)
    for name in ("runner", "plain Ray Tune"):
        run = figures[name]
        print(
            f"{name:16s} {run['cells']:5d} cells {run['seconds']:8.1f} s, a cell beyond its own "
            f"{run['overhead_seconds']:6.3f} s, between cells {run['between_seconds']:6.3f} s, load {run['load']:.1f}"
        )
    print(f"driver's memory, MiB: {', '.join(f'{m:.0f}' for m in figures['runner']['memory_mib'])}")
    for target in figures["targets"]:
        met = "met" if target["met"] else "MISSED"
        print(f"{target['what']:42s} {target['measured']:8.3f}    {target['target']:10s} {met}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
