"""What a run is, and what of it a later run would lose."""

from typing import Any

import pytest

from dlkd.ablations.stored.run_identity import RunIdentity, identity_of, lost


def run(rows: dict[tuple[str, str], int], data: dict[tuple[str, str], str] | None = None) -> RunIdentity:
    """Rows by their sigma, data by their digest."""
    made: dict[Any, dict[str, Any]] = {row: {"model": {"sigma": sigma}, "train": {}} for row, sigma in rows.items()}
    return RunIdentity(made, {place: {"contents": d} for place, d in (data or {("t", "brick"): "x"}).items()})


A, B, C = ("g", "A"), ("g", "B"), ("g", "C")
TWO = run({A: 1, B: 2})


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (TWO, []),
        (run({B: 2, C: 3, A: 1}, {("t", "grass"): "y", ("t", "brick"): "x"}), []),
        (run({A: 1, B: 2}, {("left/t", "brick"): "x"}), []),  # another data set of that name came
        (run({A: 1}), ["row 'B': gone"]),
        (run({A: 1, C: 2}), ["row 'B': now called 'C'"]),
        (run({A: 1, B: 3}), ["row 'B': model.sigma 2 -> 3"]),
        (run({A: 3, B: 3}), ["row 'A': model.sigma 1 -> 3", "row 'B': model.sigma 2 -> 3"]),
        (run({("h", "A"): 1, ("h", "B"): 2}), ["all rows: the table 'g' is now called 'h'"]),
        (run({("h", "C"): 3}), ["all rows: the table 'g' is gone"]),
        (run({A: 1, B: 2}, {("t", "brick"): "z"}), ["t/brick: the data changed"]),
        (run({A: 1, B: 2}, {("t", "grass"): "z"}), ["t/brick: gone"]),
        (run({}, {("u", "v"): "w"}), ["all rows: the table 'g' is gone", "t/brick: gone"]),
    ],
)
def test_what_a_later_run_loses(now: RunIdentity, said: list[str]) -> None:
    assert lost(TWO, now) == said


def test_the_first_changes_are_named() -> None:
    many = run({("g", str(i)): i for i in range(9)})
    assert lost(many, run({("g", str(i)): i + 1 for i in range(9)}))[4:] == ["5 more"]


def test_the_identity_of_cells_has_each_row_and_category_once_and_no_path(make_tiny_cells) -> None:
    found = identity_of(make_tiny_cells(seeds=2))
    assert list(found.rows) == [("g", "A"), ("g", "B")]
    assert [made["model"]["sigma"] for made in found.rows.values()] == [4.0, 2.0]
    [(place, data)] = found.data.items()
    assert place[1] == "disc"
    assert data.keys() >= {"name", "contents"}
    assert "root" not in data
    assert RunIdentity.from_data(found.as_data()) == found
