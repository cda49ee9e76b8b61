"""A run's folder: its files change together, and it never holds less than before."""

from pathlib import Path

import pandas as pd
import pytest

from dlkd.ablations.plan.grid_files import load_grid
from dlkd.ablations.stored.run_folder import TRIALS, holds_less, read_run, refuse_to_lose, write_run
from dlkd.ablations.stored.run_identity import RunIdentity
from dlkd.ablations.stored.trials import write_trials


def trials(*statuses: str, key: str = "k") -> pd.DataFrame:
    """One cell a status, a seed each."""
    line = {"table": "g", "row": "A", "dataset": "d", "category": "c", "metric": "pro", "value": 0.5, "reason": ""}
    more = {"image_size": "32", "epochs": 1, "max_steps": 1, "settings": "teacher t"} | {
        "pro_limit": 0.3,
        "score_at": "network",
    }
    return pd.DataFrame([{**line, **more, "seed": i, "status": s, "key": f"{key}{i}"} for i, s in enumerate(statuses)])


def test_a_run_comes_back(tmp_path: Path) -> None:
    grid = load_grid("table4")
    write_run(tmp_path, trials("ok"), [grid], tmp_path / "store", RunIdentity())
    assert [p.name for p in tmp_path.iterdir()] == [TRIALS]
    found, grids, store = read_run(tmp_path)
    pd.testing.assert_frame_equal(found, trials("ok"))
    assert ([g.model_dump() for g in grids], store) == ([grid.model_dump()], tmp_path / "store")


def test_what_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"trials\.parquet is missing"):
        read_run(tmp_path)
    (tmp_path / TRIALS).write_bytes(b"PAR1 and no more")
    with pytest.raises(ValueError, match=r"cannot read .*trials\.parquet"):
        read_run(tmp_path)
    for about in ({}, {"grids": 3, "store": "x"}, {"grids": [{"name": "x"}], "store": "x"}):
        write_trials(trials("ok"), tmp_path / TRIALS, about)
        with pytest.raises(ValueError, match=r"trials\.parquet does not contain its grids"):
            read_run(tmp_path)
    write_trials(pd.DataFrame({"a": [1]}), tmp_path / TRIALS, {"grids": [], "store": "x"})
    with pytest.raises(ValueError, match=r"trials\.parquet lacks the columns category, "):
        read_run(tmp_path)


def test_a_folder_of_an_older_dlkd_says_what_to_do(tmp_path: Path) -> None:
    write_trials(trials("ok"), tmp_path / TRIALS)
    for name, text in (("grids.json", "[]"), ("store.txt", "/x")):
        (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=r"older dlkd.*`dlkd ablate` command again, and all cells are trained again"):
        read_run(tmp_path)
    write_run(tmp_path, trials("ok"), [load_grid("table4")], tmp_path / "store", RunIdentity())  # as that command does
    read_run(tmp_path)


@pytest.mark.parametrize(
    ("old", "new", "if_ended", "if_broken_off"),
    [
        (None, ["not run", "not run"], False, True),
        (None, ["ok", "not run"], False, False),
        (["ok", "ok"], ["not run", "not run"], True, True),
        (["ok", "ok"], ["failed", "failed"], True, True),
        (["ok", "ok"], ["ok", "failed"], False, True),
        (["ok", "ok"], ["ok", "ok"], False, True),
        (["ok", "undefined"], ["ok"], False, True),
        (["ok", "failed"], ["ok", "ok"], False, False),
        (["failed", "ok"], ["ok", "not run"], False, True),
        (["failed", "not run"], ["failed", "failed"], False, True),
    ],
)
def test_a_folder_never_holds_less_than_before(
    tmp_path: Path, old: list[str] | None, new: list[str], if_ended: bool, if_broken_off: bool
) -> None:
    if old is not None:
        write_trials(trials(*old, key="before"), tmp_path / TRIALS)
    assert holds_less(trials(*new), tmp_path, ended=True) == if_ended
    assert holds_less(trials(*new), tmp_path, ended=False) == if_broken_off


def test_an_earlier_run_that_cannot_be_compared_is_said(tmp_path: Path) -> None:
    new = RunIdentity({("g", "A"): {"model": {}}})
    assert refuse_to_lose(tmp_path, new) == ""
    write_run(tmp_path, trials("ok"), [load_grid("table4")], tmp_path / "store", new)
    assert refuse_to_lose(tmp_path, new) == ""
    write_run(tmp_path, trials("failed"), [load_grid("table4")], tmp_path / "store", RunIdentity())
    assert refuse_to_lose(tmp_path, new) == ""
    write_run(tmp_path, trials("ok"), [load_grid("table4")], tmp_path / "store", RunIdentity())
    assert "trials.parquet does not say what its rows are; this run takes its place" in refuse_to_lose(tmp_path, new)
    (tmp_path / TRIALS).write_bytes(b"PAR1 and no more")
    assert "It is not compared with this run, which takes its place" in refuse_to_lose(tmp_path, new)


@pytest.mark.parametrize("key", ["../x", "/etc", "a/b", "a\\b", "..", "C:x", ""])
def test_a_key_that_leads_out_of_the_store_is_refused(tmp_path: Path, key: str) -> None:
    write_run(tmp_path, trials("ok").assign(key=key), [load_grid("table4")], tmp_path / "store", RunIdentity())
    with pytest.raises(ValueError, match=r"cannot read .*trials\.parquet: the key .* names no folder of a store"):
        read_run(tmp_path)
