"""Exported files of OpenVINO's own format: an .xml with the graph and a .bin with the weights."""

from __future__ import annotations

import os
from pathlib import Path

from dlkd.export import onnx_file
from dlkd.export.error import ExportError
from dlkd.export.metadata import Metadata, as_json
from dlkd.export.picture_detector import PictureDetector
from dlkd.export.program import cause
from dlkd.runtime.engine import METADATA


def trace(detector: PictureDetector, path: Path) -> None:
    """Write a detector's graph, in float32, by way of ONNX. Raises ExportError."""
    import openvino

    graph = path.with_suffix(".onnx")
    onnx_file.trace(detector, graph)
    try:
        model = openvino.convert_model(graph)
    except Exception as error:  # openvino raises RuntimeError whatever the cause
        raise ExportError(f"OpenVINO cannot convert this model's graph: {cause(error)}") from error
    openvino.save_model(model, path, compress_to_fp16=False)
    graph.unlink()


def describe(path: Path, metadata: Metadata) -> None:
    """Give a file its metadata; it has no default of `threshold`, since inputs of OpenVINO have none."""
    import openvino

    model = openvino.Core().read_model(path)
    model.set_rt_info(as_json(metadata), [METADATA])
    again = path.with_name(f"again-{path.name}")
    openvino.save_model(model, again, compress_to_fp16=False)
    for suffix in (".bin", ".xml"):
        os.replace(again.with_suffix(suffix), path.with_suffix(suffix))
