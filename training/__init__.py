"""Training: Lightning module and data, trials with their checkpoints and results."""

from dlkd.training.config import PRESETS, Preset, TrainConfig
from dlkd.training.evaluate import METRICS, Evaluation, evaluate
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
    "evaluate",
    "load_model",
    "read_result",
    "read_trial",
    "run_trial",
]
