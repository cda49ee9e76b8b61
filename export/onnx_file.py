"""Exported files of the format ONNX."""

from __future__ import annotations

from pathlib import Path

import torch

from dlkd.export.error import ExportError
from dlkd.export.metadata import Metadata, as_json
from dlkd.export.picture_detector import INPUTS, OUTPUTS, PictureDetector
from dlkd.export.program import cause, program_of, quiet
from dlkd.runtime.engine import METADATA

OPSET = 20


def trace(detector: PictureDetector, path: Path) -> None:
    """Write the graph of a detector, with `threshold` a required input, and without metadata.

    Raises ExportError where PyTorch cannot trace or translate it.
    """
    program = program_of(detector)
    names = OUTPUTS[: len(program.graph_signature.user_outputs)]
    with torch.inference_mode(), quiet():
        try:
            translated = torch.onnx.export(
                program, dynamo=True, opset_version=OPSET, input_names=INPUTS, output_names=names, verbose=False
            )
        except torch.onnx.OnnxExporterError as error:
            why = cause(error.__cause__ or error)
            raise ExportError(f"PyTorch cannot make an ONNX graph of this model: {why}") from error
        assert translated is not None
        translated.save(path)


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
