"""A variant of dlkd as a model of anomalib, for its `Engine`; needs the extra `anomalib`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anomalib import LearningType
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import AnomalibModule
from anomalib.pre_processing import PreProcessor
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from torchvision.transforms.v2 import Compose, Normalize, Resize

from dlkd.models.detector import Detector
from dlkd.models.optimizers.together import together
from dlkd.registry import read_registry


class _Scores(nn.Module):
    """Scores and maps of a detector in anomalib's form."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, images: Tensor) -> InferenceBatch:
        """Images (b, 3, h, w), normalised by the detector's statistics."""
        scores, maps = self.detector.detect(images)
        return InferenceBatch(pred_score=scores, anomaly_map=maps)


class _Images:
    """The images of a loader of anomalib, each once and in the same order each time that one iterates."""

    def __init__(self, loader: DataLoader[Any], pre_processor: nn.Module | None, device: torch.device) -> None:
        self.batches: DataLoader[Any] = DataLoader(
            loader.dataset, loader.batch_size, num_workers=loader.num_workers, collate_fn=loader.collate_fn
        )
        self.transform = getattr(pre_processor, "transform", None) or nn.Identity()
        self.device = device

    def __iter__(self) -> Iterator[Tensor]:
        return (self.transform(batch.image.as_subclass(Tensor).to(self.device)) for batch in self.batches)


class Dlkd(AnomalibModule):
    """A variant of dlkd in anomalib's `Engine.fit`, `test` and `predict`, with any of its data modules.

    Training is the variant's own: its losses, optimisers and schedule; its random numbers depend on PyTorch's seed
    (`lightning.seed_everything`) and on the step. What is fitted without gradient, as a memory bank is, is fitted to
    the training images before each validation, and after the training if none followed its last step. anomalib's
    post-processor normalises scores and maps afterwards, unless `post_processor=False`.

    Args:
        variant: name of a variant.
        overrides: laid over it, nested as in YAML: {"decoder": {"global": None}}.
        preset: whose arguments of the model lie under the variant; "demo" has weights that need no download.
        image_size: height and width that pictures are resized to.
        registry_files: YAML files with variants of your own.
        imports: Python files that register your own components.
        pre_processor, post_processor, evaluator, visualizer: as for every model of anomalib.

    Raises:
        ValueError: the variant or an override is wrong (ConfigError).
    """

    def __init__(
        self,
        variant: str = "dlkd",
        overrides: Mapping[str, Any] | None = None,
        preset: str = "demo",
        image_size: tuple[int, int] = (256, 256),
        registry_files: tuple[str | PathLike[str], ...] = (),
        imports: tuple[str | PathLike[str], ...] = (),
        pre_processor: nn.Module | bool = True,
        post_processor: nn.Module | bool = True,
        evaluator: Any = True,
        visualizer: Any = True,
    ) -> None:
        registry = read_registry(list(map(Path, registry_files)), list(map(Path, imports)))
        node = registry.resolve(variant, overrides, preset=preset)
        detector: Detector = registry.build("model", node)
        if pre_processor is True:
            steps = [Resize(image_size, antialias=True), Normalize(detector.mean, detector.std)]
            pre_processor = PreProcessor(transform=Compose(steps))
        super().__init__(pre_processor, post_processor, evaluator, visualizer)
        self.model = _Scores(detector)
        self.made: tuple[Optimizer, ...] = ()
        self.seed = 0
        self.fitted_at = -1

    def configure_optimizers(self) -> Optimizer | None:
        """The variant's own, as one; None where nothing is trained by gradient."""
        self.seed = torch.initial_seed()
        self.made = tuple(self.model.detector.optimizers())
        return together(self.made) if self.made else None

    def training_step(self, batch: Batch, *_: Any, **__: Any) -> Tensor | None:
        """One step on normal images, if anything is trained by gradient."""
        if not self.made:
            return None
        detector = self.model.detector
        detector.epoch_steps = int(self.trainer.num_training_batches)
        detector.begin_step(self.global_step, int(self.trainer.estimated_stepping_batches), self.made)
        generator = torch.Generator(self.device).manual_seed(_seed_of(self.seed, self.global_step))
        total: Tensor = detector.losses(batch.image.as_subclass(Tensor), generator)["total"]
        self.log("train_loss", total.detach(), prog_bar=True)
        return total

    def on_validation_start(self) -> None:
        """Fit what needs no gradient, as anomalib derives its threshold from the validation."""
        self._fit_rest()

    def on_train_end(self) -> None:
        """Fit what needs no gradient, unless a validation followed the last step."""
        self._fit_rest()

    def _fit_rest(self) -> None:
        detector, loader = self.model.detector, self.trainer.train_dataloader
        if loader is None or not detector.fits or self.fitted_at == self.global_step:
            return
        training = detector.training
        # What is fitted may take part in later steps, which tensors of inference mode cannot.
        with torch.inference_mode(False), torch.no_grad():
            detector.eval().fit(_Images(loader, self.pre_processor, self.device))
        detector.train(training)
        self.fitted_at = self.global_step

    def validation_step(self, batch: Batch, *_: Any, **__: Any) -> Batch:
        """Scores and maps of a batch."""
        return batch.update(**self.model(batch.image.as_subclass(Tensor))._asdict())

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """What the training asks of Lightning's trainer."""
        once = {} if self.model.detector.optimizers() else {"max_epochs": 1}
        return {"num_sanity_val_steps": 0, **once}

    @property
    def learning_type(self) -> LearningType:
        """One class: normal images."""
        return LearningType.ONE_CLASS


def _seed_of(seed: int, step: int) -> int:
    """A seed of its own for each step of each training."""
    return int(np.random.SeedSequence((seed, step)).generate_state(1)[0])
