"""Training: Lightning module and data, trials with their checkpoints and results.

The names below are looked up where they are first asked for: the configuration and a trial's result are read without
PyTorch and Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlkd.training.config import PRESETS, Preset, TrainConfig
    from dlkd.training.evaluate import METRICS, Evaluation
    from dlkd.training.trial import (
        TrialError,
        TrialResult,
        TrialSpec,
        load_model,
        read_result,
        read_trial,
        run_trial,
    )

__all__ = [
    "METRICS",
    "PRESETS",
    "Evaluation",
    "Preset",
    "TrainConfig",
    "TrialError",
    "TrialResult",
    "TrialSpec",
    "load_model",
    "read_result",
    "read_trial",
    "run_trial",
]

_HOMES = {
    "PRESETS": "config",
    "Preset": "config",
    "TrainConfig": "config",
    "METRICS": "evaluate",
    "Evaluation": "evaluate",
}
"""Modules of the names that are not of `trial`."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"dlkd.training.{_HOMES.get(name, 'trial')}"), name)
    raise AttributeError(f"module 'dlkd.training' has no attribute '{name}'")
