"""The Lightning module: two learning rates, seeded pseudo-anomalies, a loss curve."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from dlkd.models.dlkd import DLKD
from dlkd.training.config import TrainConfig
from dlkd.training.feature_cache import FeatureCache

TEACHER_PREFIX = "model.teacher."


class NonFiniteLossError(RuntimeError):
    """The loss turned NaN or infinite; says at which step and which terms."""


class DistillationTask(L.LightningModule):
    """Trains a model on normal images.

    The noise of a step comes from (seed, step) alone, so that a resumed run draws what an uninterrupted one would.

    Args:
        model: what is trained.
        config: learning rates and the rest.
        seed: of the noise.
        features: what the teacher gives for the training images, where it is kept.
    """

    def __init__(self, model: DLKD, config: TrainConfig, seed: int, features: FeatureCache | None = None) -> None:
        super().__init__()
        self.model = model
        self.config = config
        self.seed = seed
        self.features = features

    def training_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Tensor]:
        """One batch of normalised images (b, 3, h, w) -> the total loss as "loss", and each term by name."""
        del batch_index
        generator = torch.Generator(self.device).manual_seed(derive_seed(self.seed, "noise", self.global_step))
        clean = None if self.features is None else self.features.batch(batch["index"], self.device)
        terms = self.model.losses(batch["image"], generator, clean)
        if not torch.isfinite(terms["total"]):
            shown = ", ".join(f"{k} {v.item():.4g}" for k, v in terms.items())
            raise NonFiniteLossError(f"the loss is not finite at step {self.global_step}: {shown}")
        self.log("loss", terms["total"], prog_bar=True, batch_size=len(batch["image"]))
        return {"loss": terms["total"], **{name: term.detach() for name, term in terms.items()}}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Adam on the student at `lr` and the refiner at `lr_refiner`; the scan's A and D without decay."""
        groups = []
        for name, parameters, lr in (
            ("student", self.model.student_parameters(), self.config.lr),
            ("refiner", self.model.refiner_parameters(), self.config.lr_refiner),
        ):
            decayed, undecayed = _split(parameters)
            if decayed:
                groups.append({"params": decayed, "lr": lr, "name": name})
            if undecayed:
                groups.append({"params": undecayed, "lr": lr, "weight_decay": 0.0, "name": f"{name}, no decay"})
        return torch.optim.Adam(groups, betas=self.config.betas, weight_decay=self.config.weight_decay, fused=True)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out the frozen teacher, which the spec names."""
        state = checkpoint["state_dict"]
        checkpoint["state_dict"] = {k: v for k, v in state.items() if not k.startswith(TEACHER_PREFIX)}

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the teacher built from the spec back in, so that the state dict is whole."""
        teacher = {k: v for k, v in self.state_dict().items() if k.startswith(TEACHER_PREFIX)}
        checkpoint["state_dict"] |= teacher


@contextmanager
def compiled_student(model: DLKD) -> Iterator[None]:
    """Within this the student is compiled: all of a step that the teacher and the losses leave over.

    A batch size is compiled for once, which is twice where the last batch of an epoch is smaller.
    """
    model.reconstruct = torch.compile(model.reconstruct, dynamic=False)  # type: ignore[method-assign]
    try:
        yield
    finally:
        del model.reconstruct  # the method of the class is left


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


def derive_seed(*parts: object) -> int:
    """A seed in [0, 2^31) from any parts, the same on every machine and in every order of launch."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode("utf-8", "surrogateescape")).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def _split(parameters: list[nn.Parameter]) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    undecayed = [p for p in parameters if getattr(p, "_no_weight_decay", False)]
    ids = {id(p) for p in undecayed}
    return [p for p in parameters if id(p) not in ids], undecayed
