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


TEACHER = {"teacher": {"name": "timm", "backbone": "test_resnet", "weights": "random"}}


@pytest.fixture
def disc(tiny_folder: Path) -> Any:
    """A data module of anomalib."""
    from anomalib.data import Folder

    return Folder(
        "disc", normal_dir="train/good", abnormal_dir="test/square", mask_dir="ground_truth/square",
        root=tiny_folder / "disc", normal_test_dir="test/good", train_batch_size=3, eval_batch_size=3, num_workers=0,
    )  # fmt: skip


def test_engine_fits_tests_and_predicts(disc: Any, tmp_path: Path) -> None:
    from anomalib.engine import Engine

    from dlkd.integrations.anomalib import Dlkd

    model = Dlkd("stfpm", TEACHER, image_size=(32, 32), visualizer=False)
    before = {n: p.clone() for n, p in model.model.detector.student.named_parameters()}
    frozen = {n: p.clone() for n, p in model.model.detector.teacher.state_dict().items()}
    engine = Engine(max_epochs=2, accelerator="cpu", default_root_dir=tmp_path, logger=False)
    engine.fit(model=model, datamodule=disc)
    [metrics] = engine.test(model=model, datamodule=disc)
    answers = engine.predict(model=model, datamodule=disc)
    assert 0 <= metrics["image_AUROC"] <= 1
    assert 0 <= metrics["pixel_AUROC"] <= 1
    after = dict(model.model.detector.student.named_parameters())
    assert all(not torch.equal(before[n], after[n]) for n in before)
    assert all(torch.equal(frozen[n], p) for n, p in model.model.detector.teacher.state_dict().items())
    assert answers is not None
    assert all(batch.anomaly_map.shape[1:] == (32, 32) for batch in answers)


def test_engine_fits_a_memory(disc: Any, tmp_path: Path) -> None:
    """Of every training image, once, as the pre-processor gives it; a checkpoint brings it back."""
    from anomalib.engine import Engine

    from dlkd.integrations.anomalib import Dlkd

    everything = {**TEACHER, "memory": {"coreset": None}, "crop": 1.0}
    model = Dlkd("patchcore", everything, image_size=(64, 64), visualizer=False)
    engine = Engine(max_epochs=3, accelerator="cpu", default_root_dir=tmp_path, logger=False)
    engine.fit(model=model, datamodule=disc)
    [metrics] = engine.test(model=model, datamodule=disc)
    assert 0 <= metrics["image_AUROC"] <= 1
    detector: Any = model.model.detector
    seen = [model.pre_processor.transform(disc.train_data[i].image[None]) for i in range(len(disc.train_data))]
    with torch.no_grad():
        torch.testing.assert_close(detector.score(detector(torch.cat(seen))), torch.zeros(len(seen)), atol=1e-3, rtol=0)
        bank = detector.memory.bank.clone()
        detector.fit([torch.cat(seen)])
    torch.testing.assert_close(detector.memory.bank, bank)

    engine.trainer.save_checkpoint(tmp_path / "kept.ckpt")
    empty: Any = Dlkd("patchcore", everything, image_size=(64, 64), visualizer=False)
    empty.load_state_dict(torch.load(tmp_path / "kept.ckpt", weights_only=False)["state_dict"])
    torch.testing.assert_close(empty.model.detector.memory.bank, detector.memory.bank)


def test_steps_of_other_seeds_draw_other_numbers() -> None:
    from dlkd.integrations.anomalib import _seed_of

    assert len({_seed_of(seed, step) for seed in range(3) for step in range(3)}) == 9


def test_our_block_is_trained_in_their_model(tmp_path: Path) -> None:
    source = Path(__file__).parents[2] / "examples" / "gfrb_in_anomalib.py"
    names = runpy.run_path(str(source))
    model = names["build"]()
    block = model.model.bottleneck[1]
    before = {n: p.clone() for n, p in block.named_parameters()}
    assert 0 <= names["train"](model, tmp_path, epochs=1) <= 1
    assert all(not torch.equal(before[n], p) for n, p in block.named_parameters())
