"""The selective scan: time against one torch.exp over its b*d*l*n states, growth with length, added memory.

    python benchmarks/bench_scan.py --json scan.json               # about a minute
    python benchmarks/bench_scan.py --json scan.json --literal     # and the step-by-step recurrence, a minute more

Everything is timed in one process, in rounds that run each candidate once, so that a busy machine slows all
alike; ratios are medians over rounds of the ratio within a round. Threads are PyTorch's; set OMP_NUM_THREADS.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from said import counted, say
from torch import Tensor

from dlkd.blocks.scan import selective_scan
from dlkd.training.memory import kept_memory

SHAPE = (8, 128, 1024, 16)  # b, d, l, n
LENGTHS = [256, 1024, 4096, 16384, 65536]
Inputs = dict[str, Tensor]


def make_inputs(b: int, d: int, length: int, n: int) -> Inputs:
    """Inputs of a trained scan's magnitude, float32, that need gradients."""
    torch.manual_seed(0)
    inputs = {
        "u": torch.randn(b, d, length),
        "dt": torch.rand(b, d, length) / 10,
        "A": -torch.arange(1.0, n + 1).repeat(d, 1),
        "B": torch.randn(b, n, length),
        "C": torch.randn(b, n, length),
        "D": torch.ones(d),
    }
    return {name: x.requires_grad_() for name, x in inputs.items()}


