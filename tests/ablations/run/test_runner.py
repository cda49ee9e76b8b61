"""Grids on Ray Tune: what fails alone, what is found again, and figures that no neighbour touches."""

import contextlib
import io
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import ray
import torch
import yaml
from rich.console import Console

from dlkd import cli
from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run import ray_session, ray_training
from dlkd.ablations.run.display import Display
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.runner import run_cells
from dlkd.ablations.stored import forget as forget_module
from dlkd.ablations.stored.remote import Storage, StorageError
from dlkd.ablations.stored.store import missing_cells
from dlkd.ablations.stored.trials import collect, read_trials
from dlkd.files import HeldError, alone
from dlkd.machine import MachineError
from dlkd.registry import load_file, load_registry
from dlkd.training import read_result, run_trial

MakeCells = Callable[..., list[Cell]]
FinishCell = Callable[[Cell, Path], None]

# Made of a file that it imports, as a user's is.
HOW = """
import os, pathlib, signal

def fail(how, marker):
    if how == "error":
        raise RuntimeError("broken on purpose")
    if how == "kill" and not pathlib.Path(marker, "killed").exists():
        pathlib.Path(marker, "killed").touch()
        os.kill(os.getpid(), signal.SIGKILL)
"""
# A block that fails as `how` says: by an error, or once by a kill, as the system does when memory runs out.
FRAGILE = """
from fragile_how import fail
from torch import nn
from dlkd.registry import register

@register("block", "fragile")
class Fragile(nn.Module):
    def __init__(self, channels: int, *, how: str = "", marker: str = "") -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 1)
        self.how, self.marker = how, marker

    def forward(self, x):
        fail(self.how, self.marker)
        return self.layer(x)
"""
FRAGILE_ROW = 'components: {block/fragile: {shape: "b c h w -> b c h w", given: {channels: c}}}'


def run(cells: list[Cell], store: Path, **pool: object) -> str:
    """What the display said."""
    text = io.StringIO()
    run_cells(cells, store, Pool(**{"workers": 2, **pool}), Display(store, Console(file=text, width=500)))  # type: ignore[arg-type]
    return text.getvalue()


@pytest.mark.filterwarnings("ignore")  # Ray's own: unclosed sockets and files of its processes
@pytest.mark.timeout(300)
@pytest.mark.usefixtures("components")
def test_a_trial_that_fails_fails_alone(
    make_tiny_cells: MakeCells, tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "fragile.py").write_text(FRAGILE)
    (tmp_path / "fragile_how.py").write_text(HOW)
    (tmp_path / "fragile.yaml").write_text(FRAGILE_ROW)
    load_file(tmp_path / "fragile.py")
    registry = load_registry(tmp_path / "fragile.yaml")

    def fragile(how: str) -> dict[str, object]:
        return {"decoder": {"local": {"name": "fragile", "how": how, "marker": str(tmp_path)}}}

    rows = [
        ("raises", fragile("error")),
        ("is killed once", fragile("kill")),
        ("turns NaN", {"optimizer": {"lr": 1e30}}),
        ("A", {}),
        ("B", {"sigma": 2.0}),
    ]
    cells = make_tiny_cells(rows, registry=registry)
    store = tmp_path / "store"
    said = run(
        cells, store, registry_files=[tmp_path / "fragile.yaml"], imports=[tmp_path / "fragile.py"], loggers=["csv"]
    )

    trials = collect(cells, store).drop_duplicates("row").set_index("row")
    assert dict(trials.status) == {
        "raises": "failed",
        "is killed once": "ok",
        "turns NaN": "failed",
        "A": "ok",
        "B": "ok",
    }
    assert trials.reason["raises"] == "RuntimeError: broken on purpose"
    assert trials.reason["turns NaN"].startswith("NonFiniteLossError: the loss is not finite at step")
    assert f"failed: raises, {tiny_folder.name}/disc, seed 0: RuntimeError: broken on purpose" in said

    # Neighbours, and the process that they share, leave no trace in a figure.
    for cell in cells[3:]:
        alone = run_trial(cell.spec, tmp_path / "alone" / cell.key, registry)
        assert repr(read_result(store / cell.key).metrics) == repr(alone.metrics)
        assert read_result(store / cell.key).curve == alone.curve
        assert (store / cell.key / "logs" / "csv" / "version_0" / "metrics.csv").exists()

    # A later run finds what is done, and tries again what failed.
    written = {cell.key: (store / cell.key / "result.json").stat().st_mtime_ns for cell in cells[3:]}
    begun: list[Cell] = []
    monkeypatch.setattr(ray_training, "start_ray", lambda *_: None)
    monkeypatch.setattr(ray_training, "_fit", lambda todo, *_: begun.extend(todo))
    assert "2 already done, 1 to train" in run([*cells[3:], cells[0]], store)
    assert begun == [cells[0]]
    assert {key: (store / key / "result.json").stat().st_mtime_ns for key in written} == written

    # What the code said is kept, so that a run after an edit says why it trains again.
    edited = replace(cells[3], key="0" * 16, code=cells[3].code | {"blocks/lfrb.py": "edited"})
    assert "note: trained again, 1 cell: code of blocks/lfrb.py changed" in run([edited], store)


