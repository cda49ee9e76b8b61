"""A scan backend of a user's own file, chosen by its name in a training like one of dlkd's."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file as load_tensors

from dlkd.ablations.plan.keys import cell_code
from dlkd.blocks import SS2D
from dlkd.blocks.scan import backends
from dlkd.registry import default_registry, get, list_components, load_file
from dlkd.training import TrialSpec, run_trial

MINE = """
import torch
from dlkd.blocks.scan import ScanInputs, runs_on
from dlkd.blocks.scan.torch_backend import torch_scan
from dlkd.registry import register

calls = []

@register("scan", "mine")
@runs_on("cpu", dtypes=(torch.float32,))
def my_scan(inputs: ScanInputs, dt_softplus: bool) -> torch.Tensor:
    calls.append(1)
    return torch_scan(inputs, dt_softplus)
"""


@pytest.fixture
def mine(tmp_path: Path, components: None) -> Path:
    file = tmp_path / "my_scan.py"
    file.write_text(MINE, encoding="utf-8")
    load_file(file)
    return file


def test_it_trains_and_gives_what_the_backend_below_it_gives(
    mine: Path, make_spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    small = {"d_state": 2, "scan": "raster2"}
    weights = {}
    for backend in ("mine", "torch"):
        spec = make_spec("dlkd", overrides={"decoder": {"global": {**small, "backend": backend}}}, epochs=1)
        run_trial(spec, tmp_path / backend, default_registry())
        weights[backend] = load_tensors(tmp_path / backend / "weights.safetensors")
    assert get("scan", "mine").__globals__["calls"]
    assert weights["mine"].keys() == weights["torch"].keys()
    assert all(torch.equal(value, weights["torch"][name]) for name, value in weights["mine"].items())


@pytest.mark.usefixtures("mine")
def test_the_table_lists_it_with_its_limits_and_refuses_beyond_them() -> None:
    assert "mine" in list_components("scan")
    assert backends()["mine"].devices == ("cpu",)
    with pytest.raises(ValueError, match='"mine" cannot be used: it computes in float32 and u is float64'):
        SS2D(4, d_state=2, backend="mine").double()(torch.zeros(1, 4, 2, 2, dtype=torch.float64))
    with pytest.raises(ValueError, match=r"decoder\.global: .*unknown backend 'min'; did you mean 'mine'\?"):
        default_registry().resolve("dlkd", {"decoder": {"global": {"backend": "min"}}})


def test_the_key_of_a_cell_holds_its_file(mine: Path, make_spec: Callable[..., TrialSpec]) -> None:
    spec = make_spec("dlkd", overrides={"decoder": {"global": {"backend": "mine"}}})
    assert str(mine.resolve()) in cell_code(spec, default_registry())
