from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydantic
import pytest

from dlkd.registry import default_registry
from dlkd.training import TrainConfig, TrialSpec, load_model, run_trial


@pytest.mark.parametrize(
    ("given", "sides", "text"),
    [
        (64, (64, 64), "64"),
        ("64", (64, 64), "64"),
        ([64, 64], (64, 64), "64"),
        ([64, 96], (64, 96), "64x96"),
        ((64, 96), (64, 96), "64x96"),
        ("64x96", (64, 96), "64x96"),
        ("64X96", (64, 96), "64x96"),
    ],
)
def test_image_sizes(given: object, sides: tuple[int, int], text: str) -> None:
    config = TrainConfig(image_size=given)
    assert (config.sides, config.size_text) == (sides, text)
    for again in (config.model_dump(), config.model_dump(mode="json"), {"image_size": text}):
        assert TrainConfig.model_validate(again) == config


@pytest.mark.parametrize(
    "given", [31, 0, [64, 31], [64], "x", "64x", "64x96x3", [64, 96, 3], 64.5, True, None, "-64", {"a": 1}]
)
def test_image_sizes_that_are_none(given: object) -> None:
    with pytest.raises(pydantic.ValidationError) as raised:
        TrainConfig(image_size=given)
    (error,) = raised.value.errors()  # one message, not one for each form it could have had
    assert error["loc"] == ("image_size",)
    assert "32 to 16384 pixels: 256, [512, 1024], 512x1024" in error["msg"]


def test_a_trial_of_oblong_images(make_spec: Callable[..., TrialSpec], tmp_path: Path) -> None:
    registry = default_registry()
    result = run_trial(make_spec("dlkd", epochs=1, image_size=[48, 80]), tmp_path / "t", registry)
    assert np.isfinite(result.metrics["pro"])
    kept = np.load(tmp_path / "t/examples.npz")
    assert kept["images"].shape[1:] == (48, 80, 3)
    assert kept["maps"].shape[1:] == kept["masks"].shape[1:] == (48, 80)
    spec = load_model(tmp_path / "t", registry).spec
    assert spec.train.sides == (48, 80)
