"""DLKD: a component zoo and ablation harness for visual anomaly detection.

The names below are looked up where they are first asked for, so that `import dlkd` loads no library.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from dlkd.machine import prepare

if TYPE_CHECKING:
    from dlkd.ablations.ablate import ablate
    from dlkd.ablations.ablation import Ablation, load_ablation
    from dlkd.registry import create_model, list_components, list_variants, load_registry, register
    from dlkd.training.prediction.prediction import Prediction
    from dlkd.training.prediction.trained_model import Predictions, TrainedModel, load_model
    from dlkd.training.train import train

prepare()  # before PyTorch is loaded

__version__ = "0.2.0"
__all__ = [
    "Ablation",
    "Prediction",
    "Predictions",
    "TrainedModel",
    "ablate",
    "create_model",
    "list_components",
    "list_variants",
    "load_ablation",
    "load_model",
    "load_registry",
    "register",
    "train",
]

_HOMES = {
    "Ablation": "ablations.ablation",
    "Prediction": "training.prediction.prediction",
    "Predictions": "training.prediction.trained_model",
    "TrainedModel": "training.prediction.trained_model",
    "ablate": "ablations.ablate",
    "load_ablation": "ablations.ablation",
    "load_model": "training.prediction.trained_model",
    "train": "training.train",
}
"""The modules of the names that are not of `registry`."""


def __getattr__(name: str) -> Any:
    if name in __all__:
        return getattr(import_module(f"dlkd.{_HOMES.get(name, 'registry')}"), name)
    raise AttributeError(f"module 'dlkd' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
