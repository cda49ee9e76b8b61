"""FLOPs of a scan: those of the definition, counted one by one, whatever computes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dlkd.blocks import SS2D
from dlkd.blocks.scan import scan_curves
from dlkd.blocks.scan.flops import register_formula

Backend = Any  # conftest's


class Number:
    """A number that counts what is done with it."""

    done = 0

    def __add__(self, other: Number) -> Number:
        Number.done += 1
        return Number()

    __mul__ = __add__


def by_hand(rows: int, steps: int, states: int, skip: bool) -> int:
    """Multiplications and additions of h_t = exp(dt_t A) h_{t-1} + B_t (dt_t u_t), y_t = C_t h_t + D u_t."""
    Number.done = 0
    A, B, C, h = ([Number() for _ in range(states)] for _ in range(4))
    D, u, dt = Number(), Number(), Number()
    for _ in range(rows * steps):
        y = Number()
        entering = dt * u
        for i in range(states):
            log_decay = dt * A[i]
            h[i] = log_decay * h[i] + B[i] * entering  # the exponential is not counted
            y += C[i] * h[i]
        if skip:
            y += D * u
    return Number.done


def counted(run: Callable[[], object]) -> int:
    register_formula()
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.flop_counts["Global"][torch.ops.dlkd.counted_scan])


@pytest.mark.parametrize("skip", [True, False])
def test_a_scan_counts_what_its_definition_does(backend: Backend, draw: Callable[..., Any], skip: bool) -> None:
    inputs = draw(2, 4, 5, 3, 2, dtype=torch.float32)
    if not skip:
        del inputs["D"]
    assert counted(lambda: backend(**inputs, dt_softplus=True)) == by_hand(2 * 4, 5, 3, skip)


def test_every_direction_of_a_map_counts(backend: Backend, draw: Callable[..., Any]) -> None:
    curves = scan_curves("cross4", 2, 3)
    directions = 2 * len(curves)
    inputs = draw(2, 4 * directions, 6, 3, directions, dtype=torch.float32)
    inputs["u"] = inputs["u"][:, :4]
    del inputs["z"]
    assert counted(lambda: backend(**inputs, curves=curves)) == by_hand(2 * 4 * directions, 6, 3, True)


@pytest.mark.parametrize("context", [torch.no_grad, torch.inference_mode, torch.enable_grad])
def test_a_block_counts_the_same_with_each_backend(context: Any) -> None:
    image: Tensor = torch.rand(1, 4, 5, 6)

    def flops(backend: str) -> int:
        with FlopCounterMode(display=False) as counter, context():
            SS2D(4, d_state=3, backend=backend)(image)
        return int(counter.get_total_flops())

    register_formula()
    assert flops("numba") == flops("torch") > by_hand(4 * 8, 30, 3, True)


def test_an_exported_block_holds_no_counter() -> None:
    program = torch.export.export(SS2D(4, d_state=3, backend="torch").eval(), (torch.rand(1, 4, 5, 6),))
    assert not [node for node in program.graph.nodes if "counted" in str(node.target)]
