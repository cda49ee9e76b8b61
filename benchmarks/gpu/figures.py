"""The figures of one part of `make gpu`, written after each of them: a part that is stopped leaves what it has."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch


@dataclass(frozen=True)
class Figure:
    """One figure.

    Attributes:
        figure: what was measured.
        value: of it, in `unit`.
        unit: "ms", "GB/s" and so on; "" for a ratio alone.
        ratio: to what `figure` names, if it is one.
        target: of the ratio, as in "<= 1", or "".
        met: whether the ratio meets it; None without a target.
        note: more about it.
    """

    figure: str
    value: float | None = None
    unit: str = ""
    ratio: float | None = None
    target: str = ""
    met: bool | None = None
    note: str = ""


class Figures:
    """Collects figures, prints each, and rewrites `path` with all of them.

    Args:
        path: of the JSON file.
        judged: whether ratios are compared with their targets; those of a dry run say nothing.
    """

    def __init__(self, path: Path, *, judged: bool = True) -> None:
        self.path = path
        self.judged = judged
        self.found: list[Figure] = []

    def add(
        self, figure: str, value: float | None = None, unit: str = "", *,
        ratio: float | None = None, most: float | None = None, note: str = "",
    ) -> None:  # fmt: skip
        """A figure; `most` is the target of its ratio."""
        judged = self.judged and most is not None and ratio is not None
        target, met = (f"<= {most:g}", ratio <= most) if judged else ("", None)
        self.found.append(Figure(figure, value, unit, ratio, target, met, note))
        shown = "" if value is None else f"{value:.4g} {unit}"
        print(f"  {figure}: {shown}" + ("" if ratio is None else f" (ratio {ratio:.3g})"), flush=True)
        self.path.write_text(json.dumps([asdict(one) for one in self.found], indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Asked:
    """What a part is asked for.

    Attributes:
        figures: where they go.
        out: folder of the whole run, with the figures of the parts before.
        device: of the measurements.
        dry: tiny sizes, to show that the program runs.
    """

    figures: Figures
    out: Path
    device: torch.device
    dry: bool


def asked(description: str | None) -> Asked:
    """The arguments that each part takes."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, required=True, help="write the figures here")
    parser.add_argument("--device", type=torch.device, default=torch.device("cuda"))
    parser.add_argument("--dry-run", action="store_true", help="tiny sizes")
    given = parser.parse_args()
    return Asked(Figures(given.json, judged=not given.dry_run), given.json.parent, given.device, given.dry_run)
