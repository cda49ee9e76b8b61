from __future__ import annotations

import re
import subprocess
import sys
import venv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dlkd.runtime import Detector, FileError
from dlkd.runtime import detector as module

ROOT = Path(__file__).parents[2]
Write = Callable[..., Path]


def test_a_picture_gives_score_label_map_and_mask(mean: Write) -> None:
    detector = Detector(mean())
    picture = np.full((30, 20, 3), 90, np.uint8)
    picture[4:6, 7:10] = (200, 210, 220)
    found = detector(picture)
    assert (found.score, found.label, found.anomalous, found.threshold) == (210.0, "anomalous", True, 100.0)
    assert found.map is not None
    assert found.mask is not None
    assert (found.map.shape, found.map.dtype) == ((30, 20), np.float32)
    assert (found.mask == (found.map > 100)).all()
    assert found.mask.sum() == 6
    assert repr(found) == "Result(anomalous: score 210, threshold 100)"
    assert detector.metadata["variant"] == "mean"
    assert repr(detector).startswith("Detector(mean on tiny/disc; in ")


def test_the_threshold_is_changed_after_export(mean: Write) -> None:
    picture = np.full((3, 3, 3), 90, np.uint8)
    detector = Detector(mean())
    assert detector(picture).label == "normal"
    detector.threshold = 80
    found = detector(picture)
    assert (found.label, found.threshold) == ("anomalous", 80.0)
    assert found.mask is not None
    assert found.mask.all()
    assert Detector(mean(), threshold=80, threads=1)(picture).anomalous
    for wrong in (float("nan"), float("inf")):
        with pytest.raises(ValueError, match="threshold must be a finite number"):
            detector.threshold = wrong


def test_several_pictures_keep_their_order_and_are_run_by_size(mean: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BATCH", 2)
    detector = Detector(mean())
    batches: list[tuple[int, ...]] = []
    run = detector._engine.run

    def counted(pictures: Any, threshold: float) -> Any:
        batches.append(pictures.shape)
        return run(pictures, threshold)

    monkeypatch.setattr(detector._engine, "run", counted)
    sizes = [(4, 5), (4, 5), (4, 5), (6, 5), (4, 5)]
    found = detector.score([np.full(size, level, np.uint8) for level, size in enumerate(sizes)])
    assert [each.score for each in found] == [0, 1, 2, 3, 4]
    assert batches == [(2, 4, 5, 3), (1, 4, 5, 3), (1, 6, 5, 3), (1, 4, 5, 3)]
    assert detector.score([]) == []


def test_what_is_no_exported_file_is_named_with_the_way_out(mean: Write, tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"no graph")
    (tmp_path / "a.pt2").write_bytes(b"")
    (tmp_path / "a.tflite").write_bytes(b"")
    for file, says in (
        (tmp_path / "none.onnx", "none.onnx: no such file; `dlkd export` writes one"),
        (tmp_path / "broken.onnx", "broken.onnx: onnxruntime"),
        (tmp_path / "a.pt2", "a.pt2: needs PyTorch"),
        (tmp_path / "a.tflite", "ends in .onnx or .xml"),
        (mean(None, "other.onnx"), "other.onnx: no detector of dlkd's"),
        (mean({"format": 2, "dlkd": "9.0"}, "late.onnx"), "late.onnx: written by dlkd 9.0 in format 2"),
    ):
        with pytest.raises(FileError, match=re.escape(says)):
            Detector(file)
    with pytest.raises(ValueError, match="threads must be at least 1"):
        Detector(mean(), threads=0)


@pytest.mark.parametrize(("suffix", "library"), [("onnx", "onnxruntime"), ("xml", "openvino")])
def test_a_missing_runtime_is_named(
    mean: Write, tmp_path: Path, suffix: str, library: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    file = mean(name=f"mean.{suffix}")
    with pytest.raises(FileError, match=f"needs {library}: pip install {library}"):
        Detector(file)


def test_importing_it_loads_numpy_and_pillow_alone(tmp_path: Path) -> None:
    code = """
import sys
import dlkd.runtime
loaded = {name.partition(".")[0] for name in sys.modules} - set(sys.stdlib_module_names)
print(*sorted(name for name in loaded if getattr(sys.modules.get(name), "__file__", None)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    loaded = {name for name in done.stdout.split() if not name.startswith(("_", "sitecustomize"))}
    assert {"PIL", "dlkd", "numpy"} <= loaded
    assert not loaded & {"torch", "scipy", "pandas", "rich", "timm", "pydantic", "onnxruntime", "matplotlib"}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_it_runs_where_torch_is_not_installed(mean: Write, tmp_path: Path) -> None:
    """In an environment with numpy, Pillow and onnxruntime; dlkd is put beside them without what it needs."""
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pip = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "numpy", "pillow", "onnxruntime"], check=True)
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", "setuptools>=77", "wheel"], check=True)
    source = copied(tmp_path / "source")
    subprocess.run([*pip, "--no-deps", "--no-build-isolation", source], check=True)
    Image.fromarray(np.full((9, 7, 3), 120, np.uint8)).save(tmp_path / "part.png")
    code = f"""
import importlib.util, sys
assert importlib.util.find_spec("torch") is None
from dlkd.runtime import Detector
found = Detector({str(mean())!r})({str(tmp_path / "part.png")!r})
print(found.score, found.label, found.map.shape)
"""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "120.0 anomalous (9, 7)"


def copied(to: Path) -> Path:
    """The source tree, in which building leaves files."""
    import shutil

    ignored = shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "__pycache__", "tests")
    return Path(shutil.copytree(ROOT, to, ignore=ignored))
