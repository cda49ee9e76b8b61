"""The Lightning module: a model's own optimisers, a generator for each step, a loss curve."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import lightning as L
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor
from torch.optim import Optimizer

from dlkd.models.detector import Detector, is_frozen
from dlkd.models.optimizers.together import together
from dlkd.training.config import TrainConfig
from dlkd.training.device import PRECISION
from dlkd.training.feature_cache import FeatureCache
from dlkd.training.seeds import derive_seed
from dlkd.training.step_graph import StepGraph

STEPS = "planned_steps"
"""Key of a checkpoint: steps of the whole training."""
LOOK_EVERY = {"cpu": 1, "cuda": 50}
"""Steps after which the losses are looked at, by kind of device: on a GPU each look waits for all that was launched."""


class NonFiniteLossError(RuntimeError):
    """The loss turned NaN or infinite; says at which step and which terms."""


class DetectorTask(L.LightningModule):
    """Trains a model on normal images.

    The random numbers of a step depend on (seed, step) alone, so that a resumed run equals an uninterrupted one.

    Args:
        model: what is trained.
        config: how long, and the rest.
        seed: of what is drawn.
        features: what the model's frozen parts give for the training images, where it is kept.
        steps: those of the whole training, where `config` is a part of one.
    """

    def __init__(
        self,
        model: Detector,
        config: TrainConfig,
        seed: int,
        features: FeatureCache | None = None,
        steps: int = 0,
    ) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.seed = seed
        self.features = features
        self.steps = steps
        self.made: tuple[Optimizer, ...] = ()
        self._graph: StepGraph | None = None
        self._unseen: list[tuple[int, dict[str, Tensor]]] = []

    def training_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Tensor]:
        """One batch of normalised images (b, 3, h, w) -> the total loss as "loss", and each term by name."""
        del batch_index
        seed = derive_seed(self.seed, "noise", self.global_step)
        clean = None if self.features is None else self.features.batch(batch["index"], self.device)
        self.model.begin_step(self.global_step, self.steps, self.made)
        terms = self._step(batch["image"], seed, clean)
        self._unseen.append((self.global_step, {name: term.detach() for name, term in terms.items()}))
        if len(self._unseen) >= LOOK_EVERY.get(self.device.type, 1):
            self._look()
        self.log("loss", terms["total"], prog_bar=True, batch_size=len(batch["image"]))
        if self.loggers:
            self.log_dict({f"train/{name}": term.detach() for name, term in terms.items() if name != "total"})
        # Last, so that a term of that name does not take its place.
        return {**{name: term.detach() for name, term in terms.items()}, "loss": terms["total"]}

    def _step(self, images: Tensor, seed: int, clean: Any) -> dict[str, Tensor]:
        """The losses of a batch by name; by those of a graph the model is trained already."""
        if self.config.compile != "graphs":
            return self.model.losses(images, torch.Generator(self.device).manual_seed(seed), clean)
        if self._graph is None:
            self._graph = StepGraph(self.model, self.made, self.device)
        return self._graph.step(images, clean, seed)

    def optimizer_zero_grad(self, epoch: int, batch_idx: int, optimizer: Optimizer) -> None:
        """As Lightning does it, like the next two; `StepGraph` has done all three for its step."""
        if self._graph is None:
            super().optimizer_zero_grad(epoch, batch_idx, optimizer)

    def backward(self, loss: Tensor, *args: Any, **kwargs: Any) -> None:
        """See `optimizer_zero_grad`."""
        if self._graph is None:
            super().backward(loss, *args, **kwargs)

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """See `optimizer_zero_grad`; what Lightning gives as `optimizer_closure` runs `training_step`."""
        with PRECISION.step():
            if self.config.compile != "graphs":
                super().optimizer_step(epoch, batch_idx, optimizer, optimizer_closure)
            elif optimizer_closure is not None:
                optimizer_closure()

    def transfer_batch_to_device(
        self, batch: dict[str, Any], device: torch.device, dataloader_idx: int
    ) -> dict[str, Any]:
        """All but "index", which is read on the CPU: to copy it back would wait for the step before."""
        index = batch["index"]
        return {**super().transfer_batch_to_device(batch, device, dataloader_idx), "index": index}

    def on_train_epoch_end(self) -> None:
        """Look at the losses that were not yet looked at."""
        self._look()

    def _look(self) -> None:
        """Raise NonFiniteLossError at the first step since the last look whose loss is not finite."""
        unseen, self._unseen = self._unseen, []
        if not unseen or bool(torch.stack([terms["total"] for _, terms in unseen]).isfinite().all()):
            return
        step, terms = next((step, terms) for step, terms in unseen if not torch.isfinite(terms["total"]))
        shown = ", ".join(f"{name} {term.item():.4g}" for name, term in terms.items())
        raise NonFiniteLossError(f"the loss is not finite at step {step}: {shown}")

    def configure_optimizers(self) -> Optimizer:
        """The model's own, as one."""
        self.made = tuple(self.model.optimizers())
        return together(self.made)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out frozen parts, which the spec names; no checkpoint is of a step whose loss is not finite."""
        self._look()
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not self._is_frozen(k)}
        checkpoint[STEPS] = self.steps

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put frozen parts as built from the spec back in, so that the state dict is whole."""
        checkpoint["state_dict"] |= {k: v for k, v in self.state_dict().items() if self._is_frozen(k)}

    def _is_frozen(self, name: str) -> bool:
        return is_frozen(self.model, name.removeprefix("model."))


@contextmanager
def compiled(model: Detector, config: TrainConfig) -> Iterator[None]:
    """Within this the methods that the model names are compiled where `config.compile` asks for it.

    A batch size is compiled for once, which is twice where the last batch of an epoch is smaller.
    """
    with ExitStack() as stack:
        for name in model.compiled if config.compile else ():
            setattr(model, name, torch.compile(getattr(model, name), dynamic=False))
            stack.callback(delattr, model, name)  # the method of the class is left
        yield


class LossCurve(L.Callback):
    """Mean of each loss over each epoch; part of the checkpoint, so that a resumed run's curve is whole."""

    def __init__(self) -> None:
        self.epochs: list[dict[str, float]] = []
        self._terms: dict[str, list[Tensor]] = defaultdict(list)

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Take the batch's terms."""
        for name, term in outputs.items():
            if name != "loss":
                self._terms[name].append(term)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Close the epoch."""
        means = {name: torch.stack(terms).mean().item() for name, terms in self._terms.items()}
        self.epochs.append({"epoch": trainer.current_epoch, "step": trainer.global_step, **means})
        self._terms.clear()

    def state_dict(self) -> dict[str, Any]:
        """The epochs so far."""
        return {"epochs": self.epochs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from these epochs."""
        self.epochs = list(state_dict["epochs"])
