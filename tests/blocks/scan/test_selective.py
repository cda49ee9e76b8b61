"""Every backend of the selective scan against the literal recurrence."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from dlkd.blocks.scan import Limits, backends, selective_scan
from dlkd.blocks.scan import backend as table

Inputs = dict[str, Tensor]
Backend = Any  # conftest's
OPTIONAL = ["D", "z", "dt_bias"]

shapes = st.tuples(
    st.integers(0, 2),  # b
    st.sampled_from([(2, 1), (4, 2), (3, 3), (6, 1)]),  # d and groups
    st.sampled_from([0, 1, 2, 15, 16, 17, 31, 32, 33, 70, 129]),  # l, around every block size
    st.lists(st.sampled_from(OPTIONAL), unique=True),  # those present
    st.booleans(),  # softplus
    st.integers(0, 10_000),  # seed
)


def gradients(y: Tensor, inputs: Inputs, seed: Tensor) -> tuple[Tensor, ...]:
    return torch.autograd.grad(y, list(inputs.values()), seed, allow_unused=True, materialize_grads=True)


def relative_error(got: Tensor, wanted: Tensor) -> float:
    if wanted.numel() == 0:
        return 0.0
    got, wanted = got.detach(), wanted.detach()
    assert got.isfinite().all()
    return float((got - wanted).abs().max() / wanted.abs().max().clamp(min=1e-30))


@pytest.mark.parametrize(
    ("dtype", "tolerance", "states"),
    [(torch.float64, 1e-9, (1, 3, 16)), (torch.float32, 1e-5, (1, 8, 16, 64))],
)
@given(case=shapes, data=st.data())
@settings(deadline=None, max_examples=25)
def test_forward_and_every_gradient_are_the_recurrences(
    backend: Backend,
    dtype: torch.dtype,
    tolerance: float,
    states: tuple[int, ...],
    draw: Callable[..., Inputs],
    literal: Callable[..., Tensor],
    case: tuple[int, tuple[int, int], int, list[str], bool, int],
    data: st.DataObject,
) -> None:
    b, (d, groups), length, present, softplus, seed = case
    if backend.interpreted:
        length, states = min(length, 33), (1, 3)
    n = data.draw(st.sampled_from(states))
    inputs = draw(b, d, length, n, groups, seed=seed, dtype=dtype)
    inputs = {name: x for name, x in inputs.items() if name not in OPTIONAL or name in present}
    exact = {name: x.detach().double().requires_grad_() for name, x in inputs.items()}
    got = backend(**inputs, dt_softplus=softplus)
    wanted = literal(**exact, dt_softplus=softplus)
    assert got.dtype == dtype
    assert relative_error(got, wanted) <= tolerance
    weights = torch.randn_like(got)
    for name, g, w in zip(
        inputs, gradients(got, inputs, weights), gradients(wanted, exact, weights.double()), strict=True
    ):
        assert relative_error(g, w) <= tolerance, name


def test_long_sequences_keep_their_digits(
    backend: Backend, draw: Callable[..., Inputs], literal: Callable[..., Tensor]
) -> None:
    if backend.interpreted:
        pytest.skip("would take minutes")
    inputs = draw(1, 4, 4096, 16, dtype=torch.float32)
    exact = {name: x.detach().double().requires_grad_() for name, x in inputs.items()}
    got, wanted = backend(**inputs), literal(**exact)
    assert relative_error(got, wanted) <= 1e-5
    weights = torch.randn_like(got)
    for name, g, w in zip(
        inputs, gradients(got, inputs, weights), gradients(wanted, exact, weights.double()), strict=True
    ):
        assert relative_error(g, w) <= 1e-5, name


def test_gradcheck(backend: Backend, draw: Callable[..., Inputs]) -> None:
    inputs = draw(2, 4, 35, 3, 2)
    with torch.no_grad():
        inputs["dt"].clamp_(0.05, 2)
        inputs["A"].clamp_(-3, -0.1)
    names = list(inputs)

    def scan(*tensors: Tensor) -> Tensor:
        return backend(**dict(zip(names, tensors, strict=True)), dt_softplus=True)

    assert torch.autograd.gradcheck(scan, tuple(inputs.values()), fast_mode=True)


def test_torch_backend_has_second_derivatives(draw: Callable[..., Inputs]) -> None:
    inputs = draw(1, 2, 5, 2)
    with torch.no_grad():
        inputs["dt"].clamp_(0.05, 2)
        inputs["A"].clamp_(-3, -0.1)
    names = list(inputs)

    def scan(*tensors: Tensor) -> Tensor:
        return selective_scan(**dict(zip(names, tensors, strict=True)), dt_softplus=True, backend="torch")

    assert torch.autograd.gradgradcheck(scan, tuple(inputs.values()), fast_mode=True)


def test_others_refuse_second_derivatives(backend: Backend, draw: Callable[..., Inputs]) -> None:
    if backend.name == "torch":
        pytest.skip("has them")
    inputs = draw(1, 2, 5, 2, dtype=torch.float32)
    (du,) = torch.autograd.grad(backend(**inputs).sum(), inputs["u"], create_graph=True)
    with pytest.raises(RuntimeError, match=rf'the {backend.name} .* differentiated once only; .* backend="torch"'):
        du.sum().backward()


def test_strided_and_expanded_inputs(
    backend: Backend, draw: Callable[..., Inputs], literal: Callable[..., Tensor]
) -> None:
    plain = {name: x.detach() for name, x in draw(2, 4, 9, 3, 2).items()}
    strided = {
        **plain,
        "u": plain["u"].transpose(1, 2).contiguous().transpose(1, 2),
        "dt": plain["dt"][:1, :, :1].expand(2, 4, 9),
        "A": plain["A"][:1].expand(4, 3),
        "B": plain["B"].transpose(2, 3).contiguous().transpose(2, 3),
        "C": plain["C"][:, :1].expand(2, 2, 3, 9),
        "z": plain["z"].repeat(1, 1, 2)[:, :, ::2],
        "D": plain["D"][:1].expand(4),
    }
    strided = {name: x.requires_grad_() for name, x in strided.items()}
    got, wanted = backend(**strided), literal(**strided)
    torch.testing.assert_close(got, wanted)
    seed = torch.randn_like(got).transpose(1, 2).contiguous().transpose(1, 2)
    torch.testing.assert_close(gradients(got, strided, seed), gradients(wanted, strided, seed))


def test_steps_that_lie_by_channel(
    backend: Backend, draw: Callable[..., Inputs], literal: Callable[..., Tensor]
) -> None:
    inputs = {name: x.detach() for name, x in draw(3, 4, 9, 2).items()}
    inputs["dt"] = inputs["dt"].transpose(0, 1).contiguous().transpose(0, 1)
    inputs = {name: x.requires_grad_() for name, x in inputs.items()}
    got, wanted = backend(**inputs), literal(**inputs)
    torch.testing.assert_close(got, wanted)
    seed = torch.randn_like(got)
    found = gradients(got, inputs, seed)
    torch.testing.assert_close(found, gradients(wanted, inputs, seed))
    if backend.device == "cpu" and backend.name in (
        "numba",
        "triton",
    ):  # read in place, and the gradient laid out alike
        assert found[1].stride() == inputs["dt"].stride()


def test_b_and_c_without_groups_are_one_group(backend: Backend, draw: Callable[..., Inputs]) -> None:
    inputs = draw(2, 4, 9, 3)
    flat = {name: x.squeeze(1) if name in "BC" else x for name, x in inputs.items()}
    assert torch.equal(backend(**flat), backend(**inputs))


@pytest.mark.parametrize("name", ["u", "dt", "A", "B", "C", "z"])
def test_nan_reaches_its_own_channel_and_what_comes_after(
    backend: Backend, name: str, draw: Callable[..., Inputs]
) -> None:
    inputs = {key: x.detach().float() for key, x in draw(2, 2, 40, 16).items()}
    x = inputs[name]
    x[(0, 0, 20) if x.dim() == 3 else (0, 0, 3, 20) if x.dim() == 4 else (0, 5)] = torch.nan
    y = backend(**inputs)
    assert y[0, 0, 20].isnan()
    if name in ("u", "dt", "B"):  # they enter the state
        assert y[0, 0, 20:].isnan().all()
    if name != "A":
        assert y[0, 0, :20].isfinite().all()
        assert y[1].isfinite().all()
    if name in ("u", "dt", "z"):
        assert y[0, 1].isfinite().all()


def test_nan_reaches_the_gradients_it_should(backend: Backend, draw: Callable[..., Inputs]) -> None:
    inputs = draw(2, 2, 40, 16, dtype=torch.float32)
    with torch.no_grad():
        inputs["u"][0, 0, 20] = torch.nan
    du, ddt, dA = gradients(backend(**inputs), inputs, torch.ones(2, 2, 40))[:3]
    assert ddt[0, 0, 20:].isnan().all()  # a step's size acts on the state that it finds
    assert dA[0].isnan().all()
    assert all(x.isfinite().all() for x in (du, ddt[0, 0, :20], ddt[0, 1], ddt[1], dA[1]))


def test_decay_beyond_float_range_is_zero(backend: Backend) -> None:
    u = torch.ones(1, 1, 4, requires_grad=True)
    dt, B, C = torch.full((1, 1, 4), 1e4), torch.ones(1, 1, 4), torch.ones(1, 1, 4)
    y = backend(u, dt, torch.tensor([[-1e4]]), B, C)
    torch.testing.assert_close(y, torch.full((1, 1, 4), 1e4))
    (du,) = torch.autograd.grad(y.sum(), u)
    torch.testing.assert_close(du, torch.full((1, 1, 4), 1e4))


def test_no_states_leave_the_skip_connection(backend: Backend) -> None:
    u = torch.randn(2, 3, 5, requires_grad=True)
    A, B, D = torch.zeros(3, 0), torch.zeros(2, 0, 5), torch.tensor([1.0, 2.0, 3.0])
    y = backend(u, u, A, B, B, D)
    torch.testing.assert_close(y, u * D[:, None])
    torch.testing.assert_close(torch.autograd.grad(y.sum(), u)[0], D[:, None].expand(2, 3, 5))


def test_half_precision_is_scanned_in_float32(backend: Backend, draw: Callable[..., Inputs]) -> None:
    half = {name: x.detach().bfloat16() for name, x in draw(2, 4, 50, 4).items()}
    y = backend(**half)
    assert y.dtype == torch.bfloat16
    with torch.autocast(backend.device, torch.bfloat16):
        single = backend(**{name: x.float() for name, x in half.items()})
    assert single.dtype == torch.float32
    assert torch.equal(y, single.bfloat16())


def test_exports_as_plain_operators(draw: Callable[..., Inputs]) -> None:
    class Scan(torch.nn.Module):
        def forward(self, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor) -> Tensor:
            return selective_scan(u, dt, A, B, C)

    inputs = tuple(draw(2, 4, 10, 3)[name].detach() for name in ("u", "dt", "A", "B", "C"))
    program = torch.export.export(Scan(), inputs)
    assert not [node for node in program.graph.nodes if "dlkd" in str(node.target)]
    torch.testing.assert_close(program.module()(*inputs), selective_scan(*inputs))


@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.filterwarnings("default")  # the compiler's own
def test_compiles_whole(backend: Backend, compiler: str, draw: Callable[..., Inputs]) -> None:
    if backend.name.startswith("mamba_ssm"):
        pytest.skip("its kernels cannot be compiled into a graph")

    def scan(**inputs: Tensor) -> Tensor:
        return backend(**inputs, dt_softplus=True)

    inputs = draw(2, 4, 10, 3)
    got, wanted = torch.compile(scan, fullgraph=True, backend=compiler)(**inputs), scan(**inputs)
    torch.testing.assert_close(got, wanted)
    seed = torch.randn_like(got)
    torch.testing.assert_close(gradients(got, inputs, seed), gradients(wanted, inputs, seed))


def test_auto_says_at_debug_level_what_it_chose(draw: Callable[..., Inputs], caplog: pytest.LogCaptureFixture) -> None:
    inputs = draw(1, 2, 3, 1)
    with caplog.at_level(logging.DEBUG, logger="dlkd.blocks.scan.backend"):
        assert torch.equal(selective_scan(**inputs), selective_scan(**inputs, backend="numba"))
    assert [record.message for record in caplog.records if "auto chose numba for (1, 2, 3) on cpu" in record.message]


@pytest.mark.parametrize(
    ("usable", "chosen"), [({"mamba_ssm", "triton"}, "mamba_ssm"), ({"triton"}, "triton"), (set(), "torch")]
)
def test_auto_off_the_cpu_takes_the_first_that_can(
    usable: set[str], chosen: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    able = {*usable, "torch"}
    monkeypatch.setattr(table, "limits_of", lambda name: Limits() if name in able else Limits(("nowhere",)))
    assert table.choose_backend("auto", torch.empty(1, 2, 3, device="meta")) == chosen


def test_unknown_backend_is_named_with_the_known(draw: Callable[..., Inputs]) -> None:
    with pytest.raises(ValueError, match=f"unknown backend 'gpu'; known: auto, {', '.join(backends())}$"):
        selective_scan(**draw(1, 2, 3, 1), backend="gpu")
    with pytest.raises(ValueError, match=r"unknown backend 'tritn'; did you mean 'triton'\?"):
        selective_scan(**draw(1, 2, 3, 1), backend="tritn")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"u": torch.zeros(4, 5)}, r"u must be \(b, d, l\), got \(4, 5\)"),
        ({"dt": torch.zeros(2, 4, 4)}, r"dt must be \(2, 4, 5\) to fit u, got \(2, 4, 4\)"),
        ({"A": torch.zeros(4)}, r"A must be \(d, n\), got \(4,\)"),
        ({"A": torch.zeros(5, 3)}, r"A must be \(4, 3\) to fit u, got \(5, 3\)"),
        ({"B": torch.zeros(2, 3, 4)}, r"B must be \(2, 3, 5\) or .* got \(2, 3, 4\)"),
        ({"C": torch.zeros(2, 3, 3, 5)}, r"C must be .* g dividing 4, got \(2, 3, 3, 5\)"),
        ({"B": torch.zeros(2, 4, 3, 5)}, "B has 4 groups, C 1"),
        ({"D": torch.zeros(3)}, r"D must be \(4,\)"),
        ({"z": torch.zeros(2, 4, 6)}, r"z must be \(2, 4, 5\)"),
        ({"dt_bias": torch.zeros(2)}, r"dt_bias must be \(4,\)"),
        (
            {"A": torch.zeros(4, 3, dtype=torch.complex64)},
            "A must be real floating point, got torch.complex64",
        ),
        ({"A": torch.zeros(4, 3, device="meta")}, "A is on meta and u on cpu"),
    ],
)
def test_inputs_that_do_not_fit_are_named(changed: Inputs, message: str, draw: Callable[..., Inputs]) -> None:
    with pytest.raises(ValueError, match=f"^selective_scan: {message}"):
        selective_scan(**{**draw(2, 4, 5, 3), **changed})
