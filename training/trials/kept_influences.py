"""The influence of every test image on the metrics of a trial, kept with it so that reports need no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dlkd.files import atomic_path
from dlkd.training.trials.trial_folder import INFLUENCES

INFLUENTIAL = ("image_auroc", "pixel_auroc", "pro", "pro_05", "aupimo", "seg_f1")
"""The metrics that have them, see `dlkd.metrics.influences`."""


def keep_influences(folder: Path, labels: NDArray[np.int64], influences: Mapping[str, NDArray[np.float64]]) -> None:
    """Write what `read_influences` gives: labels (n,) of the test images, and influences (n,) by metric."""
    table = np.full(len(labels), np.nan, [("anomalous", bool), *((name, np.float32) for name in INFLUENTIAL)])
    table["anomalous"] = labels == 1
    for name, values in influences.items():
        table[name] = values
    with atomic_path(folder / INFLUENCES) as temporary, temporary.open("wb") as file:
        np.save(file, table, allow_pickle=False)


def read_influences(folder: Path) -> NDArray[Any] | None:
    """A line for each test image (n,), in the category's order; None where the file is missing or broken.

    Fields: anomalous, and the influence on each of `INFLUENTIAL`, NaN where the metric is undefined or leaves the image
    out. A trial of an older dlkd has the first three alone.
    """
    try:
        table: NDArray[Any] = np.load(folder / INFLUENCES, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return None
    names = table.dtype.names or ()
    return table if table.ndim == 1 and names[:1] == ("anomalous",) and set(names[1:]) <= set(INFLUENTIAL) else None
