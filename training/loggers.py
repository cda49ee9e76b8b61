"""Lightning's loggers on request: files of a trial, or a server's project."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dlkd.data import dataset_label
from dlkd.files import file_name

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from dlkd.training.trials.trial_spec import TrialSpec

PACKAGES: Mapping[str, tuple[str, ...]] = {
    "csv": (),
    "tensorboard": ("tensorboard", "tensorboardX"),
    "wandb": ("wandb",),
    "mlflow": ("mlflow",),
}
"""The loggers, each with the packages of which it needs one."""

LOGS = "logs"
"""Folder of the files, in the trial's."""

PROJECT = "dlkd"
"""Project of W&B, experiment of MLflow; WANDB_PROJECT and MLFLOW_EXPERIMENT_NAME name others."""

POINTS = 500
"""A training logs its losses at most so many times, at even distances."""


def check_loggers(names: Sequence[str]) -> None:
    """Raise ValueError for a logger that is unknown, or whose package is not installed."""
    for name in names:
        if name not in PACKAGES:
            raise ValueError(f"--logger {name}: known loggers are {', '.join(PACKAGES)}")
        needed = PACKAGES[name]
        if needed and not any(find_spec(package) for package in needed):
            raise ValueError(f"--logger {name}: the package is not installed: pip install {needed[0]}")


class Loggers:
    """The loggers of one trial, closed at the end of the `with` block; there may be none.

    CSV and TensorBoard write below `folder`/logs, so that `tensorboard --logdir runs/trials` shows all trials of a
    grid. W&B and MLflow go where their own environment variables say (WANDB_MODE, MLFLOW_TRACKING_URI). A training
    that goes on writes another CSV file, and another run of W&B and MLflow.

    Args:
        names: as `check_loggers` takes them.
        folder: of the trial.
        spec: what is trained; logged as hyperparameters.
        rows: grid and row of each table that the trial stands in.

    Raises:
        ValueError: see `check_loggers`.
    """

    def __init__(self, names: Sequence[str], folder: Path, spec: TrialSpec, rows: Iterable[Sequence[str]] = ()) -> None:
        check_loggers(names)
        title = file_name(f"{spec.variant}-{dataset_label(spec.dataset)}-{spec.category}-seed{spec.seed}")
        self.loggers = [_make(name, folder, title) for name in dict.fromkeys(names)]
        about = spec.model_dump(mode="json") | {f"grid/{grid}": row for grid, row in rows}
        for logger in self.loggers:
            logger.log_hyperparams(about)

    def __enter__(self) -> Loggers:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        for logger in self.loggers:
            logger.finalize("success" if kind is None else "failed")
            if type(logger).__name__ == "WandbLogger":  # a worker's next trial is another run
                run: Any = logger
                run.experiment.finish(exit_code=0 if kind is None else 1)

    def result(self, metrics: Mapping[str, float], threshold: float, step: int) -> None:
        """Log the metrics of the test images, as fractions, and the alarm threshold."""
        found = {f"test/{name}": value for name, value in metrics.items() if not math.isnan(value)}
        for logger in self.loggers:
            logger.log_metrics({**found, "test/threshold": threshold}, step)


def _make(name: str, folder: Path, title: str) -> Logger:
    from lightning.pytorch import loggers

    if name == "csv":
        return loggers.CSVLogger(folder / LOGS, name=name)
    if name == "tensorboard":
        return loggers.TensorBoardLogger(folder / LOGS, name=name, version="", default_hp_metric=False)
    if name == "wandb":
        folder.mkdir(parents=True, exist_ok=True)
        return loggers.WandbLogger(name=title, project=os.environ.get("WANDB_PROJECT", PROJECT), save_dir=folder)
    experiment, place = os.environ.get("MLFLOW_EXPERIMENT_NAME", PROJECT), os.environ.get("MLFLOW_TRACKING_URI")
    return loggers.MLFlowLogger(experiment, run_name=title, tracking_uri=place)
