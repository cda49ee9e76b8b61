"""A small search space, its study on the tiny folder, and trials with given scores."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.search.definition import Search
from dlkd.ablations.search.records import Tried
from dlkd.ablations.search.study import Study, make_study
from dlkd.registry import Registry, default_registry
from dlkd.training import Preset, TrainConfig

TINY = Preset(
    train=TrainConfig(image_size=32, batch_size=2, epochs=6),
    model={"teacher": {"backbone": "test_resnet", "weights": "random"}},
)
SPACE = {
    "loss.alpha": Parameter(log=(0.001, 0.1)),
    "decoder.local.split": Parameter(choice=("spatial", "channel")),
    "optimizer.lr": Parameter(log=(0.001, 0.1)),
}
SETTING = {"loss.alpha": 0.02, "decoder.local.split": "spatial", "optimizer.lr": 0.005}


@pytest.fixture(scope="session")
def usual_space() -> Mapping[str, Parameter]:
    return SPACE


@pytest.fixture(scope="session")
def usual_setting() -> Mapping[str, Any]:
    """A setting of that space: the variant as it is."""
    return SETTING


@pytest.fixture
def make_study_of(tiny_folder: Path) -> Callable[..., Study]:
    def make(folder: Path = tiny_folder, registry: Registry | None = None, **search: Any) -> Study:
        registry = registry or default_registry()
        said = {"variant": "dlkd-lfrb", "space": SPACE, "share": 0.34, **search}
        node = default_registry().complete("dataset", {"name": "folder", "root": str(folder)})
        return make_study(Search(**said), registry, [(node, ["disc"])], TINY)

    return make


@pytest.fixture(scope="session")
def tried() -> Callable[..., Tried]:
    """Makes trials of these scores, one per rung."""

    def make(number: int, alpha: float, *scores: float, status: str = "done") -> Tried:
        rungs = tuple({"score": s, "scores": {}, "steps": {}, "seconds": 1.0, "note": ""} for s in scores)
        return Tried(number, {**SETTING, "loss.alpha": alpha}, status, rungs)

    return make
