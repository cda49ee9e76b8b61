"""All benchmarks, one after another, each in its own process: what `make bench` runs.

    python benchmarks/run.py --out runs/bench                      # a quarter of an hour
    python benchmarks/run.py --out runs/bench --only scan dlkd

Leaves `<name>.json` of each benchmark and prints one table of all figures that have a target. A target missed is
no error; a benchmark that fails is. Those that compare with anomalib say so where it is not installed.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
BENCHMARKS: dict[str, list[str]] = {
    "scan": ["--literal"],
    "verdicts": ["--tables", "200"],
    **{
        n: []
        for n in (
            "metrics",
            "data",
            "dlkd",
            "roofline",
            "systems",
            "predict",
            "export",
            "together",
            "start",
            "ablations",
        )
    },
}
"""Names, as in bench_<name>.py, and further arguments."""


def run(name: str, out: Path) -> dict[str, Any]:
    """The figures of one benchmark; `failed` and why, where it did not come to any."""
    path = out / f"{name}.json"
    path.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / f"bench_{name}.py"), "--json", str(path), *BENCHMARKS[name]]
    done = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode or not path.exists():
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        return {"failed": f"exit code {done.returncode}: {said[-1]}"}
    figures: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return figures


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


def table(lines: Sequence[Sequence[str]]) -> str:
    """The rows in columns, as Markdown."""
    rows = [("benchmark", "what", "measured", "target", ""), *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    texts = ["| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows]
    return "\n".join([texts[0], "|" + "|".join("-" * (w + 2) for w in widths) + "|", *texts[1:]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/bench"), help="folder for the figures")
    parser.add_argument("--only", nargs="+", choices=list(BENCHMARKS), default=list(BENCHMARKS), metavar="NAME")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    lines = []
    for name in options.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        lines += lines_of(name, run(name, options.out))
    print(table(lines))
    return int(any(line[-1] == "failed" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
