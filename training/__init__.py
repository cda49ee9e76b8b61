"""Training: Lightning module and data, trials with their checkpoints and results.

The names below are looked up where they are first asked for: the configuration and a trial's result are read without
PyTorch and Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlkd.training.config import PRESETS, Preset, TrainConfig
    from dlkd.training.evaluate import Evaluation
    from dlkd.training.trained_model import Prediction, Predictions, TrainedModel, load_model
    from dlkd.training.trial import run_trial
    from dlkd.training.trial_result import METRICS, TrialResult, read_result
    from dlkd.training.trial_spec import TrialError, TrialSpec, read_trial

__all__ = [
    "METRICS",
    "PRESETS",
    "Evaluation",
    "Prediction",
    "Predictions",
    "Preset",
    "TrainConfig",
    "TrainedModel",
    "TrialError",
    "TrialResult",
    "TrialSpec",
    "load_model",
    "read_result",
    "read_trial",
    "run_trial",
]

_HOMES = {
    "METRICS": "trial_result",
    "PRESETS": "config",
    "Evaluation": "evaluate",
    "Preset": "config",
    "TrainConfig": "config",
    "TrialError": "trial_spec",
    "TrialResult": "trial_result",
    "TrialSpec": "trial_spec",
    "Prediction": "trained_model",
    "Predictions": "trained_model",
    "TrainedModel": "trained_model",
    "load_model": "trained_model",
    "read_result": "trial_result",
    "read_trial": "trial_spec",
    "run_trial": "trial",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"dlkd.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'dlkd.training' has no attribute '{name}'")
