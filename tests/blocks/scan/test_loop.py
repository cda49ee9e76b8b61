"""The scan as a loop: the numbers of the definition, and one node of a graph for batches of any size."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from dlkd.blocks.scan import directional_scan, scan_curves, selective_scan

Inputs = dict[str, Tensor]
ORDER = ("u", "dt", "A", "B", "C", "D", "z", "dt_bias")
WITH_BATCH = {"u", "dt", "B", "C", "z"}


class Scan(torch.nn.Module):
    def forward(self, *inputs: Tensor) -> Tensor:
        return selective_scan(**dict(zip(ORDER, inputs, strict=True)), dt_softplus=True, backend="loop")


@pytest.fixture(scope="module")
def program(draw: Callable[..., Inputs]) -> torch.export.ExportedProgram:
    inputs = draw(2, 6, 9, 4, groups=2, dtype=torch.float32)
    batch = {0: torch.export.Dim("b", min=1, max=64)}
    axes = tuple(batch if name in WITH_BATCH else None for name in ORDER)
    with torch.no_grad():
        return torch.export.export(Scan(), tuple(inputs[n].detach() for n in ORDER), dynamic_shapes=(axes,))


@pytest.mark.parametrize("b", [1, 5])
def test_gives_the_numbers_of_the_definition(
    b: int,
    program: torch.export.ExportedProgram,
    draw: Callable[..., Inputs],
    literal: Callable[..., Tensor],
) -> None:
    inputs = {name: x.detach() for name, x in draw(b, 6, 9, 4, groups=2, seed=b, dtype=torch.float32).items()}
    wanted = literal(**{name: x.double() for name, x in inputs.items()}, dt_softplus=True)
    torch.testing.assert_close(program.module()(*(inputs[n] for n in ORDER)).double(), wanted, rtol=1e-5, atol=1e-5)


class AlongCurves(torch.nn.Module):
    def forward(self, u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor) -> Tensor:
        curves = scan_curves("hilbert8", 3, 4)
        return directional_scan(
            u, dt, A, B, C, D, curves=curves, dt_bias=dt_bias, dt_softplus=True, backend="loop"
        )  # fmt: skip


def test_sums_the_directions_along_curves(draw: Callable[..., Inputs]) -> None:
    inputs = {name: x.detach() for name, x in draw(2, 24, 12, 4, 8, dtype=torch.float32).items() if name != "z"}
    inputs["u"] = inputs["u"][:, :3]
    batch = {0: torch.export.Dim("b", min=1, max=64)}
    axes = tuple(batch if name in WITH_BATCH else None for name in inputs)
    with torch.no_grad():
        program = torch.export.export(AlongCurves(), tuple(inputs.values()), dynamic_shapes=axes)
    wanted = directional_scan(
        **inputs, curves=scan_curves("hilbert8", 3, 4), dt_softplus=True, backend="torch"
    )  # fmt: skip
    torch.testing.assert_close(program.module()(*inputs.values()), wanted, rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # the exporter's own
def test_is_one_node_of_an_onnx_graph(program: torch.export.ExportedProgram, draw: Callable[..., Inputs]) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    graph = torch.onnx.export(program, dynamo=True, opset_version=20, verbose=False)
    assert [node.op_type for node in graph.model.graph].count("Scan") == 1
    file = io.BytesIO()
    graph.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    inputs = {name: x.detach() for name, x in draw(3, 6, 9, 4, groups=2, dtype=torch.float32).items()}
    (y,) = session.run(None, {i.name: inputs[n].numpy() for i, n in zip(session.get_inputs(), ORDER, strict=True)})
    wanted = selective_scan(**inputs, dt_softplus=True, backend="torch")
    torch.testing.assert_close(torch.from_numpy(y), wanted)
