"""All benchmarks, one after another, each in its own process: what `make bench` runs.

    python benchmarks/run.py --out runs/bench                      # aims at a quarter of an hour
    python benchmarks/run.py --out runs/bench --only scan dlkd
    python benchmarks/run.py --out runs/bench --full               # the sizes of docs/performance.md, much longer

Each part says on standard error what it measures, and is meant to end within three minutes. Where one takes longer, a
line says so, and the part runs on. Leaves `<name>.json` of each benchmark and prints one table of all figures that have
a target, and one of the time of each part, by the clock and of all processors together. A target missed is no error; a
benchmark that fails is. Those that compare with anomalib say so where it is not installed. Threads are those of
PyTorch; set OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).resolve().parent
LIMIT = 180.0
"""Seconds that a part is meant to take at most, without `--full`."""


class Part(NamedTuple):
    """Arguments of a benchmark, by default and with `--full`."""

    short: str = ""
    full: str = ""


BENCHMARKS = {
    "scan": Part("--rounds 15", "--literal"),
    "verdicts": Part("--tables 40", "--tables 200"),
    "metrics": Part("--rounds 2"),
    "data": Part("--rounds 2"),
    "dlkd": Part("--rounds 3", "--bf16"),
    "roofline": Part("--rounds 1"),
    "systems": Part("--rounds 1 --seconds 3 --targets"),
    "predict": Part("--rounds 1"),
    "export": Part("--systems dlkd --sides 128 --rounds 7"),
    "together": Part("--rounds 1"),
    "start": Part("--rounds 1"),
    "ablations": Part("--seeds 1", "--seeds 1 7 74 --plain 60"),
}
"""By name, as in bench_<name>.py."""


def run(name: str, out: Path, *, full: bool) -> dict[str, Any]:
    """The figures of one benchmark; `failed` and why, where it did not come to any. What it says is passed on."""
    path = out / f"{name}.json"
    path.unlink(missing_ok=True)
    part = BENCHMARKS[name]
    asked = (part.full if full else part.short).split()
    command = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", str(path), *asked]
    late = threading.Timer(LIMIT, say, [f"takes longer than {LIMIT:g} s; it runs on", name])
    if not full:
        late.start()
    last = "it said nothing"
    try:
        with subprocess.Popen(
            command, env=os.environ | {"TQDM_DISABLE": "1"},  # bars of anomalib's
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, errors="replace",
        ) as process:  # fmt: skip
            assert process.stderr is not None
            for line in process.stderr:
                if line.strip():
                    last = line.strip()
                    say(line.rstrip(), name)
    finally:
        late.cancel()
    if process.returncode or not path.exists():
        return {"failed": f"exit code {process.returncode}: {last}"}
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return figures


def say(what: str, name: str) -> None:
    """Print a line of one benchmark on standard error."""
    print(f"{name}: {what}", file=sys.stderr, flush=True)


def lines_of(name: str, figures: dict[str, Any]) -> list[tuple[str, str, str, str, str]]:
    """Rows of the table: benchmark, what, measured, target, verdict; wherever in the figures they stand."""
    lines = []
    for word in ("failed", "skipped"):
        if word in figures:
            lines.append((name, figures[word], "", "", word))
    for target in figures.get("targets", []):
        verdict = "met" if target["met"] else "MISSED"
        lines.append((name, target["what"], f"{target['measured']:.3g}", target["target"], verdict))
    for value in figures.values():
        if isinstance(value, dict):
            lines += lines_of(name, value)
    return lines


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """The rows in columns, as Markdown."""
    rows = [head, *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    texts = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([texts[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *texts[1:]])


def _processor_seconds() -> float:
    """Of all processes that this one started and that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for the figures")
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS), metavar="NAME")
    parser.add_argument("--full", action="store_true", help="more rounds and larger sizes, without a limit of time")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    lines, times = [], []
    for name in options.only:
        say(f"starts, load {os.getloadavg()[0]:.1f}", name)
        start, spent = time.perf_counter(), _processor_seconds()
        lines += lines_of(name, run(name, options.out, full=options.full))
        times.append((name, time.perf_counter() - start, _processor_seconds() - spent))
    print(table(("benchmark", "what", "measured", "target", ""), lines))
    print()
    times.append(("all", sum(t[1] for t in times), sum(t[2] for t in times)))
    print(table(("part", "seconds", "of the processor"), [(name, f"{s:.0f}", f"{cpu:.0f}") for name, s, cpu in times]))
    return int(any(line[-1] == "failed" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
