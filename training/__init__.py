"""Training: Lightning module and data, trials with their checkpoints and results.

The names below are looked up where they are first asked for: the configuration and a trial's result are read without
PyTorch and Lightning.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dlkd.training.config import PRESETS, Preset, TrainConfig
    from dlkd.training.evaluate import Evaluation
    from dlkd.training.prediction.prediction import Prediction
    from dlkd.training.prediction.trained_model import Predictions, TrainedModel, load_model
    from dlkd.training.trials.trial import run_trial
    from dlkd.training.trials.trial_result import METRICS, TrialResult, read_result
    from dlkd.training.trials.trial_spec import TrialError, TrialSpec, read_trial

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
    "METRICS": "trials.trial_result",
    "PRESETS": "config",
    "Evaluation": "evaluate",
    "Preset": "config",
    "TrainConfig": "config",
    "TrialError": "trials.trial_spec",
    "TrialResult": "trials.trial_result",
    "TrialSpec": "trials.trial_spec",
    "Prediction": "prediction.prediction",
    "Predictions": "prediction.trained_model",
    "TrainedModel": "prediction.trained_model",
    "load_model": "prediction.trained_model",
    "read_result": "trials.trial_result",
    "read_trial": "trials.trial_spec",
    "run_trial": "trials.trial",
}
"""The module of each name."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"dlkd.training.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'dlkd.training' has no attribute '{name}'")
