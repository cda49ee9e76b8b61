"""A trial that trains in a second."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dlkd.registry import default_registry
from dlkd.training import TrainConfig, TrialSpec

TEACHER = {"backbone": "test_resnet", "weights": "random"}


@pytest.fixture(scope="session")
def make_spec(tiny_folder: Path) -> Callable[..., TrialSpec]:
    """Specs of an LFRB-only variant (or another) on the tiny folder; keywords go to TrainConfig."""

    def make(
        variant: str = "dlkd-lfrb", seed: int = 0, overrides: dict[str, Any] | None = None, **train: Any
    ) -> TrialSpec:
        registry = default_registry()
        arguments = {"image_size": 32, "batch_size": 4, "epochs": 3, "checkpoint_seconds": 0.0, **train}
        return TrialSpec(
            variant=variant,
            model=registry.resolve(variant, {"teacher": TEACHER, **(overrides or {})}),
            dataset=registry.complete("dataset", {"name": "folder", "root": str(tiny_folder)}),
            category="disc",
            train=TrainConfig(**arguments),
            seed=seed,
        )

    return make
