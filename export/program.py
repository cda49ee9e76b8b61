"""The program of a detector, as PyTorch traces it: what files of all formats are made of."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.export import Dim, ExportedProgram

from dlkd.export.error import ExportError
from dlkd.export.picture_detector import PictureDetector
from dlkd.text import shortened

LARGEST = 2**15
"""Pixels of the largest side of a picture that a file takes."""

LARGEST_BATCH = 1024


def program_of(detector: PictureDetector) -> ExportedProgram:
    """The program, for any number of pictures and any size. Raises ExportError where PyTorch cannot trace it.

    PyTorch's ONNX exporter would trace too, but takes a fixed batch where it fails with any.
    """
    height, width = detector.size
    # Of none of the network's sides, so that nothing in the program can depend on one.
    pictures = torch.zeros(2, height + 11, width + 6, 3, dtype=torch.uint8)
    axes = {
        0: Dim("b", min=1, max=LARGEST_BATCH),
        1: Dim("h", min=1, max=LARGEST),
        2: Dim("w", min=1, max=LARGEST),
    }
    with torch.inference_mode(), quiet():
        try:
            return torch.export.export(
                detector, (pictures, torch.tensor(0.0)), dynamic_shapes=(axes, None), strict=False
            )
        except Exception as error:  # PyTorch has many for what it cannot trace
            raise ExportError(f"PyTorch cannot trace this model: {cause(error)}") from error


@contextmanager
def quiet() -> Iterator[None]:
    """Without what exporters and quantisers say of themselves."""
    loggers = [logging.getLogger(name) for name in (None, "onnxscript", "torch.onnx", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)


def cause(error: BaseException) -> str:
    """The first two lines of an error's text, of which the second often says more, or its name."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return shortened(" ".join(lines[:2]) or type(error).__name__, 400)
