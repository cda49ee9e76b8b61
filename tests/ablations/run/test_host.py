"""`--one-process`: the trials of a GPU in threads of one process. Ray is told of a GPU here; the trials use the CPU."""

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from rich.console import Console

from dlkd import cli
from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run import ray_session
from dlkd.ablations.run.display import Display
from dlkd.ablations.run.events import DIED
from dlkd.ablations.run.one_process import check_one_process
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.runner import run_cells
from dlkd.ablations.stored.trials import collect
from dlkd.registry import load_file, load_registry
from dlkd.registry.components import get
from dlkd.training import read_result, run_trial

MakeCells = Callable[..., list[Cell]]

# Leaves its process's number where it runs, and fails as `how` says.
SEEN = """
import os, pathlib, signal
from torch import nn
from dlkd.registry import register

@register("block", "seen")
class Seen(nn.Module):
    def __init__(self, channels: int, *, how: str = "", marker: str = "") -> None:
        super().__init__()
        self.layer = nn.Conv2d(channels, channels, 1)
        self.how, self.place = how, pathlib.Path(marker, how)

    def forward(self, x):
        if self.place.parent.is_dir():
            self.place.mkdir(exist_ok=True)
            (self.place / str(os.getpid())).touch()
        if self.how == "raises":
            raise RuntimeError("broken on purpose")
        if self.how == "killed" and len(list(self.place.iterdir())) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return self.layer(x)
"""
ROW = 'components: {block/seen: {shape: "b c h w -> b c h w", given: {channels: c}}}'


@pytest.mark.filterwarnings("ignore")  # Ray's own: unclosed sockets and files of its processes
@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.usefixtures("components")
def test_trials_share_a_process(make_tiny_cells: MakeCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_session, "check_pool", lambda _: None)
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "seen.yaml").write_text(ROW)
    load_file(tmp_path / "seen.py")
    registry = load_registry(tmp_path / "seen.yaml")
    marks = tmp_path / "marks"
    marks.mkdir()
    rows = [
        (how, {"decoder": {"local": {"name": "seen", "how": how, "marker": str(marks)}}})
        for how in ("raises", "as ever", "killed")
    ]
    cells, text, store = make_tiny_cells(rows, registry=registry), io.StringIO(), tmp_path / "store"
    pool = Pool(
        workers=2, trials_per_gpu=2, one_process=True,
        registry_files=[tmp_path / "seen.yaml"], imports=[tmp_path / "seen.py"],
    )  # fmt: skip
    with monkeypatch.context() as patch:  # the trial alone, below, is to see no GPU
        patch.setattr(torch.cuda, "device_count", lambda: 1)
        run_cells(cells, store, pool, Display(store, Console(file=text, width=500)))

    trials = collect(cells, store).drop_duplicates("row").set_index("row")
    assert dict(trials.status) == {"raises": "failed", "as ever": "ok", "killed": "ok"}, text.getvalue()
    assert trials.reason["raises"] == "RuntimeError: broken on purpose"
    assert "failed: raises, " in text.getvalue()
    assert "disc, seed 0: RuntimeError: broken on purpose" in text.getvalue()
    pids = {how.name: {pid.name for pid in how.iterdir()} for how in marks.iterdir()}
    assert len(pids["killed"]) == 2  # and a new process for its second time
    assert len(set().union(*pids.values())) == 2
    result = run_trial(cells[1].spec, tmp_path / "alone", registry)
    assert repr(read_result(store / cells[1].key).metrics) == repr(result.metrics)
    assert read_result(store / cells[1].key).curve == result.curve


@pytest.mark.filterwarnings("ignore")
@pytest.mark.timeout(300)
@pytest.mark.slow
@pytest.mark.usefixtures("components")
def test_a_process_that_dies_is_said(
    make_tiny_cells: MakeCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray_session, "check_pool", lambda _: None)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    (tmp_path / "seen.py").write_text(SEEN)
    (tmp_path / "seen.yaml").write_text(ROW)
    load_file(tmp_path / "seen.py")
    registry = load_registry(tmp_path / "seen.yaml")
    killed = {"decoder": {"local": {"name": "seen", "how": "killed", "marker": str(tmp_path)}}}
    cells, text, store = make_tiny_cells([("killed", killed)], registry=registry), io.StringIO(), tmp_path / "store"
    pool = Pool(
        trials_per_gpu=2, one_process=True, retries=0,
        registry_files=[tmp_path / "seen.yaml"], imports=[tmp_path / "seen.py"],
    )  # fmt: skip
    run_cells(cells, store, pool, Display(store, Console(file=text, width=500)))
    assert DIED in text.getvalue()
    assert set(collect(cells, store).reason) == {DIED}


@pytest.mark.parametrize(
    ("words", "said"),
    [(["--one-process"], "give --trials-per-gpu too"),
     (["--one-process", "--trials-per-gpu", "2", "--address", "auto"], "leave it or --address out"),
     (["--one-process", "--trials-per-gpu", "2", "--logger", "wandb"], "leave it or --one-process out")],
)  # fmt: skip
def test_where_it_cannot_be(
    words: list[str], said: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["dlkd", "ablate", "table4", *words])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert said in capfd.readouterr().err


def test_rows_that_need_a_process_of_their_own(make_tiny_cells: MakeCells, monkeypatch: pytest.MonkeyPatch) -> None:
    cells = make_tiny_cells([("plain", {}), ("compiled", {}, {"compile": True})])
    check_one_process(cells[:1])
    with pytest.raises(ValueError, match=r"g, row 'compiled': train\.compile") as error:
        check_one_process(cells)
    assert "row 'plain'" not in str(error.value)
    monkeypatch.setattr(get("model", "dlkd"), "draws_globally", True)
    with pytest.raises(ValueError, match="row 'plain': model dlkd draws from the random generators of the process"):
        check_one_process(cells)
    assert get("model", "anomalib").draws_globally
