"""Exported files in ONNX Runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlkd.runtime.engine import METADATA, FileError, Outputs, metadata_of, outputs_of


class OnnxEngine:
    """An .onnx file on the CPU. Raises FileError."""

    def __init__(self, file: Path, threads: int | None) -> None:
        try:
            import onnxruntime as ort
        except ImportError:
            raise FileError(f'{file}: needs onnxruntime: pip install onnxruntime, or "dlkd[export]"') from None
        options = ort.SessionOptions()
        options.log_severity_level = 3
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime has a class per status code, none of them a ValueError
            raise FileError(f"{file}: onnxruntime {ort.__version__} cannot load it ({error})") from None
        self.metadata: dict[str, Any] = metadata_of(
            file, self._session.get_modelmeta().custom_metadata_map.get(METADATA)
        )
        self._names = [output.name for output in self._session.get_outputs()]

    def run(self, pictures: NDArray[np.uint8], threshold: float) -> Outputs:
        """See `Engine.run`."""
        found = self._session.run(None, {"pictures": pictures, "threshold": np.array(threshold, np.float32)})
        return outputs_of(dict(zip(self._names, found, strict=True)))
