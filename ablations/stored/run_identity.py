"""What the rows and the data of a run are, by contents: what another run is compared with, and never its labels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from dlkd.ablations.plan.cells import Cell
from dlkd.data import dataset_labels
from dlkd.text import plain, shortened
from dlkd.training.trials.identity import differences

Row = tuple[str, str]
"""Table and label of a row."""
Place = tuple[str, str]
"""Dataset, as tables call it, and category."""

SHOWN = 4
"""So many changes are named."""
WIDEST = 120


@dataclass(frozen=True)
class RunIdentity:
    """The part of its trials' identities that each row and each category of a run has.

    Attributes:
        rows: model and training of each row.
        data: the dataset node of each category, with a digest of its files in the place of their paths.
    """

    rows: Mapping[Row, dict[str, Any]] = field(default_factory=dict)
    data: Mapping[Place, dict[str, Any]] = field(default_factory=dict)

    def as_data(self) -> dict[str, Any]:
        """As plain data, for a file."""
        return {name: [[*names, made] for names, made in part.items()] for name, part in vars(self).items()}

    @classmethod
    def from_data(cls, given: Mapping[str, Any]) -> RunIdentity:
        """What `as_data` gave; nothing where it is not there. Raises TypeError or ValueError where it is broken."""
        rows, data = given.get("rows", ()), given.get("data", ())
        return cls({(table, row): made for table, row, made in rows}, {(name, c): made for name, c, made in data})


def identity_of(cells: Sequence[Cell]) -> RunIdentity:
    """Of a run with these cells."""
    rows: dict[Row, dict[str, Any]] = {}
    data: dict[Place, dict[str, Any]] = {}
    for cell, dataset in zip(cells, dataset_labels([cell.spec.dataset for cell in cells]), strict=True):
        place = plain(dataset), plain(cell.spec.category)
        if place in data and rows.keys() >= set(cell.rows):
            continue
        identity = cell.spec.identity(cell.contents)
        data.setdefault(place, identity["dataset"])
        for table, row in cell.rows:
            rows.setdefault((plain(table), plain(row)), {"model": identity["model"], "train": identity["train"]})
    return RunIdentity(rows, data)


def lost(before: RunIdentity, now: RunIdentity) -> list[str]:
    """What of an earlier run is no longer so, in words; nothing where the later run has all its rows and data.

    Rows and categories that came are none of it. What is the same for several rows is said once.
    """
    said: dict[str, list[str]] = {}
    for row in before.rows:
        for change in _row_changes(row, before, now):
            said.setdefault(change, []).append(f"'{row[1]}'")
    found = [shortened(f"{_which(rows, len(before.rows))}: {change}", WIDEST) for change, rows in said.items()]
    said = {}
    for place, made in before.data.items():
        for change in _data_changes(place, made, now):
            said.setdefault(change, []).append("/".join(place))
    found += [shortened(f"{', '.join(places)}: {change}", WIDEST) for change, places in said.items()]
    return [*found[:SHOWN], *([f"{len(found) - SHOWN} more"] if len(found) > SHOWN else [])]


def _which(rows: Sequence[str], of: int) -> str:
    return "all rows" if len(rows) == of > 1 else f"row{'s' * (len(rows) > 1)} {', '.join(rows)}"


def _row_changes(row: Row, before: RunIdentity, now: RunIdentity) -> Iterator[str]:
    made = before.rows[row]
    if row in now.rows:
        yield from differences(made, now.rows[row])
        return
    new = [other for other, its in now.rows.items() if its == made and other not in before.rows]
    if not new:
        yield "gone" if row[0] in {table for table, _ in now.rows} else f"the table '{row[0]}' is gone"
    elif new[0][0] != row[0]:
        yield f"the table '{row[0]}' is now called '{new[0][0]}'"
    else:
        yield f"now called '{new[0][1]}'"


def _data_changes(place: Place, made: dict[str, Any], now: RunIdentity) -> Iterator[str]:
    if place in now.data:
        yield from differences({"dataset": made}, {"dataset": now.data[place]})
    elif made not in now.data.values():  # two data sets of one name are told apart by longer ones
        yield "gone"
