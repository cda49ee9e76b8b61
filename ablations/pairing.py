"""Pairs the rows of two runs by what they are, so that a renamed or edited grid is compared with its earlier run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from dlkd.ablations.report.words.numbers import listed
from dlkd.ablations.stored.run_identity import Row, RunIdentity
from dlkd.text import shortened
from dlkd.training.trials.identity import differences

Made: TypeAlias = "Mapping[str, Any] | None"
"""Model and training of a row; None where the run does not say."""

STEPS: tuple[Callable[[Row, Made], Any], ...] = (
    lambda row, made: made,
    lambda row, made: made and (made["model"], _trains(made["train"])),
    lambda row, made: made and made["model"],
    lambda row, made: row,
)
"""What rows of two runs have in common, the surest first: model and training; the model, and whether it is trained at
all; the model; label and table."""

NEARER: tuple[Callable[[Row], Any], ...] = (lambda row: row, lambda row: row[0], lambda row: row[1], lambda row: ())
"""Of several rows that are the same: one with the same table and label, then table, then label, then any."""

SHOWN = 3
WIDEST = 120


@dataclass(frozen=True)
class RowPair:
    """A row of the run A, the row of B that it is compared with, and the settings that differ, in words."""

    a: Row
    b: Row
    settings: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """Both labels where they differ."""
        return self.a[1] if self.a[1] == self.b[1] else f"{self.a[1]} (A), {self.b[1]} (B)"

    @property
    def table(self) -> str:
        """Both names where they differ."""
        return self.a[0] if self.a[0] == self.b[0] else f"{self.a[0]} (A), {self.b[0]} (B)"


def pair_rows(rows: tuple[Sequence[Row], Sequence[Row]], identities: tuple[RunIdentity, RunIdentity]) -> list[RowPair]:
    """The pairs of two runs' rows, in the order of A's; each row is in one pair at most.

    Rows that are the same model with the same training are paired first, whatever they are called; then rows of the
    same model with another training, an untrained row with a trained one last; then rows of one label in one table.
    """
    left, right = ({row: identity.rows.get(row) for row in own} for own, identity in zip(rows, identities, strict=True))
    paired: dict[Row, Row] = {}
    for same in STEPS:
        for near in NEARER:
            for a, made in left.items():
                free = (b for b in right if b not in paired.values() and near(b) == near(a))
                if a not in paired and (key := same(a, made)) is not None:
                    found = next((b for b in free if same(b, right[b]) == key), None)
                    paired |= {} if found is None else {a: found}
    return [RowPair(a, paired[a], _settings(left[a], right[paired[a]])) for a in rows[0] if a in paired]


def _trains(train: Mapping[str, Any]) -> bool:
    return 0 not in (train.get("epochs"), train.get("max_steps"))


def _settings(a: Made, b: Made) -> tuple[str, ...]:
    return ("not known what they are",) if a is None or b is None else tuple(differences(a, b))


def pairing_notes(pairs: Sequence[RowPair]) -> Iterator[str]:
    """The settings that differ between the rows of pairs, each with the rows that it is so for."""
    said: dict[str, list[str]] = {}
    for pair in pairs:
        if pair.settings:
            more = [f"{len(pair.settings) - SHOWN} more"] if len(pair.settings) > SHOWN else []
            changes = [shortened(change, WIDEST) for change in pair.settings[:SHOWN]]
            said.setdefault("; ".join([*changes, *more]), []).append(f"'{pair.label}'")
    for what, labels in said.items():
        yield f"settings differ: {what} ({'all rows' if len(labels) == len(pairs) > 1 else listed(labels)})"


def named(rows: Iterable[Row]) -> str:
    """Rows in words, by their tables.

    >>> named([("table4", "LFRB"), ("table4", "DLKD"), ("table5", "CKD")])
    "table4: 'LFRB' and 'DLKD'; table5: 'CKD'"
    """
    tables: dict[str, list[str]] = {}
    for table, row in rows:
        tables.setdefault(table, []).append(f"'{row}'")
    return "; ".join(f"{table}: {listed(labels)}" for table, labels in tables.items())
