"""Every detector's network as an ONNX graph gives the detector's own scores and maps, in ONNX Runtime."""

from __future__ import annotations

import io
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from dlkd.blocks.ss2d import SS2D
from dlkd.check import sizes
from dlkd.check.component import Case, Component
from dlkd.check.short_training import images
from dlkd.export.network import exportable
from dlkd.models import Detector
from dlkd.registry import create_model, default_registry

onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore")  # the exporter's own

LARGE = ("destseg", "draem", "mb_pfm", "noco", "reverse_distillation", "stfpm")


def traced(detector: Detector, pictures: Tensor) -> Any:
    """The graph of a detector's network, for batches of any size."""
    axes = ({0: torch.export.Dim("b", min=1, max=1024)},)
    with torch.no_grad():
        program = torch.export.export(exportable(detector), (pictures,), dynamic_shapes=axes, strict=False)
        return torch.onnx.export(program, dynamo=True, opset_version=20, verbose=False)


def run(graph: Any, pictures: Tensor) -> list[Tensor]:
    file = io.BytesIO()
    graph.save(file)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(x) for x in session.run(None, {session.get_inputs()[0].name: pictures.numpy()})]


def assert_same(detector: Detector, graph: Any, pictures: Tensor) -> None:
    wanted = [x for x in detector.detect(pictures) if x is not None]
    for got, expected in zip(run(graph, pictures), wanted, strict=True):
        assert got.shape == expected.shape
        assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("name", [pytest.param(n, marks=pytest.mark.slow) for n in LARGE] + ["patchcore", "vt_adl"])
def test_a_graph_gives_the_detectors_scores_and_maps(name: str) -> None:
    component = Component.of(default_registry(), f"model/{name}")
    case = Case(component, sizes.typical(component))
    detector = case.build()
    assert isinstance(detector, Detector)
    graph = traced(detector, images(case, detector, b=2))
    for b in (1, 3):
        assert_same(detector, graph, images(case, detector, seed=b, b=b).detach())


def small_dlkd() -> Detector:
    """dlkd with few states and one block per refiner; all else as it is."""
    teacher = {"backbone": "test_resnet", "weights": "random"}
    torch.manual_seed(0)
    return create_model("dlkd", teacher=teacher, decoder={"global": {"d_state": 4}}, refiner={"depth": 1}).eval()


@pytest.mark.slow
def test_a_scan_is_one_node_of_dlkds_graph() -> None:
    detector = small_dlkd()
    with torch.no_grad():
        graph = traced(detector, torch.randn(2, 3, 32, 48))
        found = graph.model.graph
        assert [node.op_type for node in found].count("Scan") == sum(isinstance(m, SS2D) for m in detector.modules())
        assert len(found) + sum(len(body) for node in found for body in bodies(node)) < 1200
        for b in (1, 3):
            pictures = torch.randn(b, 3, 32, 48)
            assert_same(detector, graph, pictures)
            in_openvino = openvino_run(graph, pictures)
            for got, expected in zip(in_openvino, detector.detect(pictures), strict=True):
                assert (got - expected).abs().max() <= 1e-5 * expected.abs().max()


def bodies(node: Any) -> list[Any]:
    return [each.value for each in node.attributes.values() if each.type.name == "GRAPH"]


def openvino_run(graph: Any, pictures: Tensor) -> list[Tensor]:
    openvino = pytest.importorskip("openvino")
    file = io.BytesIO()
    graph.save(file)
    core = openvino.Core()
    compiled = core.compile_model(core.read_model(file), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return [torch.from_numpy(x.copy()) for x in compiled({0: pictures.numpy()}).values()]


class WithoutMaps(Detector):
    """Its part is called by a word of Python, and it gives no maps."""

    def __init__(self) -> None:
        super().__init__()
        self.parts_by_name = nn.ModuleDict({"global": nn.Conv2d(3, 4, 3), "local": nn.Conv2d(3, 4, 3)})

    def detect(self, images: Tensor) -> Any:
        found = torch.cat([part(images) for part in self.parts_by_name.values()], dim=1)
        return found.flatten(1).amax(dim=1), None


def test_a_detector_without_maps_has_scores_alone() -> None:
    detector, pictures = WithoutMaps().eval(), torch.rand(3, 3, 8, 9)
    graph = traced(detector, pictures[:2])
    with torch.no_grad():
        assert_same(detector, graph, pictures)
    assert [name for name, _ in detector.parts_by_name.named_children()] == ["global", "local"]
