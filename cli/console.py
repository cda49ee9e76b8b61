"""What commands print: results on standard output, everything else on standard error."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from dlkd.text import Terminal, text_table

out = Terminal()
err = Terminal(stderr=True)


def print_metrics(metrics: Mapping[str, float], undefined: Mapping[str, str]) -> None:
    """A table of metrics; of the undefined ones the reason."""
    table = text_table("metric", "value")
    for name, value in metrics.items():
        table.add_row(name, f"undefined: {undefined[name]}" if name in undefined else f"{value:.4f}")
    out.print(table)


def say_undrawn() -> None:
    """Say once what pictures show as numbers."""
    drawing = sys.modules.get("dlkd.drawing")  # loaded by what draws
    if drawing is not None and (missing := drawing.undrawn()):
        some = missing if len(missing) <= 20 else f"{missing[:20]} and {len(missing) - 20} more"
        err.print(f"note: no font of this machine has {some}; pictures show [1], [2], ... in their place")
