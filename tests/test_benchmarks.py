"""`make bench`: every benchmark is run, its figures with targets come to the table, failures show."""

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch

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


def test_a_stub_of_a_grid_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes the place of a worker's step, whatever that calls."""
    from dlkd.ablations.run import cell as training
    from dlkd.ablations.run import worker
    from dlkd.ablations.stored.store import describe

    monkeypatch.syspath_prepend(FOLDER)
    bench = importlib.import_module("bench_ablations")
    for name, value in {"CATEGORIES": 1, "ROWS": 2, "FIRST_SECONDS": 0, "STUB_SECONDS": 0}.items():
        monkeypatch.setattr(bench, name, value)
    for module in (training, worker):
        monkeypatch.setattr(module, "run_cell", lambda cell: pytest.fail("it trains"))
    example, store = tmp_path / "example", tmp_path / "store"
    example.mkdir()
    (example / "result.json").write_text(json.dumps({"metrics": {"image_auroc": 2.0}, "costs": {"flops": 1.0}}))
    (example / "examples.npz").write_bytes(b"pictures")
    bench.draw(tmp_path / "data")
    _, cells = bench.make_cells(tmp_path / "data", 1)
    assert len(cells) == 2
    stub = object.__new__(bench.make_worker(example))
    for cell in cells:
        stub.cell = {"key": cell.key, **describe(cell), "store": str(store)}
        assert stub.step()["done"]
        left = json.loads((store / cell.key / "result.json").read_text())
        assert 0.8 <= left["metrics"]["image_auroc"] <= 1.0
        assert (store / cell.key / "examples.npz").read_bytes() == b"pictures"


def test_the_table_shows_targets_and_what_was_skipped(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "BENCHMARKS", dict.fromkeys(("good", "lacking"), runner.Part()))
    assert runner.main(["--out", str(tmp_path / "out")]) == 0
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert lines[2:4] == [["good", "a / b", "1.23", "<= 1", "MISSED"], ["lacking", "no anomalib", "", "", "skipped"]]
    assert [line[0] for line in lines[7:]] == ["good", "lacking", "all"]  # the seconds of each


def test_a_benchmark_that_fails_is_an_error_and_stops_no_other(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(runner, "BENCHMARKS", dict.fromkeys(("bad", "good"), runner.Part()))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "bad.json").write_text("{}")  # of an earlier run
    assert runner.main(["--out", str(tmp_path / "out")]) == 1
    shown = capsys.readouterr().out
    assert "exit code 1: no such thing" in shown
    assert "a / b" in shown


def test_what_a_benchmark_says_is_shown_while_it_runs_and_so_is_that_it_is_late(
    runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stand-in waits for a file that the test writes only once the lines were shown."""
    (tmp_path / "bench_slow.py").write_text(
        "import pathlib, sys, time\n"
        "go = pathlib.Path(sys.argv[2]).with_name('go')\n"
        "print('round: 1 of 2', file=sys.stderr, flush=True)\n"
        "end = time.monotonic() + 20\n"
        "while not go.exists() and time.monotonic() < end: time.sleep(0.02)\n"
        "go.exists() or sys.exit('its lines were not shown')\n"
        "pathlib.Path(sys.argv[2]).write_text('{}')\n"
    )
    out = tmp_path / "out"
    said: list[str] = []

    def say(what: str, name: str) -> None:
        said.append(f"{name}: {what}")
        if {"slow: round: 1 of 2", "slow: takes longer than 0.3 s; it runs on"} <= set(said):
            (out / "go").touch()

    monkeypatch.setattr(runner, "BENCHMARKS", {"slow": runner.Part()})
    monkeypatch.setattr(runner, "LIMIT", 0.3)
    monkeypatch.setattr(runner, "say", say)
    assert runner.main(["--out", str(out)]) == 0
    assert len(said) == 3  # and that it starts


def test_full_runs_take_other_arguments(runner: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "bench_asked.py").write_text(
        "import json, pathlib, sys; pathlib.Path(sys.argv[2]).write_text(json.dumps({'asked': sys.argv[3:]}))"
    )
    monkeypatch.setattr(runner, "BENCHMARKS", {"asked": runner.Part("--rounds 2", "--large")})
    for flags, expected in (([], ["--rounds", "2"]), (["--full"], ["--large"])):
        assert runner.main(["--out", str(tmp_path / "out"), *flags]) == 0
        assert json.loads((tmp_path / "out" / "asked.json").read_text())["asked"] == expected


@pytest.mark.parametrize("groups", [1, 4])
@pytest.mark.parametrize("transposed", [False, True])
def test_the_backward_of_a_convolution_counts_two_products_of_the_forwards_size(
    monkeypatch: pytest.MonkeyPatch, groups: int, transposed: bool
) -> None:
    """Also of a depthwise one, for which PyTorch's counter takes each channel for all of them."""
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.delitem(sys.modules, "bench_dlkd", raising=False)
    roofline = importlib.import_module("bench_roofline")
    convolve = torch.nn.functional.conv_transpose2d if transposed else torch.nn.functional.conv2d
    x, weight = torch.randn(2, 4, 5, 6, requires_grad=True), torch.randn(4, 4 // groups, 3, 3, requires_grad=True)
    with roofline.Clock(roofline.Ceilings(1e9, 1e9)) as clock:
        y = convolve(x, weight, padding=1, groups=groups)
        y.sum().backward()
    flops = {name.split("(")[0]: spent.flops for name, spent in clock.operators.items()}
    forward = 2 * 2 * 4 * 5 * 6 * (4 // groups) * 9
    assert y.shape == x.shape
    assert flops["convolution"] == forward
    assert flops["convolution_backward"] == 2 * forward
