"""Files as `dlkd export` writes them, made by hand: no training and no tracing."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper

HELD = {"format": 1, "dlkd": "0.1.0", "written_by": "dlkd export", "variant": "mean", "dataset": "tiny"}
HELD |= {"category": "disc", "threshold": 100.0}


def write_mean(path: Path, held: dict[str, Any] | None) -> Path:
    """The mean of each pixel's channels as its map, and the largest as the score."""
    axes = [
        helper.make_tensor(name, TensorProto.INT64, (len(value),), value) for name, value in (("c", [3]), ("a", [1, 2]))
    ]
    default = helper.make_tensor("threshold", TensorProto.FLOAT, (), [100.0])
    nodes = [
        helper.make_node("Cast", ["pictures"], ["levels"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["levels", "c"], ["map"], keepdims=0),
        helper.make_node("ReduceMax", ["map", "a"], ["score"], keepdims=0),
        helper.make_node("Greater", ["score", "threshold"], ["label"]),
        helper.make_node("Greater", ["map", "threshold"], ["mask"]),
    ]
    inputs = [
        helper.make_tensor_value_info("pictures", TensorProto.UINT8, ["b", "h", "w", 3]),
        helper.make_tensor_value_info("threshold", TensorProto.FLOAT, ()),
    ]
    shapes = {"score": ["b"], "label": ["b"], "map": ["b", "h", "w"], "mask": ["b", "h", "w"]}
    outputs = [
        helper.make_tensor_value_info(n, TensorProto.BOOL if n in ("label", "mask") else TensorProto.FLOAT, shape)
        for n, shape in shapes.items()
    ]
    graph = helper.make_graph(nodes, "mean", inputs, outputs, [*axes, default])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    if held is not None:
        helper.set_model_props(model, {"dlkd": json.dumps(held)})
    onnx.save(model, path)
    return path


@pytest.fixture
def mean(tmp_path: Path) -> Callable[..., Path]:
    """Writes the file, with other metadata where they are given."""
    return lambda held=HELD, name="mean.onnx": write_mean(tmp_path / name, held)
