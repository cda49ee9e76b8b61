"""`--trials-per-gpu`: two trials at a time on one GPU, in a process each and in one process.

`make gpu` runs this; it needs Ray."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from dlkd.ablations.plan.cells import Cell
from dlkd.training.trials.trial_result import read_result


@pytest.mark.gpu
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore")  # Ray's own: unclosed sockets and files of its processes
def test_trials_share_a_gpu(make_tiny_cells: Callable[..., list[Cell]], tmp_path: Path, gpu: torch.device) -> None:
    pytest.importorskip("ray", reason="Ray is not installed")
    from rich.console import Console

    from dlkd.ablations.run.display import Display
    from dlkd.ablations.run.pool import Pool
    from dlkd.ablations.run.runner import run_cells

    cells, text = make_tiny_cells(seeds=2), io.StringIO()
    share = 2 if gpu.type == "cuda" else 0
    ways = {"processes": Pool(workers=2, trials_per_gpu=share)}
    if share:
        ways["one"] = Pool(workers=2, trials_per_gpu=share, one_process=True)
    for way, pool in ways.items():
        run_cells(cells, tmp_path / way, pool, Display(tmp_path / way, Console(file=text, width=500)))
    assert len(cells) == 4
    for cell in cells:
        results = [read_result(tmp_path / way / cell.key) for way in ways]
        assert all(result.curve for result in results), text.getvalue()
        for result in results:  # a GPU's sums may differ in their last bits
            for one, first in zip(result.curve, results[0].curve, strict=True):
                assert one == pytest.approx(first, rel=1e-3)
