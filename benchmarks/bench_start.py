"""How long a user waits before a command does anything, as ratios to `import torch`.

    python benchmarks/bench_start.py --json start.json

Each is a process of its own, as a user starts it, in rounds of all of them beside `python -c "import torch"`. A figure
is the median over rounds of the ratio within a round. `report` is measured until it has read its trials, as what it
draws afterwards takes as long as the figures are many; the finished ablation again includes its whole report.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

BASE = ("-c", "import torch")
READ = """
import sys
from pathlib import Path
import dlkd.ablations.report.content
from dlkd.ablations.run.run_folder import read_run
read_run(Path(sys.argv[1]))
"""
ABLATION = ("-m", "dlkd", "ablate", "untrained", "--category", "brick", "--image-size", "64", "--out", "report")

STARTS: dict[str, tuple[tuple[str, ...], int, float]] = {
    "dlkd --help": (("-m", "dlkd", "--help"), 0, 0.2),
    "dlkd list": (("-m", "dlkd", "list"), 0, 1.2),
    "a mistyped variant": (("-m", "dlkd", "show", "dkld"), 2, 1.2),
    "import dlkd.blocks": (("-c", "import dlkd.blocks"), 0, 1.15),
    "dlkd report, until it draws": (("-c", READ, "report"), 0, 1.5),
    "a finished ablation again": (ABLATION, 0, 3.0),
}
"""By what is waited for: arguments of Python, the exit code, and the most that is allowed."""


def seconds(arguments: Sequence[str], code: int, folder: Path) -> float:
    """Wall time of one process of Python. Raises RuntimeError where it ends with another exit code."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    environment["DLKD_CACHE"] = str(folder / "cache")
    start = time.perf_counter()
    done = subprocess.run([sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    taken = time.perf_counter() - start
    if done.returncode != code:
        raise RuntimeError(f"{' '.join(arguments)} ended with {done.returncode}: {done.stderr.strip()}")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--only", nargs="+", choices=list(STARTS), default=list(STARTS), metavar="WHAT")
    arguments = parser.parse_args()
    load = os.getloadavg()[0]
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if any("report" in STARTS[name][0] for name in arguments.only):
            seconds(ABLATION, 0, folder)
        for i in range(arguments.rounds + 1):
            base = seconds(BASE, 0, folder)
            taken = {name: seconds(*STARTS[name][:2], folder) for name in arguments.only}
            if i:  # the first finds no file in the system's memory
                rounds.append({"import torch": base, **taken})
    targets = []
    for name in arguments.only:
        most = STARTS[name][2]
        ratio = statistics.median(each[name] / each["import torch"] for each in rounds)
        what = f"{name} / import torch"
        targets.append({"what": what, "measured": ratio, "target": f"<= {most}", "met": ratio <= most})
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
