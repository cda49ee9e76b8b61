"""Exported files of the format ONNX."""

from __future__ import annotations

import warnings
from pathlib import Path

import torch

from dlkd.export.error import ExportError
from dlkd.export.metadata import Metadata, as_json
from dlkd.export.picture_detector import INPUTS, OUTPUTS, PictureDetector, dynamic_axes, example
from dlkd.runtime.engine import METADATA

OPSET = 20


def trace(module: PictureDetector, path: Path) -> None:
    """Write the graph of a detector, with `threshold` a required input, and without metadata.

    Raises ExportError where PyTorch cannot trace or translate it.
    """
    inputs = example(module.size)
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        names = OUTPUTS[: len(module(*inputs))]
        try:
            program = torch.onnx.export(
                module, inputs, dynamo=True, opset_version=OPSET, dynamic_shapes=dynamic_axes(),
                input_names=INPUTS, output_names=names, verbose=False,
            )  # fmt: skip
        except torch.onnx.OnnxExporterError as error:
            cause = error.__cause__ or error
            raise ExportError(f"PyTorch cannot make a graph of this model: {_first_line(cause)}") from error
        assert program is not None
        program.save(path)


def describe(path: Path, metadata: Metadata) -> None:
    """Give a file its metadata, and its `threshold` the default of them.

    An initialiser that is an input too may be given or left out.
    """
    import onnx

    model = onnx.load(path)
    threshold = onnx.helper.make_tensor("threshold", onnx.TensorProto.FLOAT, (), [metadata["threshold"]])
    for held in [each for each in model.graph.initializer if each.name == "threshold"]:
        model.graph.initializer.remove(held)
    model.graph.initializer.append(threshold)
    kept = {p.key: p.value for p in model.metadata_props} | {METADATA: as_json(metadata)}
    onnx.helper.set_model_props(model, kept)
    onnx.save(model, path)


def _first_line(error: BaseException) -> str:
    return next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
