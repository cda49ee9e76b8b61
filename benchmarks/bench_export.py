"""Exported networks in ONNX Runtime and OpenVINO beside PyTorch's own path on a CPU: nodes, seconds to load, latency.

    python benchmarks/bench_export.py --json export.json                      # several minutes, most of them exports
    python benchmarks/bench_export.py --systems dlkd --sides 128 --batches 1

`dlkd`, RD and PatchCore with the same untrained EfficientNet-Lite0, on the same noise, as `exportable` gives them, so
that resizing and reading of pictures are in neither time. A round runs PyTorch and each runtime once, in one process
and with the same threads (`--threads`), so that a busy machine slows all alike; ratios are medians over rounds of the
ratio within a round. PatchCore's bank is of 16 pictures. Nodes are counted with those inside of loops.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import onnxruntime
import torch
from said import say
from torch import Tensor

from dlkd.export.network import exportable
from dlkd.models import Detector
from dlkd.registry import create_model

Run = Callable[[Tensor], object]
MOST_NODES = 1200
MOST_SECONDS = 1.0
MOST_TIMES = 1.6
TEACHER = {"backbone": "tf_efficientnet_lite0", "weights": "random"}
SYSTEMS: dict[str, dict[str, Any]] = {
    "dlkd": {"teacher": TEACHER},
    "reverse_distillation": {"teacher": TEACHER},
    "patchcore": {"teacher": {**TEACHER, "stages": [2, 3]}, "patches": {"pooled": None, "out_channels": None}},
}
PICTURES = 16
"""Of PatchCore's fit."""


def made(name: str, side: int) -> Detector:
    """A model in eval mode; what is fitted is fitted to noise."""
    torch.manual_seed(0)
    model = create_model(name, **SYSTEMS[name]).eval()
    with torch.no_grad():
        model.fit([torch.randn(PICTURES // 2, 3, side, side) for _ in range(2)])
    return model


def write(model: Detector, side: int, path: Path) -> tuple[int, float]:
    """Write a model's graph: its nodes, and the seconds that it took."""
    axes = ({0: torch.export.Dim("b", min=1, max=1024)},)
    start = time.perf_counter()
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        program = torch.export.export(exportable(model), (torch.randn(2, 3, side, side),), dynamic_shapes=axes)
        graph = torch.onnx.export(program, dynamo=True, opset_version=20, verbose=False)
    assert graph is not None
    graph.save(path)
    return nodes(graph.model.graph), time.perf_counter() - start


def nodes(graph: Iterable[Any]) -> int:
    """Of a graph and of those inside of its nodes."""
    return sum(1 + sum(nodes(a.value) for a in n.attributes.values() if a.type.name == "GRAPH") for n in graph)


def in_onnxruntime(path: Path, threads: int) -> Run:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # it would take PyTorch's cores
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: session.run(None, {name: images.numpy()})


def in_openvino(path: Path, threads: int) -> Run:
    import openvino

    settings = {"INFERENCE_NUM_THREADS": threads, "INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino.Core().compile_model(path, "CPU", settings)
    return lambda images: compiled({0: images.numpy()})


def in_pytorch(model: Detector) -> Run:
    def run(images: Tensor) -> object:
        with torch.inference_mode():
            return model.detect(images)

    return run


def latencies(runs: dict[str, Run], images: Tensor, rounds: int) -> dict[str, list[float]]:
    """Seconds of each, round by round, after two of warming up."""
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds + 2):
        for name, run in runs.items():
            start = time.perf_counter()
            run(images)
            taken[name].append(time.perf_counter() - start)
    return {name: each[2:] for name, each in taken.items()}


def measured(name: str, side: int, arguments: argparse.Namespace) -> dict[str, Any]:
    """The figures of one system at one size."""
    say(f"{name} at {side} pixels: exported")
    model = made(name, side)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "network.onnx"
        count, seconds = write(model, side, path)
        start = time.perf_counter()
        runs = {"PyTorch": in_pytorch(model), "ONNX Runtime": in_onnxruntime(path, arguments.threads)}
        load = time.perf_counter() - start
        with contextlib.suppress(ImportError):
            runs["OpenVINO"] = in_openvino(path, arguments.threads)
        figures: dict[str, Any] = {"nodes": count, "export_seconds": seconds, "load_seconds": load, "targets": []}
        for batch in arguments.batches:
            say(f"{name} at {side} pixels: {arguments.rounds} rounds of a batch of {batch}")
            taken = latencies(runs, torch.randn(batch, 3, side, side), arguments.rounds)
            times = {
                other: statistics.median(b / a for a, b in zip(taken["PyTorch"], each, strict=True))
                for other, each in taken.items()
            }
            ms = {other: 1000 * statistics.median(each) for other, each in taken.items()}
            figures[f"batch {batch}"] = {"milliseconds": ms, "times_pytorch": times}
    if name == "dlkd":
        told = f"dlkd at {side} pixels"
        figures["targets"] = [
            target(f"{told}: nodes", count, MOST_NODES),
            target(f"{told}: seconds to load", load, MOST_SECONDS),
        ]
        if 1 in arguments.batches:
            ratio = figures["batch 1"]["times_pytorch"]["ONNX Runtime"]
            figures["targets"].append(target(f"{told}, batch of 1: ONNX Runtime / PyTorch", ratio, MOST_TIMES))
    return figures


def target(what: str, measured: float, most: float) -> dict[str, Any]:
    return {"what": what, "measured": measured, "target": f"<= {most:g}", "met": measured <= most}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the figures here")
    parser.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    parser.add_argument("--sides", nargs="+", type=int, default=[128, 256])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    for name in ("onnxscript", "onnx_ir"):  # each node that cannot be folded is a warning
        logging.getLogger(name).setLevel(logging.ERROR)
    figures: dict[str, Any] = {"threads": arguments.threads, "rounds": arguments.rounds}
    for name in arguments.systems:
        figures[name] = {f"{side} pixels": measured(name, side, arguments) for side in arguments.sides}
    text = json.dumps(figures, indent=2)
    print(text)
    if arguments.json:
        arguments.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
