"""Categories without test images, with test images of one kind, or with masks for some of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from dlkd.data import Category, Folder
from dlkd.registry import default_registry
from dlkd.training import METRICS, TrainConfig
from dlkd.training.data_module import CategoryData
from dlkd.training.evaluate import evaluate
from dlkd.training.trials.kept_images import keep_images
from dlkd.training.trials.kept_influences import keep_influences, read_influences
from dlkd.training.trials.trial_folder import EXAMPLES
from dlkd.training.trials.trial_result import NormalRange


@pytest.fixture
def category(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Category:
    """Four training images; test images: two normal, three anomalous, of which the last has no mask."""
    monkeypatch.setenv("DLKD_CACHE", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    places = [*(f"train/good/{i}" for i in range(4)), *(f"test/good/{i}" for i in range(2))]
    for place in (*places, *(f"test/bad/{i}" for i in range(3))):
        path = tmp_path / "part" / f"{place}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(path)
    masks = tmp_path / "part" / "ground_truth" / "bad"
    masks.mkdir(parents=True)
    for i in range(2):
        Image.fromarray(np.pad(np.full((4, 4), 255, np.uint8), ((3 + i, 25 - i), (9, 19)))).save(masks / f"{i}.png")
    return Folder(tmp_path / "part", unmasked="leave_out").load("part")


@pytest.fixture(scope="module")
def model():
    registry = default_registry()
    overrides = {"teacher": {"backbone": "mobilenetv3_small_100", "weights": "random"}}
    return registry.build("model", registry.resolve("dlkd", overrides))


def data(category: Category, model, **config) -> CategoryData:
    return CategoryData(category, TrainConfig(image_size=32, batch_size=2, **config), model, 0)


def test_no_test_images(category: Category, model, tmp_path: Path) -> None:
    read = data(replace(category, test=()), model)
    found = evaluate(model, read)
    assert set(found.undefined) == set(METRICS)
    assert set(found.undefined.values()) == {"there are no test images"}
    assert found.maps.shape == (0, 32, 32)
    keep_images(tmp_path, found, read, NormalRange(0.0, 1.0))
    assert len(np.load(tmp_path / EXAMPLES)["names"]) == 0
    keep_influences(tmp_path, found.labels, found.influences)
    assert len(read_influences(tmp_path)) == 0


@pytest.mark.parametrize("label", [0, 1])
def test_test_images_of_one_kind(category: Category, model, label: int) -> None:
    found = evaluate(
        model, data(replace(category, test=tuple(s for s in category.test if s.label == label)), model), 0.1
    )
    assert "image_auroc" in found.undefined
    assert ("pro" in found.undefined) is (label == 0)
    assert set(found.influences) == ({"pixel_auroc", "pro", "pro_05", "seg_f1"} if label else set())


@pytest.mark.parametrize("score_at", ["network", "native"])
def test_images_without_a_mask_count_for_image_metrics_alone(category: Category, model, score_at: str) -> None:
    whole = evaluate(model, data(category, model, score_at=score_at), 0.1)
    masked = replace(category, test=tuple(category.test[i] for i in category.for_pixels))
    without = evaluate(model, data(masked, model, score_at=score_at), 0.1)
    assert len(whole.scores) == len(without.scores) + 1
    for name in METRICS:
        if name.startswith("image"):
            assert not np.isnan(whole.metrics[name])
        else:
            assert whole.metrics[name] == pytest.approx(without.metrics[name], rel=1e-5, nan_ok=name == "aupimo")
    for name in ("pixel_auroc", "pro", "pro_05", "seg_f1"):
        np.testing.assert_allclose(whole.influences[name][category.for_pixels], without.influences[name], atol=1e-6)
        assert np.isnan(whole.influences[name]).sum() == 1
    assert np.isfinite(whole.influences["image_auroc"]).all()
