"""Outputs of every component are those that were frozen, within what another processor rounds otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from dlkd.check import frozen
from dlkd.registry import default_registry

FILE = Path(__file__).with_name("frozen.safetensors")
FROZEN = load_file(FILE)
REGISTRY = default_registry()
WITH_SHAPE = [name for name, row in REGISTRY.rows.items() if row.shape is not None]
MEND = "if that is meant: python -m dlkd.check.frozen tests/contracts/frozen.safetensors"


def of(name: str) -> dict[str, Tensor]:
    return {key: value for key, value in FROZEN.items() if key.rpartition(".")[0] == name}


@pytest.mark.parametrize("name", WITH_SHAPE)
def test_outputs_are_the_frozen_ones(name: str) -> None:
    found = frozen.moved(of(name), frozen.outputs(REGISTRY, name))
    assert not found, f"{found}; {MEND}"


def test_nothing_is_frozen_that_is_gone_and_the_file_is_small() -> None:
    assert {key.rpartition(".")[0] for key in FROZEN} == set(WITH_SHAPE), MEND
    assert FILE.stat().st_size < 400_000


def test_a_number_that_moves_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.nn.functional, "relu", lambda x, inplace=False: x.clamp(min=1e-3))
    [told] = frozen.moved(of("act/relu"), frozen.outputs(REGISTRY, "act/relu"))
    assert told == "act/relu.0: moved by up to 1.0e-03, where 1e-04 is rounding"


def test_what_is_new_gone_or_of_another_shape_is_told() -> None:
    one, two = torch.zeros(1), torch.zeros(2)
    assert frozen.moved({"a.0": one, "b.0": one, "d.0": one}, {"b.0": two, "c.0": one, "d.0": one}) == [
        "a.0: frozen, and not there any more",
        "b.0: (1,) became (2,)",
        "c.0: not frozen yet",
    ]
