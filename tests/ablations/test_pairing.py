"""Rows of two runs are paired by what they are, then by the model, then by label and table."""

import pytest

from dlkd.ablations.pairing import pair_rows
from dlkd.ablations.stored.run_identity import Row, RunIdentity


def made(*rows: tuple[str, str, int, int]) -> RunIdentity:
    """Rows as (table, label, model, training)."""
    return RunIdentity({(t, label): {"model": {"m": model}, "train": {"t": train}} for t, label, model, train in rows})


A, B, C, D = ("g", "A"), ("g", "B"), ("g", "C"), ("h", "A")


@pytest.mark.parametrize(
    ("one", "two", "pairs"),
    [
        ([(*A, 1, 1)], [(*C, 1, 1)], {A: C}),
        ([(*A, 1, 1), (*B, 2, 1)], [(*B, 1, 1), (*A, 2, 1)], {A: B, B: A}),  # labels were exchanged
        ([(*A, 1, 1), (*D, 1, 1)], [(*D, 1, 1)], {D: D}),  # the same model in two tables: the nearer one
        ([(*A, 1, 1)], [(*B, 1, 1), (*D, 1, 1)], {A: B}),
        ([(*A, 1, 1), (*B, 2, 1)], [(*A, 1, 2), (*C, 2, 2)], {A: A, B: C}),  # another training
        ([(*A, 1, 1)], [(*B, 1, 2), (*C, 1, 1)], {A: C}),  # the same training is surer
        ([(*A, 1, 1)], [(*A, 2, 1)], {A: A}),  # label and table alone
        ([(*A, 1, 1)], [(*D, 2, 1), (*B, 2, 1)], {}),
    ],
)
def test_rows_are_paired(one: list[tuple], two: list[tuple], pairs: dict[Row, Row]) -> None:
    runs = made(*one), made(*two)
    found = pair_rows((list(runs[0].rows), list(runs[1].rows)), runs)
    assert {pair.a: pair.b for pair in found} == pairs