def literal_scan(u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """The recurrence as one would write it first, in PyTorch."""
    h = u.new_zeros(u.shape[0], *A.shape)
    steps = []
    for t in range(u.shape[2]):
        h = (dt[:, :, t, None] * A).exp() * h + (dt[:, :, t] * u[:, :, t])[..., None] * B[:, None, :, t]
        steps.append((h * C[:, None, :, t]).sum(-1))
    return torch.stack(steps, dim=-1) + D[:, None] * u


def forward(scan: Callable[..., Tensor], inputs: Inputs, **options: Any) -> Callable[[], object]:
    def run() -> object:
        with torch.no_grad():
            return scan(**inputs, **options)

    return run


def training(scan: Callable[..., Tensor], inputs: Inputs, **options: Any) -> Callable[[], object]:
    seed = torch.randn(inputs["u"].shape)
    return lambda: torch.autograd.grad(scan(**inputs, **options), list(inputs.values()), seed)


def seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def rounds(candidates: dict[str, Callable[[], object]], count: int) -> dict[str, list[float]]:
    """Seconds of each candidate in each round, after one call each that is not timed."""
    said = counted(f"{', '.join(candidates)}: round", range(count))
    for run in candidates.values():
        run()
    timed = [{name: seconds(run) for name, run in candidates.items()} for _ in said]
    return {name: [r[name] for r in timed] for name in candidates}


def ratio(times: dict[str, list[float]], name: str, to: str) -> float:
    return statistics.median(a / b for a, b in zip(times[name], times[to], strict=True))


def measure_speed(count: int, *, literal: bool) -> dict[str, Any]:
    """Medians at SHAPE and the ratios that have targets."""
    inputs = make_inputs(*SHAPE)
    exponents = -torch.rand(SHAPE)
    out = torch.empty_like(exponents)
    fast = {
        "torch.exp": lambda: torch.exp(exponents, out=out),
        "numba forward": forward(selective_scan, inputs, backend="numba"),
        "numba training": training(selective_scan, inputs, backend="numba"),
    }
    with kept_memory():  # the scan allocates what it gives, as in a trial; torch.exp has its memory
        times = rounds(fast, count)
    slow = {
        "numba training": fast["numba training"],
        "torch forward": forward(selective_scan, inputs, backend="torch"),
        "torch training": training(selective_scan, inputs, backend="torch"),
    }
    slow_times = rounds(slow, max(3, count // 8))
    targets = [
        ("numba forward / torch.exp", ratio(times, "numba forward", "torch.exp"), "<=", 0.45),
        ("numba training / torch.exp", ratio(times, "numba training", "torch.exp"), "<=", 1.4),
        ("torch training / numba training", ratio(slow_times, "torch training", "numba training"), ">=", 20.0),
    ]
    medians = {name: statistics.median(t) for name, t in {**slow_times, **times}.items()}
    if literal:
        say("the literal recurrence, once")
        medians["literal forward"] = seconds(forward(literal_scan, inputs))
        medians["literal training"] = seconds(training(literal_scan, inputs))
        against = medians["literal training"] / statistics.median(seconds(fast["numba training"]) for _ in range(5))
        targets.append(("literal training / numba training", against, ">=", 300.0))
    return {
        "shape": SHAPE,
        "median_seconds": medians,
        "targets": [
            {
                "what": what,
                "measured": value,
                "target": f"{sign} {bound}",
                "met": value <= bound if sign == "<=" else value >= bound,
            }
            for what, value, sign, bound in targets
        ],
    }


def measure_growth(count: int) -> dict[str, Any]:
    """Slope of log(seconds) and of log(added memory) over log(l), forward and backward."""
    inputs = {length: make_inputs(8, 128, length, 16) for length in LENGTHS}
    candidates = {str(length): training(selective_scan, x, backend="numba") for length, x in inputs.items()}
    times = {int(name): statistics.median(t) for name, t in rounds(candidates, count).items()}
    memory = {length: added_memory(length) for length in LENGTHS[2:]}  # below, a process's own noise is larger
    result: dict[str, Any] = {"seconds": times, "added_bytes_over_u": memory, "targets": []}
    for what, values, sizes in (
        ("slope of time in l", list(times.values()), LENGTHS),
        ("slope of memory in l", [m * length for length, m in memory.items()], LENGTHS[2:]),
    ):
        slope = float(np.polyfit(np.log(sizes), np.log(values), 1)[0])
        result["targets"].append(
            {"what": what, "measured": slope, "target": "1.0 +- 0.1", "met": abs(slope - 1) <= 0.1}
        )
    result["targets"].append(
        {
            "what": "peak memory beyond gradients / u",
            "measured": max(memory.values()),
            "target": "<= 3",
            "met": max(memory.values()) <= 3,
        }
    )
    return result


def added_memory(length: int) -> float:
    """Peak that forward and backward add to a process beyond the gradients, over the size of u."""
    say(f"memory at l = {length:,}")
    program = (
        "import re, bench_scan\n"  # not getrusage's peak: a child's starts from its parent's
        "def memory(field): return int(re.search(field + r':\\s+(\\d+)', open('/proc/self/status').read())[1]) * 1024\n"
        "bench_scan.training(bench_scan.selective_scan, bench_scan.make_inputs(1, 4, 64, 16), backend='numba')()\n"
        f"inputs = bench_scan.make_inputs(8, 128, {length}, 16)\n"
        "run = bench_scan.training(bench_scan.selective_scan, inputs, backend='numba')\n"
        "before = memory('VmRSS')\n"
        "gradients = sum(g.nbytes for g in run())\n"
        "print((memory('VmHWM') - before - gradients) / inputs['u'].nbytes)\n"
    )
    here = Path(__file__).parent
    run = subprocess.run([sys.executable, "-c", program], cwd=here, capture_output=True, text=True, check=True)
    return float(run.stdout)


def measure(rounds: int = 41, *, literal: bool = False) -> dict[str, Any]:
    """All figures: medians, ratios with their targets, growth."""
    return {
        "machine": {"cpu": platform.processor(), "threads": torch.get_num_threads(), "torch": torch.__version__},
        "speed": measure_speed(rounds, literal=literal),
        "growth": measure_growth(max(3, rounds // 8)),
    }


def main(arguments: Sequence[str] | None = None) -> dict[str, Any]:
    """Measure, print a table, write JSON where asked; returns the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=41)
    parser.add_argument("--literal", action="store_true", help="time the step-by-step recurrence too")
    options = parser.parse_args(arguments)
    figures = measure(options.rounds, literal=options.literal)
    for name, value in figures["speed"]["median_seconds"].items():
        print(f"{name:34s} {value * 1000:10.2f} ms")
    for target in [*figures["speed"]["targets"], *figures["growth"]["targets"]]:
        verdict = "met" if target["met"] else "MISSED"
        print(f"{target['what']:34s} {target['measured']:10.2f}    {target['target']:10s} {verdict}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return figures


if __name__ == "__main__":
    main()
