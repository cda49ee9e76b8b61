"""Exported files of PyTorch's own format, which load without dlkd: `torch.export.load(path).module()`."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlkd.export.error import ExportError
from dlkd.export.metadata import Metadata, as_json
from dlkd.export.picture_detector import OUTPUTS, PictureDetector, dynamic_axes, example
from dlkd.runtime.engine import METADATA, Outputs, outputs_of


def trace(module: PictureDetector, path: Path) -> None:
    """Write a detector's program. Raises ExportError where PyTorch cannot trace it."""
    with torch.inference_mode(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about itself
        try:
            program = torch.export.export(module, example(module.size), dynamic_shapes=dynamic_axes(), strict=False)
        except Exception as error:  # PyTorch has many for what it cannot trace
            first = next(iter(str(error).splitlines()), type(error).__name__)
            raise ExportError(f"PyTorch cannot make a program of this model: {first}") from error
        torch.export.save(program, path)


def describe(path: Path, metadata: Metadata) -> None:
    """Give a file its metadata, as an extra file."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.export.save(torch.export.load(path), path, extra_files={METADATA: as_json(metadata)})


class TorchEngine:
    """A file of this format, as `dlkd.runtime` runs the others."""

    def __init__(self, path: Path) -> None:
        held = {METADATA: ""}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._module: Any = torch.export.load(path, extra_files=held).module()
        self.metadata: dict[str, Any] = json.loads(held[METADATA])

    def run(self, pictures: NDArray[np.uint8], threshold: float) -> Outputs:
        """See `dlkd.runtime.engine.Engine.run`."""
        with torch.inference_mode():
            found = self._module(torch.from_numpy(pictures), torch.tensor(threshold, dtype=torch.float32))
        return outputs_of({name: each.numpy() for name, each in zip(OUTPUTS, found, strict=False)})
