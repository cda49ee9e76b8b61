"""What runs an exported file, and what it says of itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

FORMAT = 1
"""Of the inputs, outputs and metadata; a file of a later one is refused."""

METADATA = "dlkd"
"""Where a file holds its metadata, as JSON."""


class FileError(ValueError):
    """An exported file that cannot be run; names it, and says what to do instead."""


class Outputs(NamedTuple):
    """The outputs of a file for b pictures of one size (h, w).

    Attributes:
        score: float32 (b,).
        label: whether it is above the threshold, bool (b,).
        map: float32 (b, h, w); None from a model without maps.
        mask: whether the map is above the threshold, bool (b, h, w), or None.
    """

    score: NDArray[np.float32]
    label: NDArray[np.bool_]
    map: NDArray[np.float32] | None
    mask: NDArray[np.bool_] | None


class Engine(Protocol):
    """A loaded file.

    Attributes:
        metadata: as the file holds it.
    """

    metadata: dict[str, Any]

    def run(self, pictures: NDArray[np.uint8], threshold: float) -> Outputs:
        """The outputs for pictures (b, h, w, 3)."""
        ...


def metadata_of(file: Path, text: str | None) -> dict[str, Any]:
    """A file's metadata from its JSON. Raises FileError where there is none, or of a later format."""
    try:
        found = json.loads(text or "")
        form = int(found["format"])
    except (ValueError, KeyError, TypeError):
        raise FileError(f"{file}: no detector of dlkd's: its metadata lack '{METADATA}'; use `dlkd export`") from None
    if form > FORMAT:
        raise FileError(
            f"{file}: written by dlkd {found.get('dlkd')} in format {form}; this one reads {FORMAT}: update"
        )
    return dict(found)


def outputs_of(by_name: dict[str, NDArray[Any]]) -> Outputs:
    """The outputs from arrays by their names."""
    return Outputs(by_name["score"], by_name["label"].astype(bool), by_name.get("map"), by_name.get("mask"))
