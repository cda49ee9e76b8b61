"""How long a user waits before a command does anything, as ratios to `import torch`.

    python benchmarks/bench_start.py --json start.json

Each is a process of its own, as a user starts it, in rounds of all of them beside `python -c "import torch"`. A figure
is the median over rounds of the ratio within a round. `report` is measured until it has read its trials, as what it
draws afterwards takes as long as the figures are many; the finished grid again includes its whole report, whose figures
have not changed, and its trials and their costs are invented. The first step of a new grid is compared with what Ray
takes anyway: to start, and to have one actor that imports PyTorch and Lightning.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from said import counted, say

BASE = ("-c", "import torch")
READ = """
import sys
from pathlib import Path
import dlkd.ablations.report.content
from dlkd.ablations.stored.run_folder import read_run
read_run(Path(sys.argv[1]))
"""
GRID = (
    *("-m", "dlkd", "ablate", "table4", "table5", "--dataset", "textures", "--seeds", "3", "--out", "report"),
    *("--workers", "1", "--threads", "1"),
)
FILL = """
import json
from pathlib import Path
import numpy as np
from dlkd.ablations.run_grids import load_grids, make_pool, plan_cells
from dlkd.ablations.asked import Asked
from dlkd.ablations.run.costs import FIGURES, measure_costs
from dlkd.cli.console import err
from dlkd.registry import default_registry
from dlkd.training import METRICS
asked = Asked(default_registry(), make_pool(err, 1, 1), ["textures"], seeds=3)
rng = np.random.default_rng(0)
cells = plan_cells(load_grids(["table4", "table5"]), asked, err)
for cell in cells:
    result = {
        "metrics": {name: rng.uniform(0.7, 0.9) for name in METRICS},
        "undefined": {},
        "costs": {"parameters": 1e6, "flops": 1e9, "train_seconds": 9.0, "images_per_second": 50.0},
        "curve": [{"epoch": i, "step": 8 * i + 8, "ckd": 1 / (i + 1), "total": 2 / (i + 1)} for i in range(5)],
        "normal": {"level": 0.0, "threshold": 1.0},
        "alarm": {"threshold": 1.0, "anomalous": 40, "found": 30, "normal": 20, "false_alarms": 2},
    }
    folder = asked.store / cell.key
    folder.mkdir(parents=True)
    (folder / "result.json").write_text(json.dumps(result))
out = Path("report")
out.mkdir()
measure_costs(cells, out, asked.store, asked.pool, measure=lambda *_: {name: rng.uniform(1, 2) for name in FIGURES})
"""
NEW = (
    *("-m", "dlkd", "ablate", "table4", "--dataset", "textures", "--category", "brick", "--steps", "1"),
    *("--image-size", "64", "--batch-size", "4", "--workers", "2", "--store", "new"),
)
FLOOR = """
import tempfile
import ray
with tempfile.TemporaryDirectory(dir="/tmp") as folder:
    ray.init("local", num_cpus=2, num_gpus=0, include_dashboard=False, log_to_driver=False, _temp_dir=folder + "/ray",
             logging_level="ERROR", object_store_memory=100 * 2**20)
    @ray.remote
    class Actor:
        def load(self):
            import torch, lightning
    ray.get(Actor.remote().load.remote())
    print("loaded", flush=True)
    ray.shutdown()
"""
FIRST_STEP = "the first step of a new grid"
MOST_OF_FLOOR = 1.3

STARTS: dict[str, tuple[tuple[str, ...], int, float]] = {
    "dlkd --help": (("-m", "dlkd", "--help"), 0, 0.2),
    "dlkd list": (("-m", "dlkd", "list"), 0, 1.2),
    "a mistyped variant": (("-m", "dlkd", "show", "dkld"), 2, 1.2),
    "import dlkd.blocks": (("-c", "import dlkd.blocks"), 0, 1.15),
    "dlkd report, until it draws": (("-c", READ, "report"), 0, 1.5),
    "a finished grid of 45 cells again": (GRID, 0, 3.0),
}
"""By what is waited for: arguments of Python, the exit code, and the most that is allowed."""


def environment(folder: Path) -> dict[str, str]:
    """Of a user's process, with a cache of its own."""
    kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    return kept | {"DLKD_CACHE": str(folder / "cache"), "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}


def seconds(arguments: Sequence[str], code: int, folder: Path) -> float:
    """Wall time of one process of Python. Raises RuntimeError where it ends with another exit code."""
    say(f"python {' '.join(arguments)}".splitlines()[0][:90])
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment(folder), capture_output=True, text=True
    )
    taken = time.perf_counter() - start
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return taken


def seconds_until(arguments: Sequence[str], begun: Callable[[str], bool], folder: Path) -> float:
    """Time from the start of a process of Python until `begun` is true of what it printed; then it is interrupted."""
    printed = folder / "printed.txt"
    start = time.perf_counter()
    with printed.open("w") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments], cwd=folder, env=environment(folder), stdout=file, stderr=file
        )
    try:
        while not begun(printed.read_text(errors="replace")):
            if process.poll() is not None:
                raise RuntimeError(f"{' '.join(arguments)} ended early: {printed.read_text(errors='replace')}")
            time.sleep(0.02)
        return time.perf_counter() - start
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


def first_step(folder: Path) -> float:
    """Seconds from the command to the end of the first step of a new grid."""
    say(FIRST_STEP)
    shutil.rmtree(folder / "new", ignore_errors=True)
    # A trial of one step says how far it is once that step is done.
    return seconds_until(NEW, lambda _: any((folder / "new").glob("*/progress")), folder)


def floor(folder: Path) -> float:
    """Seconds that Ray takes anyway."""
    say("Ray and one actor")
    return seconds_until(("-c", FLOOR), lambda printed: "loaded" in printed, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    names = [*STARTS, FIRST_STEP]
    parser.add_argument("--only", nargs="+", choices=names, default=names, metavar="WHAT")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    asked = [name for name in arguments.only if name in STARTS]
    rounds: list[dict[str, float]] = []
    steps: list[float] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if any("report" in STARTS[name][0] for name in asked):
            say("a finished grid of 45 cells is made")
            seconds(("-c", FILL), 0, folder)
            seconds(GRID, 0, folder)  # its report, which the next one finds
        for i in counted("round, the first of them not counted", range(arguments.rounds + 1)):
            base = seconds(BASE, 0, folder)
            taken = {name: seconds(*STARTS[name][:2], folder) for name in asked}
            step = first_step(folder) if FIRST_STEP in arguments.only else None
            if i:  # the first finds no file in the system's memory, nor compiled kernels
                rounds.append({"import torch": base, **taken})
                steps += [step / floor(folder)] if step else []
    targets = []
    for name in asked:
        most = STARTS[name][2]
        ratio = statistics.median(each[name] / each["import torch"] for each in rounds)
        what = f"{name} / import torch"
        targets.append({"what": what, "measured": ratio, "target": f"<= {most}", "met": ratio <= most})
    if steps:
        ratio = statistics.median(steps)
        what = f"{FIRST_STEP} / Ray and one actor that imports PyTorch and Lightning"
        targets.append(
            {"what": what, "measured": ratio, "target": f"<= {MOST_OF_FLOOR}", "met": ratio <= MOST_OF_FLOOR}
        )
    figures: dict[str, Any] = {
        "machine": {"cpu": platform.processor(), "cores": os.cpu_count(), "load": load},
        "seconds": {name: statistics.median(each[name] for each in rounds) for name in rounds[0]},
        "targets": targets,
    }
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
