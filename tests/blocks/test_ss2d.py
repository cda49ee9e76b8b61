"""SS2D against a loop over directions and steps written from VM-UNet's description."""

from __future__ import annotations

import copy
import io

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from dlkd.blocks.scan import scan_curves
from dlkd.blocks.ss2d import SS2D
from dlkd.contract import ContractError

ORDERS = ["raster2", "cross4", "cross8", "hilbert8", "zigzag8"]


def literal_ss2d(m: SS2D, x: Tensor) -> Tensor:
    """Direction by direction, step by step, channels last as in VM-UNet."""
    b, c, h, w = x.shape
    xz = m.in_proj(x.permute(0, 2, 3, 1))
    inner, z = xz.chunk(2, dim=-1) if m.gate else (xz, None)
    u = m.act(m.conv2d(inner.permute(0, 3, 1, 2))).flatten(2)
    d = u.shape[1]
    curves = scan_curves(m.scan, h, w).long()
    total = torch.zeros_like(u)
    for k, curve in enumerate([*curves, *curves.flip(1)]):
        along = u[:, :, curve]
        low, B, C = (m.x_proj_weight[k] @ along).split([m.dt_rank, m.d_state, m.d_state], dim=1)
        dt = F.softplus(m.dt_projs_weight[k] @ low + m.dt_projs_bias[k][:, None])
        A = -m.A_logs[k * d : (k + 1) * d].exp()
        state = u.new_zeros(b, d, m.d_state)
        for t in range(h * w):
            step, value = dt[:, :, t, None], along[:, :, t, None]
            state = (step * A).exp() * state + step * B[:, None, :, t] * value
            y = (state * C[:, None, :, t]).sum(-1) + m.Ds[k * d : (k + 1) * d] * along[:, :, t]
            total[:, :, curve[t]] += y
    y = m.out_norm(total.transpose(1, 2))
    if z is not None:
        y = y * F.silu(z.reshape(b, h * w, d))
    return m.out_proj(y).transpose(1, 2).reshape(b, c, h, w)


@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.parametrize("scan", ORDERS)
@settings(deadline=None, max_examples=10)
@given(h=st.integers(2, 6), w=st.integers(2, 6), gate=st.booleans())
def test_equals_the_literal_loop(backend: str, scan: str, h: int, w: int, gate: bool) -> None:
    torch.manual_seed(h * 10 + w)
    m = SS2D(3, d_state=4, scan=scan, gate=gate, backend=backend).double()
    with torch.no_grad():
        m.Ds.normal_()
        m.A_logs.add_(torch.rand_like(m.A_logs))
    x = torch.randn(2, 3, h, w, dtype=torch.float64, requires_grad=True)
    wanted, got = literal_ss2d(m, x), m(x)
    torch.testing.assert_close(got, wanted)
    seed = torch.randn_like(wanted)
    inputs = [x, *m.parameters()]
    torch.testing.assert_close(torch.autograd.grad(got, inputs, seed), torch.autograd.grad(wanted, inputs, seed))


def test_initial_state_space_is_mambas() -> None:
    m = SS2D(40, dt_min=0.01, dt_max=0.05, d_state=5)
    dt = F.softplus(m.dt_projs_bias)
    assert m.dt_rank == 3
    assert 0.0099 < dt.min() < 0.012 < 0.04 < dt.max() < 0.0501
    torch.testing.assert_close(m.A_logs.exp(), torch.arange(1.0, 6.0).expand(4 * 80, 5))
    assert m.Ds.eq(1).all()
    assert m.dt_projs_weight.abs().max() <= 3**-0.5
    assert m.A_logs._no_weight_decay
    assert m.Ds._no_weight_decay


def test_parameter_names_and_shapes_are_vm_unets() -> None:
    shapes = {name: tuple(p.shape) for name, p in SS2D(32, d_state=16).named_parameters()}
    assert shapes == {
        "in_proj.weight": (128, 32),
        "conv2d.weight": (64, 1, 3, 3),
        "conv2d.bias": (64,),
        "x_proj_weight": (4, 34, 64),
        "dt_projs_weight": (4, 64, 2),
        "dt_projs_bias": (4, 64),
        "A_logs": (256, 16),
        "Ds": (256,),
        "out_norm.weight": (64,),
        "out_norm.bias": (64,),
        "out_proj.weight": (32, 64),
    }


@pytest.mark.parametrize("backend", ["numba", "torch"])
def test_runs_under_bf16_autocast_close_to_float32(backend: str) -> None:
    torch.manual_seed(0)
    m = SS2D(8, d_state=4, backend=backend)
    x = torch.randn(2, 8, 7, 5)
    with torch.autocast("cpu", torch.bfloat16):
        y = m(x)
    y.float().square().mean().backward()
    assert y.dtype == torch.bfloat16
    torch.testing.assert_close(y.float(), m(x), rtol=0.05, atol=0.02)
    assert all(p.grad is not None and p.grad.isfinite().all() for p in m.parameters())


