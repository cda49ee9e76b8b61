from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from dlkd.export import int8, write
from dlkd.export.error import ExportError
from dlkd.export.network import exportable
from dlkd.export.picture_detector import PictureDetector
from dlkd.export.torch_file import TorchEngine
from dlkd.export.write import STEPS, Exported, export
from dlkd.runtime import Detector
from dlkd.training import TrainedModel


def pictures() -> Iterator[np.ndarray]:
    rng = np.random.default_rng(1)
    for size in ((40, 32), (32, 36), (57, 91), (9, 200)):
        yield rng.integers(0, 256, (2, *size, 3), dtype=np.uint8)


def expect_same(toy: TrainedModel, found: Any, batch: np.ndarray, threshold: float) -> None:
    for i, expected in enumerate(toy.score(list(batch), toy.range(threshold))):
        assert not isinstance(expected, Exception)
        assert found[0][i] == pytest.approx(expected.score, abs=1e-5)
        assert bool(found[1][i]) == expected.anomalous
        assert expected.map is not None
        np.testing.assert_allclose(found[2][i], expected.map, rtol=0, atol=1e-5)
        assert (found[3][i] == (found[2][i] > threshold)).all()


@pytest.fixture(scope="module")
def onnx_file(toy: TrainedModel, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    said: list[str] = []
    done = export(toy, tmp_path_factory.mktemp("toy") / "toy.onnx", say=said.append)
    assert len(said) == STEPS
    return done


def test_stock_onnx_runtime_gives_the_models_results(toy: TrainedModel, onnx_file: Exported) -> None:
    session = onnxruntime.InferenceSession(onnx_file.path)
    assert [each.name for each in session.get_inputs()] == ["pictures"]
    for batch in pictures():
        expect_same(toy, session.run(None, {"pictures": batch}), batch, toy.threshold)
    for threshold in (-1.0, 100.0):
        found = session.run(None, {"pictures": batch, "threshold": np.array(threshold, np.float32)})
        expect_same(toy, found, batch, threshold)
        assert found[1].tolist() == [threshold < 0] * 2
    onnx.checker.check_model(onnx_file.path)


def test_the_file_says_what_it_is(toy: TrainedModel, onnx_file: Exported) -> None:
    [text] = [p.value for p in onnx.load(onnx_file.path).metadata_props if p.key == "dlkd"]
    held = json.loads(text)
    assert held["format"] == 1
    assert (held["variant"], held["dataset"], held["category"]) == (
        "toy",
        toy.spec.dataset["root"].split("/")[-1],
        "disc",
    )
    assert (held["image_size"], held["seed"], held["level"], held["proportions"]) == ([32, 36], 0, 0.5, 0.8)
    assert held["threshold"] == pytest.approx(toy.threshold)
    assert held["origin"] == toy.result.normal.origin
    assert held["metrics"]["image_auroc"] == 1.0
    assert held["metrics"]["pro"] is None
    assert held["parity"] == onnx_file.parity.as_dict()
    assert held["parity"]["score"] < 1e-5
    assert held["parity"]["pictures"] == 15
    assert str(onnx_file).startswith(f"{onnx_file.path}: largest difference of scores ")


def test_a_torch_file_needs_nothing_of_dlkds(toy: TrainedModel, tmp_path: Path) -> None:
    done = toy.export(tmp_path / "toy.pt2", format="torch", threshold=3.5)
    engine = TorchEngine(done.path)
    assert engine.metadata["threshold"] == 3.5
    assert engine.metadata["origin"] == "the threshold 3.5 was given to the export"
    for batch in pictures():
        expect_same(toy, engine.run(batch, toy.threshold), batch, toy.threshold)
    program = torch.export.load(done.path)
    assert not [n for n in program.graph.nodes if "dlkd" in str(n.target)]


def test_openvino_gives_the_models_results(toy: TrainedModel, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    toy.export(tmp_path / "toy.xml", format="openvino")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["toy.bin", "toy.xml"]
    detector = Detector(tmp_path / "toy.xml", threads=1)
    assert detector.threshold == pytest.approx(toy.threshold)
    for batch in pictures():
        found = detector.score(list(batch))
        columns = [[each.score for each in found], [each.anomalous for each in found]]
        columns += [[each.map for each in found], [each.mask for each in found]]
        expect_same(toy, columns, batch, toy.threshold)
    (tmp_path / "toy.bin").unlink()
    with pytest.raises(ValueError, match=r"toy\.bin, are not beside it; copy both files"):
        Detector(tmp_path / "toy.xml")


def test_stock_openvino_reads_the_onnx_file_too(toy: TrainedModel, onnx_file: Exported) -> None:
    openvino = pytest.importorskip("openvino")
    model = openvino.compile_model(onnx_file.path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for batch in pictures():
        found = model({"pictures": batch})
        expect_same(toy, [found[i] for i in range(4)], batch, toy.threshold)


def test_a_file_that_is_refused_leaves_nothing(
    toy: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Other(torch.nn.Module):
        def __init__(self, detector: Any, *, loops: bool = True) -> None:
            del loops
            super().__init__()
            self.detector = detector

        def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            scores, maps = self.detector.detect(images)
            return scores + 3e-4, maps

    monkeypatch.setattr(write, "exportable", Other)
    with pytest.raises(ExportError, match=r"scores 3\.0e-04, of maps .* 0 labels differ: 15 pictures of 5 sizes"):
        export(toy, tmp_path / "below" / "toy.pt2", format="torch")
    assert not list(tmp_path.iterdir())


def test_a_model_without_maps_has_two_outputs(toy: TrainedModel) -> None:
    detector = type(toy.detector)(maps=False).eval()
    whole = PictureDetector(exportable(detector), (32, 36), detector.mean, detector.std)
    score, label = whole(torch.from_numpy(next(pictures())), torch.tensor(0.0))
    assert (score.shape, label.tolist()) == ((2,), [True, True])


def test_a_model_that_cannot_be_traced_is_named(toy: TrainedModel, tmp_path: Path) -> None:
    class Choosing(type(toy.detector)):  # type: ignore[misc]
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return images.mean(dim=1) if images.sum() > 0 else images.amax(dim=1)

    class OfTwo(type(toy.detector)):  # type: ignore[misc]
        def forward(self, images: torch.Tensor) -> torch.Tensor:
            return torch.stack(images.chunk(2)).flatten(0, 1).mean(dim=1)

    with pytest.raises(ExportError, match=r"toy: PyTorch cannot trace this model: .*ata-dependent"):
        export(replace(toy, detector=Choosing().eval()), tmp_path / "a.pt2", format="torch")
    with pytest.raises(ExportError, match="toy: PyTorch cannot trace this model"):
        export(replace(toy, detector=OfTwo().eval()), tmp_path / "a.pt2", format="torch")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "asked", "says"),
    [
        ("a.onnx", {"format": "tflite"}, "unknown format 'tflite'; the formats are onnx, openvino, torch"),
        ("a.pt", {"format": "torch"}, "a.pt: a file of the format torch ends in .pt2, such as a.pt2"),
        ("a.onnx", {"format": "openvino"}, "ends in .xml, such as a.xml"),
        ("taken.onnx", {}, "taken.onnx: is there already and no file of `dlkd export`"),
        ("folder.onnx", {}, "folder.onnx: is there already and no file of `dlkd export`"),
        ("weights.xml", {"format": "openvino"}, "weights.bin: is there already and no file of `dlkd export`"),
        ("a.onnx", {"threshold": float("nan")}, "the threshold must be a finite number, got nan"),
        ("a.xml", {"format": "openvino", "int8": True}, "int8 files are of the format onnx, got openvino"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_made(
    toy: TrainedModel, tmp_path: Path, name: str, asked: dict[str, Any], says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "held_pictures", None)
    (tmp_path / "taken.onnx").write_text("something else")
    (tmp_path / "weights.bin").write_text("something else")
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(ExportError, match=re.escape(says)):
        export(toy, tmp_path / name, **asked)


def test_a_missing_library_is_named_with_its_extra(
    toy: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dlkd.export.asked.find_spec", lambda name: None if name == "onnxscript" else 1)
    with pytest.raises(ExportError, match=re.escape('the format onnx needs onnxscript: pip install "dlkd[export]"')):
        export(toy, tmp_path / "a.onnx")


def test_int8_has_a_threshold_of_its_own_and_is_refused_where_auroc_falls(
    toy: TrainedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = export(toy, tmp_path / "toy.onnx", int8=True)
    nodes = onnx.load(done.path).graph.node
    assert [node.op_type for node in nodes].count("QuantizeLinear") >= 2
    held = Detector(done.path).metadata
    assert held["precision"] == "int8"
    assert held["threshold"] != pytest.approx(toy.threshold, abs=1e-6)
    assert held["threshold"] == pytest.approx(toy.threshold, rel=0.1)
    assert held["int8"] == {"image_auroc": 1.0, "of_float32": 1.0, "normal_images": 6}
    assert held["parity"]["score"] > 1e-4
    monkeypatch.setattr(int8, "image_auroc", lambda scores, labels: 0.99)
    with pytest.raises(ExportError, match=r"image AUROC falls from 1\.0000 to 0\.9900 in 8 bit"):
        export(toy, tmp_path / "other.onnx", int8=True)
    assert [p.name for p in tmp_path.iterdir()] == ["toy.onnx"]


def test_a_threshold_keeps_its_place_among_the_scores() -> None:
    rng = np.random.default_rng(0)
    scores = list(rng.normal(2, 0.5, 50))
    other = [3 * score + 1 for score in scores]
    threshold = float(np.mean(scores) + 3 * np.std(scores))
    assert int8.moved(threshold, scores, other) == pytest.approx(float(np.mean(other) + 3 * np.std(other)))
    with pytest.raises(ExportError, match="all normal images have one score"):
        int8.moved(1.0, [2.0, 2.0], [1.0, 3.0])