def test_nothing_to_train_starts_no_ray(
    make_tiny_cells: MakeCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = make_tiny_cells()
    for cell in cells:
        run_trial(cell.spec, tmp_path / cell.key, load_registry())
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    assert "2 already done, 0 to train" in run(cells, tmp_path)


@pytest.fixture
def trained(make_tiny_cells: MakeCells, finish_cell: FinishCell, tmp_path: Path) -> list[Cell]:
    """Cells with a result below tmp_path/store."""
    cells = make_tiny_cells()
    for cell in cells:
        finish_cell(cell, tmp_path / "store")
    return cells


class StoppedError(Exception):
    """In the place of a training."""


def stopped(*_: object) -> None:
    raise StoppedError


def test_force_deletes_nothing_that_another_process_holds(
    trained: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    monkeypatch.setattr(ray_training, "start_ray", lambda *_: None)
    monkeypatch.setattr(ray_training, "_fit", stopped)
    with alone(store / trained[1].key):
        with pytest.raises(HeldError, match=trained[1].key):
            run_cells(trained, store, Pool(), Display(store, Console(quiet=True)), force=True)
        assert missing_cells(trained, store) == []
    with pytest.raises(StoppedError):
        run_cells(trained, store, Pool(), Display(store, Console(quiet=True)), force=True)
    assert missing_cells(trained, store) == trained


def test_force_is_not_stopped_midway_by_another_process(
    trained: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that takes a folder while Ray starts, or while others are deleted."""
    store = tmp_path / "store"
    for name in ("_fit", "start_ray"):
        monkeypatch.setattr(ray_training, name, lambda *_: None)
    with contextlib.ExitStack() as other:
        monkeypatch.setattr(ray_training, "start_ray", lambda *_: other.enter_context(alone(store / trained[1].key)))
        with pytest.raises(HeldError, match=trained[1].key):
            run_cells(trained, store, Pool(), Display(store, Console(quiet=True)), force=True)
        assert missing_cells(trained, store) == []
    delete, taken = forget_module.delete, []

    def delete_while_others_wait(path: Path) -> None:
        for cell in trained:
            try:
                with alone(store / cell.key, wait=False):
                    taken.append(cell)
            except HeldError:
                pass
        delete(path)

    monkeypatch.setattr(forget_module, "delete", delete_while_others_wait)
    forget_module.forget([store / cell.key for cell in trained], None)
    assert taken == []
    assert missing_cells(trained, store) == trained


def test_force_keeps_everything_where_the_storage_takes_no_change(
    trained: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Storage, key: str) -> None:
        if key == trained[1].key:
            raise StorageError("read-only")

    monkeypatch.setattr(Storage, "forget", refuse)
    with pytest.raises(StorageError):
        forget_module.forget([tmp_path / "store" / cell.key for cell in trained], Storage(str(tmp_path / "there")))
    assert missing_cells(trained, tmp_path / "store") == []


@pytest.mark.parametrize("wrong", ["storage", "ray", "gpu"])
def test_force_deletes_nothing_where_the_start_fails(
    trained: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    store = tmp_path / "store"
    (tmp_path / "file").touch()
    pools = {"storage": Pool(storage=str(tmp_path / "file")), "ray": Pool(), "gpu": Pool(trials_per_gpu=1)}
    monkeypatch.setattr(ray_training, "start_ray", stopped)
    with pytest.raises((StorageError, StoppedError, MachineError)):
        run_cells(trained, store, pools[wrong], Display(store, Console(quiet=True)), force=True)
    assert missing_cells(trained, store) == []


def test_a_broken_result_is_said_and_trained_again(
    trained: list[Cell], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = tmp_path / "store"
    (store / trained[1].key / "result.json").write_text("{")
    begun: list[Cell] = []
    monkeypatch.setattr(ray_training, "start_ray", lambda *_: None)
    monkeypatch.setattr(ray_training, "_fit", lambda todo, *_: begun.extend(todo))
    said = run(trained, store)
    assert begun == [trained[1]]
    assert said.count("result.json cannot be read") == 1
    assert "1 already done, 1 to train" in said


def test_a_failed_start_leaves_a_finished_report_as_it_was(
    tiny_folder: Path,
    finish_cell: FinishCell,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def type_in(*more: str) -> tuple[int, str]:
        words = Ablation(tmp_path, tiny_folder, *more).command[3:]
        monkeypatch.setattr("sys.argv", ["dlkd", *words])
        try:
            cli.main()
        except SystemExit as stop:
            return int(stop.code or 0), capfd.readouterr().err
        return 0, capfd.readouterr().err

    def finish(todo: list[Cell], store: Path, *_: object) -> None:
        for cell in todo:
            finish_cell(cell, store)

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    (tmp_path / "variants.yaml").write_text(VARIANTS)
    registry = load_registry(tmp_path / "variants.yaml")
    monkeypatch.setattr("dlkd.registry.read_registry", lambda *_: registry)  # once for all commands
    monkeypatch.setattr("dlkd.cli.ablate.write_reports", lambda _: None)
    monkeypatch.setattr(ray_training, "start_ray", lambda *_: None)
    monkeypatch.setattr(ray_training, "_fit", interrupted)
    assert type_in()[0] == 130
    assert set(read_trials(tmp_path / "out" / "trials.parquet")["status"]) == {"not run"}
    monkeypatch.setattr(ray_training, "_fit", finish)
    code, err = type_in()
    assert code == 0, err
    before = (tmp_path / "out" / "trials.parquet").read_bytes()

    (tmp_path / "file").touch()
    monkeypatch.setattr(ray_training, "_fit", interrupted)
    for more, expected, says in (
        (["--storage", "nowhere://x"], 2, "Protocol not known"),
        (["--storage", "file", "--force"], 2, "cannot write to"),
        (["--trials-per-gpu", "1", "--force"], 2, "no GPU"),
        (["--batch-size", "2"], 2, "holds the results of another grid"),
        (["--batch-size", "2", "--replace"], 130, "stays as it was"),  # other cells, of which none is finished
    ):
        code, err = type_in(*more)
        assert code == expected, err
        assert says in err
        assert (tmp_path / "out" / "trials.parquet").read_bytes() == before
    assert "6 already done, 0 to train" in type_in()[1]


GRID = """
title: a small one
rows:
  - {label: A, variant: tiny}
  - {label: B, variant: tiny, overrides: {sigma: 2.0}}
  - {label: C, variant: tiny, overrides: {sigma: 1.0}}
reference: A
"""
VARIANTS = "variants: {tiny: {extends: dlkd-lfrb, teacher: {backbone: test_resnet, weights: random}}}"


class Ablation:
    """`dlkd ablate` on the tiny folder as a process of its own, in `folder`."""

    def __init__(self, folder: Path, data: Path, *more: str, steps: int = 40) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "grid.yaml").write_text(GRID)
        (folder / "variants.yaml").write_text(VARIANTS)
        (folder / "overrides.yaml").write_text(yaml.safe_dump({}))
        words = ["ablate", "grid.yaml", "--dataset", str(data), "--preset", "paper", "--image-size", "32",
                 "--batch-size", "3", "--steps", str(steps), "--seeds", "2", "--registry", "variants.yaml",
                 "--out", "out", *more]  # fmt: skip
        self.command = [sys.executable, "-m", "dlkd", *words]

    def start(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.command, cwd=self.folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            start_new_session=True, env={**os.environ, "DLKD_TEST": self.folder.name},
        )  # fmt: skip

    def finish(self) -> pd.DataFrame:
        done = subprocess.run(self.command, cwd=self.folder, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return self.table()

    def table(self) -> pd.DataFrame:
        table = pd.read_parquet(self.folder / "out" / "trials.parquet")
        return table[["table", "row", "category", "seed", "metric", "value", "status", "reason", "key"]]


def ray_processes(token: str) -> dict[int, str]:
    """Ray's workers and daemons that were started with DLKD_TEST=token, and their command lines."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                words = (path / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                is_rays = any(word in words for word in ("ray::", "raylet", "gcs_server"))
                if is_rays and f"DLKD_TEST={token}\0".encode() in (path / "environ").read_bytes():
                    found[int(path.name)] = words
    return found


def kill_all(pids: Iterable[int]) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_twenty_kills_at_any_moment_leave_the_table_that_none_leaves(tiny_folder: Path, tmp_path: Path) -> None:
    undisturbed = Ablation(tmp_path / "calm", tiny_folder).finish()
    ablation = Ablation(tmp_path / "storm", tiny_folder)
    rng = random.Random(0)
    for i in range(20):
        process = ablation.start()
        time.sleep(rng.uniform(1, 18))
        if i % 3 == 0:  # the driver
            process.kill()
        elif i % 3 == 1:  # workers: Tune tries their cells again
            kill_all(pid for pid, words in ray_processes("storm").items() if "ray::" in words)
            process.communicate(timeout=300)
        else:  # everything
            kill_all([process.pid, *ray_processes("storm")])
        if i % 3 != 1:
            process.communicate(timeout=60)
        parquet = ablation.folder / "out" / "trials.parquet"
        if parquet.exists():
            table = pd.read_parquet(parquet)  # never torn
            assert not table.duplicated(["table", "row", "category", "seed", "metric"]).any()
        if i % 7 == 6:  # begin again, lest all is done too soon
            shutil.rmtree(ablation.folder / "runs", ignore_errors=True)
    pd.testing.assert_frame_equal(ablation.finish(), undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ctrl_c_keeps_what_is_done_and_the_next_run_goes_on(tiny_folder: Path, tmp_path: Path) -> None:
    ablation = Ablation(tmp_path / "a", tiny_folder)
    process = ablation.start()
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("done:"):
            break
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "The same command continues" in said
    assert "Traceback" not in said
    kept = list((ablation.folder / "runs" / "trials").glob("*/result.json"))
    assert 1 <= len(kept) < 6
    table = ablation.table()
    assert (table.status == "ok").sum() == 9 * len(kept)  # AUPIMO needs larger pictures
    assert set(ablation.finish().status) == {"ok", "undefined"}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_until_decided_trains_what_its_looks_ask_for(tiny_folder: Path, tmp_path: Path) -> None:
    ablation = Ablation(tmp_path / "a", tiny_folder, "--until-decided", "4", "--workers", "2", steps=1)
    table = ablation.finish()
    assert set(table["status"]) == {"ok", "undefined"}
    looks = pd.read_csv(ablation.folder / "out" / "looks.csv")
    assert looks["seeds"].min() == 2
    assert (looks[looks["verdict"] == "open"].groupby("row")["seeds"].max() == 4).all()
    trained = table.groupby("row")["seed"].nunique()
    assert looks.groupby("row")["seeds"].max().to_dict() == trained.drop("A").to_dict()
    assert "one more seed each, to 4 at most" in (ablation.folder / "out" / "report.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_cluster_that_loses_a_node_completes_the_grid(tiny_folder: Path, tmp_path: Path) -> None:
    """Two `ray start` processes with a CPU each; the second is killed while it trains."""

    def ray_start(name: str, *words: str) -> None:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", *words]
        environment = {**os.environ, "DLKD_TEST": name}
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr

    ray_start("first", "--head", "--port=6399", "--include-dashboard=false")
    try:
        ray_start("second", "--address=127.0.0.1:6399")
        ablation = Ablation(tmp_path / "a", tiny_folder, "--address", "127.0.0.1:6399", "--retries", "3", steps=120)
        process = ablation.start()
        assert process.stdout is not None
        running = 0
        said = []
        for line in process.stdout:
            said.append(line)
            running += line.startswith("running:")
            if running == 2:  # one on each node
                time.sleep(3)
                lost = ray_processes("second")
                assert any("ray::" in words and "IDLE" not in words for words in lost.values()), lost
                kill_all(lost)
                break
        rest, _ = process.communicate(timeout=600)
        assert process.returncode == 0, "".join(said) + rest
        assert set(ablation.table().status) == {"ok", "undefined"}
    finally:
        kill_all([*ray_processes("first"), *ray_processes("second")])


def test_results_say_what_they_rest_on(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    cell = make_tiny_cells()[0]
    run_trial(cell.spec, tmp_path / cell.key, load_registry())
    result = json.loads((tmp_path / cell.key / "result.json").read_text())
    assert {"dlkd", "torch", "timm", "python", "revision"} <= set(result["versions"])


def test_a_gpu_where_there_is_none(make_tiny_cells: MakeCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ray would wait for one without a word."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    with pytest.raises(MachineError, match="--trials-per-gpu 2: PyTorch sees no GPU"):
        run(make_tiny_cells(), tmp_path, trials_per_gpu=2)


@pytest.mark.parametrize(
    ("pool", "nodes", "said"),
    [
        ({"trials_per_gpu": 2}, [{"CPU": 8.0}], "at most 0 GPUs"),
        ({"threads": 16}, [{"CPU": 8.0}, {"CPU": 4.0}], "at most 8 CPUs"),
        ({"trials_per_gpu": 1, "threads": 4}, [{"CPU": 8.0}, {"CPU": 1.0, "GPU": 1.0}], "no node"),
        ({"trials_per_gpu": 2, "threads": 4}, [{"CPU": 8.0, "GPU": 1.0}], ""),
    ],
)
def test_a_cluster_where_no_node_has_what_a_trial_takes(
    pool: dict[str, int], nodes: list[dict[str, float]], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda **_: None)
    listed = [{"Alive": True, "Resources": node} for node in nodes]
    listed.append({"Alive": False, "Resources": {"CPU": 99.0, "GPU": 9.0}})
    monkeypatch.setattr(ray, "nodes", lambda: listed)
    joined = Pool(address="10.0.0.1:6379", **pool)  # type: ignore[arg-type]
    if not said:
        ray_session.start_ray(joined, tmp_path)
        return
    with pytest.raises(MachineError, match=said):
        ray_session.start_ray(joined, tmp_path)


@pytest.mark.parametrize("kind", [RuntimeError, Exception])  # the last where a node takes too long to start
def test_ray_that_does_not_start_is_one_message(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[Exception]
) -> None:
    def fail(**_: object) -> None:
        raise kind("no space in /dev/shm")

    monkeypatch.setattr(ray, "init", fail)
    with pytest.raises(MachineError, match="Ray does not start: no space in /dev/shm"):
        ray_session.start_ray(Pool(), tmp_path)


def test_names_that_ray_does_not_take_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda **_: "\udcff".encode())
    with pytest.raises(MachineError, match=r"not UTF-8.*make a link"):
        ray_session.start_ray(Pool(), tmp_path)
