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


@pytest.mark.parametrize("none", [{"epochs": 0, "max_steps": -1}, {"epochs": 8, "max_steps": 0}])
def test_an_untrained_row_is_paired_with_an_untrained_one(none: dict[str, int]) -> None:
    def run(table: str, **rows: dict[str, int]) -> RunIdentity:
        return RunIdentity({(table, label): {"model": {"m": 1}, "train": train} for label, train in rows.items()})

    one = run("g", zero={"epochs": 9, "max_steps": 0}, full={"epochs": 9, "max_steps": 20})
    two = run("h", first={"epochs": 9, "max_steps": 40}, full={"epochs": 9, "max_steps": 40}, student=none)
    found = pair_rows((list(one.rows), list(two.rows)), (one, two))
    assert [(pair.a[1], pair.b[1]) for pair in found] == [("zero", "student"), ("full", "full")]
    trained = run("h", first={"epochs": 9, "max_steps": 40})
    assert [pair.b[1] for pair in pair_rows((list(one.rows)[:1], list(trained.rows)), (one, trained))] == ["first"]
