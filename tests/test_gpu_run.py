"""`make gpu`: parts that fail, are stopped or lack a package are named; a dry run goes through on the CPU."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "benchmarks" / "gpu"
GOOD = """
import json, pathlib, sys
figure = {"figure": "a / b", "value": 1.5, "unit": "ms", "ratio": 2.0, "target": "<= 1", "met": False, "note": ""}
pathlib.Path(sys.argv[2]).write_text(json.dumps([figure]))
"""


@pytest.fixture
def program(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """benchmarks/gpu/__main__.py."""
    spec = importlib.util.spec_from_file_location("gpu_run", FOLDER / "__main__.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_run", module)  # where its dataclasses look for types
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def harness(program: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The program with stand-ins for its parts and for the machine."""
    parts = tmp_path / "parts"
    parts.mkdir()
    (parts / "good.py").write_text(GOOD)
    (parts / "bad.py").write_text(GOOD + "raise SystemExit('no such thing')")
    (parts / "long.py").write_text(GOOD + "import time; print('begun', flush=True); time.sleep(100)")
    monkeypatch.setattr(program, "HERE", parts)
    monkeypatch.setattr(program, "WHEELS", tmp_path / "wheels")
    monkeypatch.setattr(program, "machine", lambda environment: {"gpu": "stub"})
    needs = {"good": (), "bad": (), "long": (), "lacking": ("json", "no_such_module")}
    monkeypatch.setattr(program, "PARTS", {name: program.Part(5.0, modules) for name, modules in needs.items()})
    return program


def run(harness: ModuleType, out: Path, *parts: str) -> tuple[int, dict[str, Any], str]:
    """Exit code, JSON and table."""
    code = harness.main(["--out", str(out), "--only", *parts])
    return code, json.loads((out / "gpu.json").read_text()), (out / "gpu.md").read_text()


def test_a_part_that_fails_is_named_and_the_others_go_on(harness: ModuleType, tmp_path: Path) -> None:
    code, found, table = run(harness, tmp_path, "bad", "good")
    assert code == 1
    assert [(part["part"], part["status"]) for part in found["parts"]] == [("bad", "failed"), ("good", "run")]
    assert found["parts"][0]["reason"] == "exit code 1: no such thing"
    assert "failed: exit code 1: no such thing" in table
    assert [figure["part"] for figure in found["figures"]] == ["bad", "good"]


def test_a_part_that_takes_too_long_is_stopped_with_what_it_had(harness: ModuleType, tmp_path: Path) -> None:
    code, found, table = run(harness, tmp_path, "long")
    assert code == 1
    assert found["parts"][0]["status"] == "stopped"
    assert found["seconds"] < 60
    assert [(figure["part"], figure["value"]) for figure in found["figures"]] == [("long", 1.5)]
    assert "MISSED" in table


def test_a_target_missed_is_no_failure_and_a_missing_package_is_named(harness: ModuleType, tmp_path: Path) -> None:
    code, found, table = run(harness, tmp_path, "good", "lacking")
    assert code == 0
    assert found["parts"][1]["status"] == "skipped"
    assert "no_such_module not installed; put wheels in wheels/" in found["parts"][1]["reason"]
    assert "no_such_module" in table
    assert found["machine"] == {"gpu": "stub"}
    assert found["revision"]


def test_nothing_run_is_a_failure(harness: ModuleType, tmp_path: Path) -> None:
    assert run(harness, tmp_path, "lacking")[0] == 1


def test_a_wheel_in_the_folder_is_taken_for_what_is_missing(harness: ModuleType, tmp_path: Path) -> None:
    harness.WHEELS.mkdir()
    info = "no_such_module-1.0.dist-info"
    with zipfile.ZipFile(harness.WHEELS / "no_such_module-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("no_such_module.py", "")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: no-such-module\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    (harness.HERE / "lacking.py").write_text("import no_such_module\n" + GOOD)
    code, found, _ = run(harness, tmp_path, "lacking")
    assert (code, found["parts"][0]["status"]) == (0, "run")


def test_without_a_gpu_it_says_so(
    harness: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(harness, "machine", lambda environment: {"gpu": ""})
    assert harness.main(["--out", str(tmp_path)]) == 2
    assert "PyTorch sees no GPU here; `make gpu DRY=1`" in capsys.readouterr().err


@pytest.mark.parametrize(
    "lines",
    [
        "tests/a.py::test_x[big one] PASSED [ 3%]\ntests/a.py::test_y FAILED [ 6%]\ntests/a.py::test_z SKIPPED [9%]",
        "[gw0] [  3%] PASSED tests/a.py::test_x[big one] \n[gw1] [ 6%] FAILED tests/a.py::test_y \n"
        "tests/a.py::test_y \n[gw0] [100%] SKIPPED tests/a.py::test_z ",
    ],
    ids=["alone", "several"],
)
def test_tests_are_counted_and_the_failed_named(harness: ModuleType, tmp_path: Path, lines: str) -> None:
    (tmp_path / "tests.log").write_text(f"{lines}\nSKIPPED [2] tests/b.py:4: there is no GPU\n")
    found = harness.figures_of_tests(tmp_path / "tests.log")
    counts = {each["figure"]: each["value"] for each in found if "value" in each}
    assert counts == {"tests passed": 1, "tests failed": 1, "tests skipped": 1}
    assert {"figure": "tests/a.py::test_y", "note": "failed"} in found
    assert {"figure": "2 tests", "note": "skipped: there is no GPU"} in found


def test_every_part_is_a_file_and_every_gpu_test_is_found(program: ModuleType) -> None:
    shared = {"__main__", "figures", "clock"}
    assert {path.stem for path in FOLDER.glob("*.py")} - shared == set(program.PARTS) - {program.TESTS}
    assert sum(part.seconds for part in program.PARTS.values()) <= 480
    assert {"tests/blocks/scan", "tests/training/test_speed.py"} <= set(program.gpu_tests())


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_dry_run_of_two_parts_goes_through_on_the_cpu(tmp_path: Path) -> None:
    """`make gpu DRY=1` runs all of them, which takes too long for each run of CI."""
    command = [sys.executable, str(FOLDER), "--dry-run", "--only", "scan", "steps", "--out", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stdout[-3000:]
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert {part["part"]: part["status"] for part in found["parts"]} == {"scan": "run", "steps": "run"}
    assert {figure["part"] for figure in found["figures"]} == {"scan", "steps"}
    assert all(figure.get("met") is None for figure in found["figures"])  # tiny sizes say nothing
