"""The formats of exported files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dlkd.export import onnx_file, openvino_file, torch_file
from dlkd.export.metadata import Metadata
from dlkd.export.picture_detector import PictureDetector
from dlkd.runtime.engine import Engine
from dlkd.runtime.load import load


@dataclass(frozen=True)
class FileFormat:
    """What is done with the files of a format.

    Attributes:
        trace: writes a detector to a path; raises ExportError.
        describe: gives the file its metadata, in the place of those that it has.
        engine: loads the file to run it.
    """

    trace: Callable[[PictureDetector, Path], None]
    describe: Callable[[Path, Metadata], None]
    engine: Callable[[Path], Engine]


FORMATS: dict[str, FileFormat] = {
    "onnx": FileFormat(onnx_file.trace, onnx_file.describe, load),
    "openvino": FileFormat(openvino_file.trace, openvino_file.describe, load),
    "torch": FileFormat(torch_file.trace, torch_file.describe, torch_file.TorchEngine),
}
