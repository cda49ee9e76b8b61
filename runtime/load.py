"""Loads an exported file into the runtime that its suffix asks for."""

from __future__ import annotations

from pathlib import Path

from dlkd.runtime.engine import Engine, FileError
from dlkd.runtime.onnx_engine import OnnxEngine
from dlkd.runtime.openvino_engine import OpenvinoEngine


def load(file: Path, threads: int | None = None) -> Engine:
    """The engine of a file by its suffix. Raises FileError."""
    if not file.is_file():
        raise FileError(f"{file}: no such file; `dlkd export` writes one")
    if file.suffix == ".onnx":
        return OnnxEngine(file, threads)
    if file.suffix == ".xml":
        return OpenvinoEngine(file, threads)
    if file.suffix == ".pt2":
        raise FileError(f"{file}: needs PyTorch: torch.export.load(file).module()(pictures, threshold)")
    raise FileError(f"{file}: an exported detector ends in .onnx or .xml (OpenVINO); `dlkd export` writes one")
