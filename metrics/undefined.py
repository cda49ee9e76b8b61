"""A metric that is undefined for its data: NaN with a reason."""

from __future__ import annotations

import math


class Undefined(float):
    """Float NaN with a `reason`: what a metric returns where its definition has no value.

    It can be used as any float (`math.isnan` is true, it prints as `nan`), and arithmetic on it gives plain NaN. The
    report shows `reason` in place of the metric.
    """

    reason: str

    def __new__(cls, reason: str) -> Undefined:
        value = super().__new__(cls, math.nan)
        value.reason = reason
        return value

    def __repr__(self) -> str:
        return f"Undefined({self.reason!r})"

    def __str__(self) -> str:
        return "nan"


def why_undefined(value: float) -> str | None:
    """The reason why `value` is undefined, None where it is defined or a plain float."""
    return value.reason if isinstance(value, Undefined) else None
