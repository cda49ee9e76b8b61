"""What can be asked of an export, known before a model or PyTorch is loaded."""

from __future__ import annotations

import math
import mmap
from importlib.util import find_spec
from pathlib import Path

from dlkd.export.error import ExportError

SUFFIXES: dict[str, str] = {"onnx": ".onnx", "openvino": ".xml", "torch": ".pt2"}
"""Of the files of each format."""

_ONNX = ("onnx", "onnxruntime", "onnxscript")
_NEEDS: dict[str, dict[str, tuple[str, ...]]] = {
    "onnx": {"export": _ONNX},
    "openvino": {"export": _ONNX, "openvino": ("openvino",)},
    "torch": {},
}
"""Of each format the libraries, by the extra of dlkd that installs them."""

WRITER = "dlkd export"
"""What every exported file holds, in its metadata, so that no other file is replaced."""


def check_asked(path: Path, format: str, threshold: float | None, int8: bool) -> None:
    """Raise ExportError where a file of the format cannot be written to `path` as asked."""
    if format not in SUFFIXES:
        raise ExportError(f"unknown format '{format}'; the formats are {', '.join(SUFFIXES)}")
    if path.suffix != SUFFIXES[format]:
        wanted = path.with_suffix(SUFFIXES[format]).name if path.name else f"detector{SUFFIXES[format]}"
        raise ExportError(f"{path}: a file of the format {format} ends in {SUFFIXES[format]}, such as {wanted}")
    weights = path.with_suffix(".bin")
    others = [weights] if format == "openvino" and weights.exists() and not path.exists() else []
    others += [path] if path.exists() and not _is_exported(path) else []
    for other in others:
        raise ExportError(f"{other}: is there already and no file of `dlkd export`; name another, or delete it")
    if threshold is not None and not math.isfinite(threshold):
        raise ExportError(f"the threshold must be a finite number, got {threshold}")
    if int8 and format != "onnx":
        raise ExportError(f"int8 files are of the format onnx, got {format}")
    for extra, libraries in _NEEDS[format].items():
        if missing := [name for name in libraries if find_spec(name) is None]:
            raise ExportError(f'the format {format} needs {", ".join(missing)}: pip install "dlkd[{extra}]"')


def _is_exported(path: Path) -> bool:
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as held:
        return held.find(WRITER.encode()) >= 0
