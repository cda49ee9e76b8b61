"""Exported files in OpenVINO."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlkd.runtime.engine import METADATA, FileError, Outputs, metadata_of, outputs_of


class OpenvinoEngine:
    """An .xml file, with its .bin beside it, on the CPU. Raises FileError."""

    def __init__(self, file: Path, threads: int | None) -> None:
        try:
            import openvino
        except ImportError:
            raise FileError(f'{file}: needs openvino: pip install openvino, or "dlkd[openvino]"') from None
        if not file.with_suffix(".bin").is_file():
            raise FileError(f"{file}: its weights, {file.with_suffix('.bin').name}, are not beside it; copy both files")
        settings: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}  # else bf16 on processors that have it
        if threads is not None:
            settings["INFERENCE_NUM_THREADS"] = threads
        core = openvino.Core()
        try:
            model = core.read_model(file)
            held = model.get_rt_info([METADATA]).astype(str) if model.has_rt_info([METADATA]) else None
            self.metadata: dict[str, Any] = metadata_of(file, held)
            self._model = core.compile_model(model, "CPU", settings)
        except FileError:
            raise
        except Exception as error:  # openvino raises RuntimeError whatever the cause
            raise FileError(f"{file}: openvino {openvino.__version__} cannot load it ({error})") from None
        self._names = [output.get_any_name() for output in self._model.outputs]

    def run(self, pictures: NDArray[np.uint8], threshold: float) -> Outputs:
        """See `Engine.run`."""
        found = self._model({"pictures": pictures, "threshold": np.array(threshold, np.float32)})
        return outputs_of({name: np.array(found[i]) for i, name in enumerate(self._names)})