def test_a_sample_does_not_see_its_batch() -> None:
    m = SS2D(8, d_state=4).eval()
    x = torch.randn(3, 8, 6, 9)
    torch.testing.assert_close(m(x)[1:2], m(x[1:2]))


def test_channels_last_and_empty_batches() -> None:
    m = SS2D(8, d_state=4)
    x = torch.randn(2, 8, 6, 9)
    torch.testing.assert_close(m(x.to(memory_format=torch.channels_last)), m(x))
    assert m(x[:0]).shape == (0, 8, 6, 9)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((2, 7, 4, 4), "ss2d: axis c must be == 8, got 7"),
        ((8, 4, 4), r"ss2d: expected a map"),
        ((1, 8, 1, 4), "ss2d: axis h must be >= 2, got 1"),
        ((1, 8, 4, 1), "ss2d: axis w must be >= 2, got 1"),
    ],
)
def test_refuses_other_shapes(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ContractError, match=message):
        SS2D(8)(torch.zeros(shape))


def test_refuses_unknown_orders_backends_and_impossible_step_sizes() -> None:
    with pytest.raises(ValueError, match='unknown scan order "spiral"; known: cross4'):
        SS2D(8, scan="spiral")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="unknown backend 'cud'; known: auto, loop, mamba_ssm"):
        SS2D(8, backend="cud")
    with pytest.raises(ValueError, match=r"0 < dt_min <= dt_max, got 0.2 and 0.1"):
        SS2D(8, dt_min=0.2)


def test_copies_saves_and_loads() -> None:
    m = SS2D(8, d_state=4).eval()
    x = torch.randn(1, 8, 4, 4)
    buffer = io.BytesIO()
    torch.save(m.state_dict(), buffer)
    buffer.seek(0)
    other = SS2D(8, d_state=4).eval()
    other.load_state_dict(torch.load(buffer, weights_only=True))
    assert torch.equal(other(x), m(x))
    assert torch.equal(copy.deepcopy(m)(x), m(x))


def exported(m: SS2D, x: Tensor) -> torch.export.ExportedProgram:
    return torch.export.export(m, (x,), dynamic_shapes=({0: torch.export.Dim("b", min=1, max=64)},))


def test_exports_as_plain_operators_for_any_batch() -> None:
    m = SS2D(8, d_state=4, scan="hilbert8").eval()
    program = exported(m, torch.randn(2, 8, 5, 3))
    assert not [n for n in program.graph.nodes if "dlkd" in str(n.target)]
    x = torch.randn(3, 8, 5, 3)
    torch.testing.assert_close(program.module()(x), m(x))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # the exporter's own
def test_exports_to_onnx_for_any_batch() -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    m = SS2D(8, d_state=4, scan="zigzag8").eval()
    file = io.BytesIO()
    torch.onnx.export(exported(m, torch.randn(2, 8, 5, 3)), dynamo=True, verbose=False).save(file)
    session = onnxruntime.InferenceSession(file.getvalue())
    x = torch.randn(3, 8, 5, 3)
    (y,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    torch.testing.assert_close(torch.from_numpy(y), m(x).detach())


@pytest.mark.parametrize("compiler", ["aot_eager", pytest.param("inductor", marks=pytest.mark.slow)])
@pytest.mark.parametrize("backend", ["numba", "torch"])
@pytest.mark.filterwarnings("default")  # the compiler's own
def test_compiles_whole_and_trains(backend: str, compiler: str) -> None:
    m = SS2D(4, d_state=2, backend=backend)
    x = torch.randn(2, 4, 3, 3)
    compiled = torch.compile(m, fullgraph=True, backend=compiler)
    torch.testing.assert_close(compiled(x), m(x))
    wanted = torch.autograd.grad(m(x).square().sum(), list(m.parameters()))
    torch.testing.assert_close(torch.autograd.grad(compiled(x).square().sum(), list(m.parameters())), wanted)


@pytest.mark.filterwarnings("default")  # the compiler's own
def test_several_scans_compile_in_one_model() -> None:
    m = nn.Sequential(SS2D(4, d_state=2), nn.MaxPool2d(2), SS2D(4, d_state=2))
    x = torch.randn(2, 4, 4, 4)
    compiled = torch.compile(m, fullgraph=True, backend="aot_eager")
    wanted = torch.autograd.grad(m(x).square().sum(), list(m.parameters()))
    torch.testing.assert_close(torch.autograd.grad(compiled(x).square().sum(), list(m.parameters())), wanted)
