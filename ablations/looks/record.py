"""Records each look at a run's comparisons in its folder, and says it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.families import Family, deciding, family
from dlkd.ablations.report.tables import trials_of
from dlkd.ablations.report.words.looks import added, look
from dlkd.ablations.run.display import Display
from dlkd.ablations.statistics.verdict import judge
from dlkd.ablations.stored.run_folder import TRIALS, read_run
from dlkd.files import write_text
from dlkd.text import plain

LOOKS = "looks.csv"
COLUMNS = ["time", "table", "row", "other", "seeds", "max_seeds", "estimate", "low", "high", "p", "verdict"]
"""`max_seeds` is empty where the report was read as one whose number of seeds was fixed beforehand."""


class Looks:
    """The looks at a run, in its folder and on its display."""

    def __init__(self, folder: Path, display: Display) -> None:
        self._folder = folder
        self._display = display

    def looked(self, grid: Grid, found: Family) -> None:
        """A look of the run itself."""
        record_looks(self._folder, grid.name, found.looks, grid.until_decided)
        self._display.looked(look(grid, found))

    def earlier(self, judged: Sequence[Grid]) -> None:
        """The look that was the report of a finished run, which `judged` says that seeds are added to."""
        if not any(grid.added_to for grid in judged) or not (self._folder / TRIALS).exists():
            return
        trials, grids, _ = read_run(self._folder)
        read = datetime.fromtimestamp((self._folder / TRIALS).stat().st_mtime, UTC)
        before = {grid.name: grid for grid in grids if grid.until_decided is None}
        for grid in judged:
            if grid.added_to and (fixed := before.get(grid.name)):
                found = family(trials_of(trials, fixed), fixed, fixed.primary_metric, deciding(fixed))
                pairs = [comparison.pairs for comparison in found.comparisons]
                lines = judge(pairs, "these", max_seeds=None, margin=fixed.margin, alpha=0.05)
                record_looks(
                    self._folder, grid.name, [{"seeds": line["n_seeds"], **line} for line in lines], None, read
                )
                self._display.note(f"{grid.name}: {added(grid)}")

    def end(self, judged: Sequence[Grid], trials: pd.DataFrame) -> None:
        """Say how many seeds each comparison took; record the looks at grids whose seeds were typed."""
        for grid in judged:
            if grid.until_decided is not None:
                found = family(trials_of(trials, grid), grid, grid.primary_metric, deciding(grid))
                record_looks(self._folder, grid.name, found.looks, grid.until_decided)
                self._display.note(look(grid, found))


def record_looks(
    folder: Path, table: str, looks: Iterable[Mapping[str, Any]], max_seeds: int | None, time: datetime | None = None
) -> None:
    """Add the looks at a table that the file does not hold yet: lines of `verdict.verdicts` with a column `seeds`.

    A resumed run looks at stored results once more, which is no further look.
    """
    path = folder / LOOKS
    earlier = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    known = {line.partition(",")[2] for line in earlier}
    when = (time or datetime.now(UTC)).isoformat(timespec="seconds")
    common = {"time": when, "table": table, "max_seeds": "" if max_seeds is None else max_seeds}
    lines = pd.DataFrame([{**look, **common} for look in looks]).reindex(columns=COLUMNS).map(_plain)
    written = lines.to_csv(index=False, lineterminator="\n", float_format="%.6g").splitlines()
    new = [line for line in written[1:] if line.partition(",")[2] not in known]
    if new:
        folder.mkdir(parents=True, exist_ok=True)
        write_text(path, "\n".join([*(earlier or written[:1]), *new]) + "\n")


def _plain(value: Any) -> Any:
    return plain(value) if isinstance(value, str) else value
