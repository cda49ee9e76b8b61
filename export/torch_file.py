"""Exported files of PyTorch's own format, which load without dlkd: `torch.export.load(path).module()`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dlkd.export.metadata import Metadata, as_json
from dlkd.export.picture_detector import OUTPUTS, PictureDetector
from dlkd.export.program import program_of, quiet
from dlkd.runtime.engine import METADATA, Outputs, outputs_of


def trace(detector: PictureDetector, path: Path) -> None:
    """Write a detector's program. Raises ExportError where PyTorch cannot trace it."""
    program = program_of(detector)
    with quiet():
        torch.export.save(program, path)


def describe(path: Path, metadata: Metadata) -> None:
    """Give a file its metadata, as an extra file."""
    with quiet():
        torch.export.save(torch.export.load(path), path, extra_files={METADATA: as_json(metadata)})


class TorchEngine:
    """A file of this format, as `dlkd.runtime` runs the others."""

    def __init__(self, path: Path) -> None:
        held = {METADATA: ""}
        with quiet():
            self._module: Any = torch.export.load(path, extra_files=held).module()
        self.metadata: dict[str, Any] = json.loads(held[METADATA])

    def run(self, pictures: NDArray[np.uint8], threshold: float) -> Outputs:
        """See `dlkd.runtime.engine.Engine.run`."""
        with torch.inference_mode():
            found = self._module(torch.from_numpy(pictures), torch.tensor(threshold, dtype=torch.float32))
        return outputs_of({name: each.numpy() for name, each in zip(OUTPUTS, found, strict=False)})
