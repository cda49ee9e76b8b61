"""`make bench`: every benchmark is run, its figures with targets come to the table, failures show."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


@pytest.fixture
def runner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/run.py with three stand-ins for benchmarks."""
    spec = importlib.util.spec_from_file_location("bench_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    target = {"what": "a / b", "measured": 1.234, "target": "<= 1", "met": False}
    figures = {"good": {"deep": {"targets": [target]}}, "lacking": {"part": {"skipped": "no anomalib", "targets": []}}}
    for name, found in figures.items():
        (tmp_path / f"bench_{name}.py").write_text(
            f"import pathlib, sys; pathlib.Path(sys.argv[2]).write_text({json.dumps(found)!r})"
        )
    (tmp_path / "bench_bad.py").write_text("raise SystemExit('no such thing')")
    monkeypatch.setattr(module, "HERE", tmp_path)
    return module


def test_every_benchmark_is_run() -> None:
    spec = importlib.util.spec_from_file_location("bench_run", FOLDER / "run.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert {f"bench_{name}.py" for name in module.BENCHMARKS} == {p.name for p in FOLDER.glob("bench_*.py")}


def test_the_table_shows_targets_and_what_was_skipped(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "BENCHMARKS", {"good": [], "lacking": []})
    assert runner.main(["--out", str(tmp_path / "out")]) == 0
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert lines[2:] == [["good", "a / b", "1.23", "<= 1", "MISSED"], ["lacking", "no anomalib", "", "", "skipped"]]


def test_a_benchmark_that_fails_is_an_error_and_stops_no_other(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "BENCHMARKS", {"bad": [], "good": []})
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bad.json").write_text("{}")  # of an earlier run
    assert runner.main(["--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().out
    assert "exit code 1: no such thing" in shown
    assert "a / b" in shown
