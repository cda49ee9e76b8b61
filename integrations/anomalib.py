"""A variant of dlkd as a model of anomalib, for its `Engine`; needs the extra `anomalib`."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from anomalib import LearningType
from anomalib.data import Batch, InferenceBatch
from anomalib.models.components import AnomalibModule
from anomalib.pre_processing import PreProcessor
from torch import Tensor, nn
from torch.optim import Optimizer
from torchvision.transforms.v2 import Compose, Normalize, Resize

from dlkd.models.detector import Detector
from dlkd.models.together import together
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


class Dlkd(AnomalibModule):
    """A variant of dlkd in anomalib's `Engine.fit`, `test` and `predict`, with any of its data modules.

    Training is the variant's own: its losses, optimisers and schedule. anomalib's post-processor
    normalises scores and maps afterwards, unless `post_processor=False`.

    Args:
        variant: name of a variant.
        overrides: laid over it, nested as in YAML: {"decoder": {"global": None}}.
        preset: whose arguments of the model lie under the variant; "demo" has weights that need no download.
        image_size: height and width that pictures are resized to.
        registry_files: YAML files with variants of your own.
        imports: Python files that register your own components.
        pre_processor, post_processor, evaluator, visualizer: as for every model of anomalib.

    Raises:
        ValueError: the variant or an override is wrong (ConfigError), or nothing in it is trained by gradient.
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
        if not detector.optimizers():
            raise ValueError(f"variant {variant} is fitted without gradient; anomalib's Engine runs trained ones here")
        if pre_processor is True:
            steps = [Resize(image_size, antialias=True), Normalize(detector.mean, detector.std)]
            pre_processor = PreProcessor(transform=Compose(steps))
        super().__init__(pre_processor, post_processor, evaluator, visualizer)
        self.model = _Scores(detector)
        self.made: tuple[Optimizer, ...] = ()

    def configure_optimizers(self) -> Optimizer:
        """The variant's own, as one."""
        self.made = tuple(self.model.detector.optimizers())
        return together(self.made)

    def training_step(self, batch: Batch, *_: Any, **__: Any) -> Tensor:
        """One step on normal images; its random numbers depend on the number of the step alone."""
        detector = self.model.detector
        detector.epoch_steps = int(self.trainer.num_training_batches)
        detector.begin_step(self.global_step, int(self.trainer.estimated_stepping_batches), self.made)
        generator = torch.Generator(self.device).manual_seed(self.global_step)
        total: Tensor = detector.losses(batch.image.as_subclass(Tensor), generator)["total"]
        self.log("train_loss", total.detach(), prog_bar=True)
        return total

    def validation_step(self, batch: Batch, *_: Any, **__: Any) -> Batch:
        """Scores and maps of a batch."""
        return batch.update(**self.model(batch.image.as_subclass(Tensor))._asdict())

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """What the training asks of Lightning's trainer."""
        return {"num_sanity_val_steps": 0}

    @property
    def learning_type(self) -> LearningType:
        """One class: normal images."""
        return LearningType.ONE_CLASS
