"""What is known of a grid's comparisons before it runs: from its finished trials, or from an earlier run's table."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.report.deciding import deciding_pairs
from dlkd.ablations.report.tables import trials_of
from dlkd.ablations.statistics.pairs import Pairs
from dlkd.ablations.statistics.power import Noise
from dlkd.ablations.stored.run_folder import TRIALS, read_run

SETTINGS = ("dataset", "image_size", "epochs", "max_steps")


@dataclass(frozen=True)
class Known:
    """A comparison of a grid with the pairs that are known of it.

    Attributes:
        pairs: of the comparison.
        source: folder that they are from: the store, or an earlier run's.
        other_settings: in words, how that run's trials differ from the grid's; empty for the store.
    """

    pairs: Pairs
    source: Path
    other_settings: str = ""

    @property
    def varies(self) -> bool:
        """Whether the noise can be found from the pairs."""
        return Noise.of(self.pairs) is not None


def known_comparisons(grid: Grid, trials: pd.DataFrame, store: Path, folder: Path) -> list[Known]:
    """Each comparison that the grid's headline is about.

    Its pairs are those of the grid's own trials, if two of one category are finished; else those of the grid's earlier
    table in `folder`, or in the newest folder beside it that has one.

    Args:
        grid: the table.
        trials: of the grid in long form, with all seeds that the store has.
        store: folder of all trials.
        folder: where the grid's results would go.
    """
    found = [Known(pairs, store) for pairs in deciding_pairs(trials, grid)]
    for path, earlier in _earlier(grid, folder):
        if all(known.varies for known in found):
            break
        said = _other_settings(earlier, trials)
        there = {pairs.row: Known(pairs, path, said) for pairs in deciding_pairs(earlier, grid)}
        for i, known in enumerate(found):
            other = there[known.pairs.row]
            found[i] = other if other.varies and not known.varies else known
    return found


def _earlier(grid: Grid, folder: Path) -> Iterator[tuple[Path, pd.DataFrame]]:
    """The grid's tables in `folder` and in the folders beside it, the newest first, with the folders."""
    beside = sorted(folder.parent.glob(f"*/{TRIALS}"), key=lambda path: path.stat().st_mtime, reverse=True)
    for path in [folder / TRIALS, *beside]:
        try:
            yield path.parent, trials_of(read_run(path.parent)[0], grid)
        except ValueError:  # there is none, it cannot be read, or it has no such table
            continue


def _other_settings(earlier: pd.DataFrame, trials: pd.DataFrame) -> str:
    said = []
    for name in SETTINGS:
        theirs, ours = (list(dict.fromkeys(frame[name].astype(str))) for frame in (earlier, trials))
        if set(theirs) != set(ours):
            said.append(f"{name} {', '.join(theirs)} instead of {', '.join(ours)}")
    return "; ".join(said)
