"""The training of a model: Lightning for the parts with gradient, `fit` for the others."""

from __future__ import annotations

import logging
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.accelerators import CUDAAccelerator
from lightning.pytorch.loggers import Logger

from dlkd.models.detector import Detector
from dlkd.training.data_module import CategoryData
from dlkd.training.device import device, exact_float32
from dlkd.training.loggers import POINTS
from dlkd.training.memory import kept_memory
from dlkd.training.module import STEPS, DetectorTask, LossCurve, compiled
from dlkd.training.one_process import GENERATORS
from dlkd.training.saved.checkpoint import AtomicCheckpointIO, SaveLast
from dlkd.training.saved.state import read_state
from dlkd.training.seeds import derive_seed
from dlkd.training.step_bar import StepBar, StopAfter, planned_steps
from dlkd.training.trials.trial_folder import LAST
from dlkd.training.trials.trial_spec import TrialError


def train_by_gradient(
    task: DetectorTask,
    data: CategoryData,
    folder: Path,
    *,
    bar: bool = False,
    on_epoch: Callable[[float], None] | None = None,
    keep_state: bool = False,
    more: Sequence[L.Callback] = (),
    loggers: Sequence[Logger] = (),
) -> list[dict[str, float]]:
    """Train the parts with gradient; the loss curve by epoch, empty where nothing is trained.

    Training continues from the last checkpoint in `folder` if there is one.
    """
    config = task.config
    if not (config.epochs and config.max_steps and task.model.optimizers()):
        return []
    config.check_device(gpu=task.model.device.type == "cuda")
    batches = data.train_dataloader()
    task.steps = task.steps or config.steps(len(batches))
    task.model.epoch_steps = len(batches)
    task.model.train()  # Lightning keeps the mode that it finds, which is eval after a score or a clean pass
    curve, held = LossCurve(), ExitStack()
    callbacks: list[L.Callback] = [
        curve,
        SaveLast(folder, config.checkpoint_seconds, keep=keep_state, max_steps=config.max_steps),
        _LetGo(held),
        *more,
    ]
    if config.max_steps > 0:
        callbacks.append(StopAfter(config.max_steps))
    if bar:
        callbacks.append(StepBar(config.max_steps))
    if on_epoch is not None:
        callbacks.append(_Tell(on_epoch, config.max_steps))
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        # Lightning's advice on worker counts and loggers, and torch's on its own internals, say nothing to a user.
        warnings.simplefilter("ignore")
        trainer = _trainer(task, folder, callbacks, loggers)
        try:
            with held, kept_memory(), compiled(task.model, config):
                held.enter_context(GENERATORS)
                trainer.fit(task, train_dataloaders=batches, ckpt_path=_checkpoint(task, folder))
        except SystemExit as error:  # Lightning turns Ctrl-C into sys.exit(1)
            raise KeyboardInterrupt from error
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            raise TrialError(
                f"a batch of one image of {config.size_text} pixels leaves batch normalisation a single value per "
                "channel; take larger images (64 pixels are enough), a batch size that leaves no image over, "
                "or `norm: layer`"
            ) from error
    return curve.epochs


def fit_rest(model: Detector, data: CategoryData, seed: int, only: Sequence[int] | None = None) -> None:
    """Let the model `fit` what needs no gradient, to the training images numbered in `only` or to all."""
    if not model.fits:
        return
    with GENERATORS, torch.no_grad(), exact_float32():
        L.seed_everything(derive_seed(seed, "fit"), workers=True, verbose=False)
        model.to(device()).eval().fit(data.train_batches(device(), only))


def _trainer(task: DetectorTask, folder: Path, callbacks: list[L.Callback], loggers: Sequence[Logger]) -> L.Trainer:
    """Lightning's trainer, which writes and shows nothing by itself."""
    config = task.config
    return L.Trainer(
        max_epochs=config.epochs,
        precision=config.precision,
        accelerator=_accelerator(),
        deterministic=device().type == "cpu",  # bilinear upsampling has no deterministic CUDA backward
        devices=1,
        logger=list(loggers),
        log_every_n_steps=max(1, task.steps // POINTS),
        callbacks=callbacks,
        plugins=[AtomicCheckpointIO(), LightningEnvironment()],  # one process, whatever job it is part of
        enable_checkpointing=False,
        enable_progress_bar=False,  # Lightning's shows epochs of a number never reached; StepBar, steps
        enable_model_summary=False,
        use_distributed_sampler=False,
        default_root_dir=folder,
    )


def _checkpoint(task: DetectorTask, folder: Path) -> Path | None:
    """The checkpoint that a training goes on from, if any."""
    last = folder / LAST
    if not last.exists():
        return None
    if task.model.paced and read_state(last).get(STEPS) != task.steps:
        said = "%s: rates or stages of this model depend on the number of steps; training starts from the beginning"
        logging.getLogger("dlkd").warning(said, last)
        return None
    return last


def _accelerator() -> str | CUDAAccelerator:
    """The GPU or the CPU. Only the threads of `dlkd.ablations.run.host` are not the main one."""
    if device().type != "cuda":
        return "cpu"
    return "gpu" if threading.current_thread() is threading.main_thread() else _BesideOthers()


class _BesideOthers(CUDAAccelerator):
    """A GPU that other threads of this process train on: cuBLAS's workspaces stay, which Lightning would free."""

    def setup(self, trainer: L.Trainer) -> None:
        self.set_nvidia_flags(trainer.local_rank)

    def teardown(self) -> None:
        pass


class _LetGo(L.Callback):
    """Lets go of the process's generators at the first step: until then Lightning saves and restores them."""

    def __init__(self, held: ExitStack) -> None:
        self.held = held

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        del trainer, pl_module
        self.held.close()


class _Tell(L.Callback):
    def __init__(self, tell: Callable[[float], None], max_steps: int) -> None:
        self.tell = tell
        self.max_steps = max_steps

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        del pl_module
        self.tell(min(1.0, trainer.global_step / max(1, planned_steps(trainer, self.max_steps))))
