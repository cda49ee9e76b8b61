"""The middle of FRFN in one pass, as loops and as PyTorch's operators in float64."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from dlkd.blocks.gated_depthwise import gated_depthwise, operator
from dlkd.blocks.gated_depthwise.flops import register_formula

SHAPES = [(1, 4, 1, 1), (2, 16, 3, 5), (2, 24, 20, 7), (1, 48, 33, 2), (3, 6, 2, 9)]
"""With vectors of 4, 16, 8, 16 and 2 lanes, of one and of many bands of rows."""


def drawn(shape: tuple[int, int, int, int], dtype: torch.dtype = torch.float32) -> list[Tensor]:
    """value, gate, weight and bias of a map of this shape, that need gradients."""
    generator = torch.Generator().manual_seed(0)
    c = shape[1]
    sizes = (shape, shape, (c, 1, 3, 3), (c,))
    return [(2 * torch.randn(size, generator=generator, dtype=dtype)).requires_grad_() for size in sizes]


def trained(run: Callable[..., Tensor], inputs: list[Tensor], dtype: torch.dtype) -> list[Tensor]:
    """The output and the four gradients."""
    leaves = [x.detach().to(dtype).requires_grad_() for x in inputs]
    y = run(*leaves)
    seed = torch.linspace(-1, 1, y.numel(), dtype=dtype).reshape(y.shape)
    return [y.detach(), *torch.autograd.grad(y, leaves, seed)]


@pytest.fixture
def threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.mark.parametrize("shape", SHAPES)
def test_equals_the_definition_written_as_loops(literal: Any, shape: tuple[int, int, int, int]) -> None:
    value, gate, weight, bias = (x.detach().double().numpy() for x in drawn(shape))
    inner = literal.conv(literal.gelu(value), weight, bias, depthwise=True)
    expected = torch.from_numpy(literal.gelu(inner) * literal.gelu(gate))
    torch.testing.assert_close(operator.plain(*drawn(shape, torch.float64)).shape, expected.shape)
    torch.testing.assert_close(operator.plain(*(x.double() for x in drawn(shape))), expected)
    torch.testing.assert_close(gated_depthwise(*drawn(shape)).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_gradients_equal_those_of_pytorchs_operators(
    shape: tuple[int, int, int, int], count: int, threads: Callable[[int], None]
) -> None:
    threads(count)
    inputs = drawn(shape)
    expected = trained(operator.plain, inputs, torch.float64)
    for got, wanted in zip(trained(gated_depthwise, inputs, torch.float32), expected, strict=True):
        assert got.dtype == torch.float32
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=2e-6 * float(wanted.abs().max()))


def test_the_same_threads_give_the_same_bits_and_others_the_same_maps(threads: Callable[[int], None]) -> None:
    inputs = drawn((2, 16, 40, 5))
    threads(3)
    first, second = (trained(gated_depthwise, inputs, torch.float32) for _ in range(2))
    threads(1)
    alone = trained(gated_depthwise, inputs, torch.float32)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first[:3], alone[:3], strict=True))


def test_the_layout_in_memory_changes_nothing() -> None:
    value, gate, weight, bias = drawn((2, 8, 6, 5))
    columns = [x.detach().contiguous(memory_format=torch.channels_last) for x in (value, gate)]
    assert torch.equal(gated_depthwise(*columns, weight, bias), gated_depthwise(value, gate, weight, bias))
    strided = [torch.cat([x, x], 3).detach()[..., ::2] for x in (value, gate)]
    expected = gated_depthwise(*(x.contiguous() for x in strided), weight, bias)
    assert torch.equal(gated_depthwise(*strided, weight, bias), expected)


def test_what_is_no_number_goes_where_the_window_takes_it() -> None:
    value, gate, weight, bias = (x.detach() for x in drawn((1, 4, 6, 6)))
    value[0, 1, 2, 3] = float("nan")
    gate[0, 0, 5, 5] = float("inf")
    found = gated_depthwise(value, gate, weight, bias)
    window = torch.zeros_like(value, dtype=torch.bool)
    window[0, 1, 1:4, 2:5] = True
    assert torch.equal(found.isnan(), window)
    infinite = torch.zeros_like(window)
    infinite[0, 0, 5, 5] = True
    assert torch.equal(found.isinf(), infinite)
    # Elsewhere as PyTorch's operators, whose GELU of infinity is NaN with AVX-512 and infinity without.
    plain = operator.plain(value, gate, weight, bias)
    assert torch.equal(plain.isnan()[~infinite], window[~infinite])


def test_far_from_zero_it_is_what_gelu_is_there() -> None:
    inputs = drawn((1, 4, 4, 4))
    far = [100 * inputs[0].detach(), 100 * inputs[1].detach(), *inputs[2:]]
    expected = trained(operator.plain, far, torch.float64)
    for got, wanted in zip(trained(gated_depthwise, far, torch.float32), expected, strict=True):
        torch.testing.assert_close(got.double(), wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()))


def test_a_second_derivative_is_refused_in_float32_and_taken_in_float64() -> None:
    inputs = drawn((1, 4, 2, 3))
    (first,) = torch.autograd.grad(gated_depthwise(*inputs).sum(), inputs[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="differentiated once only"):
        first.sum().backward()
    assert torch.autograd.gradgradcheck(gated_depthwise, drawn((1, 2, 2, 2), torch.float64))


def test_under_autocast_it_is_pytorchs_operators_in_bfloat16() -> None:
    inputs = drawn((1, 4, 5, 5))
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(gated_depthwise(*inputs), operator.plain(*inputs))
        assert gated_depthwise(*(x.bfloat16() for x in inputs)).dtype == torch.bfloat16


def test_without_numba_it_is_pytorchs_operators(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator, "HAS_NUMBA", False)
    inputs = drawn((1, 4, 5, 5))
    assert torch.equal(gated_depthwise(*inputs), operator.plain(*inputs))


def test_an_empty_batch_stays_empty() -> None:
    value, gate, weight, bias = drawn((1, 4, 5, 5))
    assert gated_depthwise(value[:0], gate[:0], weight, bias).shape == (0, 4, 5, 5)


@pytest.mark.parametrize("context", [nullcontext, torch.no_grad, torch.inference_mode])
def test_its_flops_are_those_of_the_convolution(context: Callable[[], Any]) -> None:
    register_formula()
    counts = []
    for run in (gated_depthwise, operator.plain):
        inputs = drawn((2, 4, 5, 6))
        with context(), FlopCounterMode(display=False) as counter:
            run(*inputs)
        counts.append(counter.get_total_flops())
    assert counts == [2 * 9 * 2 * 4 * 5 * 6] * 2


def test_an_exported_program_holds_pytorchs_operators_only() -> None:
    class Module(torch.nn.Module):
        def forward(self, *inputs: Tensor) -> Tensor:
            return gated_depthwise(*inputs)

    program = torch.export.export(Module(), tuple(x.detach() for x in drawn((1, 4, 5, 6))))
    assert not [node for node in program.graph.nodes if "dlkd" in str(node.target)]


def test_gelu_and_its_slope_are_right_to_float32s_digits() -> None:
    """Through the operator: with a window of one tap and an open gate it is GELU(GELU(x)) alone."""
    from scipy.special import ndtr

    x = np.linspace(-12, 12, 4096, dtype=np.float32).reshape(1, 1, 64, 64)
    value = torch.from_numpy(np.zeros_like(x))
    gate = torch.from_numpy(x).requires_grad_()
    y = gated_depthwise(value, gate, torch.zeros(1, 1, 3, 3), torch.full((1,), 20.0))  # GELU(20) is 20
    (slope,) = torch.autograd.grad(y.sum(), gate)
    wide = x.astype(np.float64)
    bell = np.exp(-wide * wide / 2) / np.sqrt(2 * np.pi)
    for got, wanted in ((y.detach(), wide * ndtr(wide)), (slope, ndtr(wide) + wide * bell)):
        error = np.abs(got.numpy() / 20 - wanted)
        assert error.max() < 2e-6
        assert (error[..., :16, :] <= 1e-5 * np.abs(wanted[..., :16, :]) + 1e-30).all()  # the tail keeps its digits
