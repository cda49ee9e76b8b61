"""Parts of a model that are fitted to normal images without gradient."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from dlkd.models.parts.anomaly_map import Combine


def standardising(model: str, make: Callable[..., nn.Module] | None, scales: int, combine: Combine) -> Any:
    """The part in a model's slot `standardise`, for so many maps, or None.

    Raises:
        ValueError: it has no `fit`, or the maps are multiplied.
    """
    if make is None:
        return None
    if combine == "product":
        raise ValueError(
            f"{model}: standardised maps have both signs, and their product says nothing; with standardise, set "
            f"combine: sum or mean"
        )
    return with_fit(model, "standardise", make(scales), like="standardise")


def with_fit(model: str, slot: str, part: nn.Module, *, like: str) -> nn.Module:
    """The part itself. Raises ValueError if it has no `fit`, and names a component `like` that has one."""
    if not callable(getattr(part, "fit", None)):
        raise ValueError(f"{model}: {slot} must have a `fit`, as `{like}` has; got {type(part).__name__}")
    return part
