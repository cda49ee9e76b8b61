"""Two small trainings at once beside one alone: they share the cores, and must not spin for each other's.

    python benchmarks/bench_together.py --json together.json

Runs `dlkd train` as a user does, each time as a new process, in rounds of one alone and then two at once. The figure
is the median over rounds of the ratio within a round: wall time until the slower of two is done / of one alone. Two
that share the cores fairly take twice as long where one alone fills them. Start-up is in both.
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
from pathlib import Path
from typing import Any

from said import counted, say

TARGET = 2.4


def seconds(count: int, steps: int, folder: Path) -> float:
    """Wall time until `count` trainings that start at once have all ended."""
    environment = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    environment["DLKD_CACHE"] = str(folder / "cache")
    command = [sys.executable, "-m", "dlkd", "train", "dlkd", "--category", "brick", "--steps", str(steps), "--out"]
    start = time.perf_counter()
    running = []
    for i in range(count):
        out = folder / f"trial-{time.monotonic_ns()}-{i}"
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
        running.append(subprocess.Popen([*command, str(out)], env=environment, **quiet))  # type: ignore[call-overload]
    for process in running:
        said = process.communicate()[1]
        if process.returncode:
            raise RuntimeError(f"dlkd train ended with {process.returncode}: {said.strip()}")
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=10)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        load = os.getloadavg()[0]
        say("data, weights and kernels are made")
        seconds(1, 1, Path(temporary))  # data, weights and compiled kernels are there from now on
        rounds = [
            [seconds(count, arguments.steps, Path(temporary)) for count in (1, 2)]
            for _ in counted("one alone, then two at once, round", range(arguments.rounds))
        ]
    ratio = statistics.median(together / alone for alone, together in rounds)
    row = {"what": "two trainings at once / one alone", "measured": ratio, "target": f"<= {TARGET}"}
    found: dict[str, Any] = {
        "machine": {"cpu": platform.processor(), "cores": os.cpu_count(), "load": load},
        "seconds of one alone": statistics.median(alone for alone, _ in rounds),
        "seconds of two at once": statistics.median(together for _, together in rounds),
        "targets": [row | {"met": ratio <= TARGET}],
    }
    text = json.dumps(found, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
