"""A variant and a block of dlkd in anomalib's engine, with its data module."""

from __future__ import annotations

import importlib.util
import runpy
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

pytestmark = [
    pytest.mark.anomalib,
    pytest.mark.usefixtures("quiet"),
    pytest.mark.skipif(importlib.util.find_spec("anomalib") is None, reason='pip install "dlkd[anomalib]"'),
]


@pytest.fixture
def quiet() -> Iterator[None]:
    """What anomalib's code warns of is passed over."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def test_engine_fits_tests_and_predicts(tiny_folder: Path, tmp_path: Path) -> None:
    from anomalib.data import Folder
    from anomalib.engine import Engine

    from dlkd.integrations.anomalib import Dlkd

    teacher = {"name": "timm", "backbone": "test_resnet", "weights": "random"}
    model = Dlkd("stfpm", {"teacher": teacher}, image_size=(32, 32), visualizer=False)
    root = tiny_folder / "disc"
    data: Any = Folder(
        "disc", normal_dir="train/good", abnormal_dir="test/square", mask_dir="ground_truth/square", root=root,
        normal_test_dir="test/good", train_batch_size=3, eval_batch_size=3, num_workers=0,
    )  # fmt: skip
    before = {n: p.clone() for n, p in model.model.detector.student.named_parameters()}
    frozen = {n: p.clone() for n, p in model.model.detector.teacher.state_dict().items()}
    engine = Engine(max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, logger=False)
    engine.fit(model=model, datamodule=data)
    [metrics] = engine.test(model=model, datamodule=data)
    answers = engine.predict(model=model, datamodule=data)
    assert 0 <= metrics["image_AUROC"] <= 1
    assert 0 <= metrics["pixel_AUROC"] <= 1
    after = dict(model.model.detector.student.named_parameters())
    assert all(not torch.equal(before[n], after[n]) for n in before)
    assert all(torch.equal(frozen[n], p) for n, p in model.model.detector.teacher.state_dict().items())
    assert answers is not None
    assert all(batch.anomaly_map.shape[1:] == (32, 32) for batch in answers)


def test_without_gradient_is_refused() -> None:
    from dlkd.integrations.anomalib import Dlkd

    with pytest.raises(ValueError, match="patchcore is fitted without gradient"):
        Dlkd("patchcore", {"teacher": {"name": "timm", "backbone": "test_resnet", "weights": "random"}})


def test_our_block_is_trained_in_their_model(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "examples" / "gfrb_in_anomalib.py"
    names = runpy.run_path(str(source))
    model = names["build"]()
    block = model.model.bottleneck[1]
    before = {n: p.clone() for n, p in block.named_parameters()}
    assert 0 <= names["train"](model, tmp_path, epochs=1) <= 1
    assert all(not torch.equal(before[n], p) for n, p in block.named_parameters())
