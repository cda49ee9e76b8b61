"""`dlkd export` of a trained trial, and its file in `dlkd.runtime`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import dlkd
from dlkd import cli
from dlkd.registry import default_registry
from dlkd.runtime import Detector
from dlkd.training import TrainConfig, TrialSpec, run_trial

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def trial(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A student and its teacher, trained for one epoch."""
    registry = default_registry()
    spec = TrialSpec(
        variant="stfpm",
        model=registry.resolve("stfpm", {"teacher": {"backbone": "test_resnet", "weights": "random"}}),
        dataset=registry.complete("dataset", {"name": "folder", "root": str(tiny_folder)}),
        category="disc",
        train=TrainConfig(image_size=(32, 48), batch_size=4, epochs=1),
    )
    folder = tmp_path_factory.mktemp("exported") / "trial"
    run_trial(spec, folder, registry)
    return folder


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Run:
    """Type `dlkd ...`: exit code, output, errors."""
    monkeypatch.chdir(tmp_path)

    def type_in(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dlkd", *map(str, words)])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capfd.readouterr()

    return type_in


@pytest.mark.filterwarnings("ignore:.*proportions")
def test_the_file_scores_pictures_as_the_trial_does(trial: Path, run: Run, tiny_folder: Path) -> None:
    code, out, err = run("export", trial, "--out", "a.onnx", "--threads", 1)
    assert code == 0, err
    assert "a.onnx: largest difference of scores" in out
    assert "0 labels differ: 15 pictures of 5 sizes (test images of the category)" in out
    model, detector = dlkd.load_model(trial), Detector("a.onnx")
    assert detector.threshold == pytest.approx(model.threshold)
    assert detector.metadata["variant"] == "stfpm"
    small = tiny_folder / "disc/test/square/000.png"
    large = np.asarray(Image.open(small).resize((203, 155)))
    for given in (small, large, large[..., 0], Image.open(small)):
        found, expected = detector(given), model.predict(given)
        assert found.score == pytest.approx(expected.score, abs=1e-5)
        assert found.label == expected.label
        np.testing.assert_allclose(found.map, expected.map, rtol=0, atol=1e-5)
    Path("b.onnx").write_bytes(b"a file of somebody's")
    code, _, err = run("export", trial, "--out", "b.onnx")
    assert (code, Path("b.onnx").read_bytes()) == (2, b"a file of somebody's")
    assert "b.onnx: is there already and no file of `dlkd export`" in err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["none", "--out", "a.onnx"], "none is no trial"),
        (["none", "--out", "a.onnx", "--format", "coreml"], "unknown format 'coreml'; the formats are onnx, openvino"),
        (["none", "--out", "a.xml"], "a.xml: a file of the format onnx ends in .onnx, such as a.onnx"),
        (["none", "--out", "a.pt2", "--format", "torch", "--int8"], "int8 files are of the format onnx, got torch"),
    ],
)
def test_what_a_user_gets_wrong_is_one_message_and_exit_code_2(run: Run, words: list[str], says: str) -> None:
    code, out, err = run("export", *words)
    assert (code, out) == (2, "")
    assert says in err
    assert "error: " in err
    assert not list(Path().iterdir())
