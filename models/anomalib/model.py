"""An image model of anomalib as a detector, trained by its own recipe."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Optimizer

from dlkd.models.anomalib.classes import anomalib_class, built, checked
from dlkd.models.anomalib.rates import Rates, configured
from dlkd.models.detector import Detection, Detector
from dlkd.models.optimizers.together import Together
from dlkd.registry import register


class _Training:
    """What anomalib's modules ask of their trainer: how long a training is, and how far.

    A training of whole epochs is one of `max_epochs` alone, as Lightning's users write it.
    """

    def __init__(self) -> None:
        self.datamodule = self
        self.global_step = self.current_epoch = 0
        self.begin(0, 1, 1)

    def begin(self, step: int, steps: int, epoch_steps: int) -> None:
        """The training is at `step` of `steps`."""
        self.epoch_steps = epoch_steps
        self.max_epochs = -(-steps // epoch_steps)
        self.max_steps = -1 if steps % epoch_steps == 0 else steps
        self.global_step, self.current_epoch = step, step // epoch_steps

    def train_dataloader(self) -> range:
        """Of which anomalib's schedules ask the length alone."""
        return range(self.epoch_steps)


@register("model", "anomalib")
class Anomalib(Detector):
    """A model of the library anomalib (extra `anomalib`), by the name of its class. Calling it gives anomaly maps.

    It is trained by its own training step, optimisers, schedule and clipping of gradients, or fitted by its own memory
    bank or statistics. Scores and maps are those of its network, before anomalib's post-processing. Images are
    pre-processed by its own transform, so that `train.image_size` should be the size that it resizes to; outside of
    what the transform crops, maps have their minimum. docs/anomalib.md lists the classes.

    Args:
        class_: of anomalib's own list; YAML's `class`.
        arguments: of its constructor, without the parts that the harness stands in for (pre- and post-processor,
            evaluator, visualizer).
        image_size: side, or height and width, that its transform resizes to; None for its own.
        weights: what a backbone of timm gets where the class wants it pretrained: "timm" downloads timm's own, "pypi"
            takes those that come from PyPI, a path a file's, and "random" leaves it untrained.

    Raises:
        AnomalibError: the package is missing, the class or an argument is unknown or refused, or weights cannot be had.
    """

    draws_globally = True  # see `_drawing_from`

    def __init__(
        self,
        *,
        class_: str = "Padim",
        arguments: Mapping[str, Any] | None = None,
        image_size: int | Sequence[int] | None = None,
        weights: PathLike[str] | Literal["timm", "pypi", "random"] = "timm",
    ) -> None:
        super().__init__()
        kind = anomalib_class(class_)
        sides = [image_size, image_size] if isinstance(image_size, int) else image_size
        self.module: Any = built(kind, checked(kind, arguments or {}), sides, str(weights))
        self.training_state = _Training()
        self.module.trainer = self.training_state
        # There is no logger, and Lightning's own wrappers of optimisers need its trainer.
        self.module.log = self.module.log_dict = lambda *_, **__: None
        self.module.optimizers = lambda: self._held[0] if len(self._held) == 1 else list(self._held)
        self.module.manual_backward = lambda loss, **options: loss.backward(**options)
        self._held: tuple[Optimizer, ...] = ()
        self._rates: Rates | None = None
        self._steps = 0
        self._modes = {part: part.training for part in self.module.modules()}
        made, schedules = configured(self.module.configure_optimizers())
        self.by_gradient = bool(made)
        self.paced = bool(schedules)

    def forward(self, images: Tensor) -> Tensor | None:
        """Images (b, 3, h, w) in [0, 1] -> anomaly maps (b, h', w'), None of a class without maps."""
        return self.detect(images).maps

    def detect(self, images: Tensor) -> Detection:
        """Scores and maps of images (b, 3, h, w) in [0, 1], as anomalib's test step gives them."""
        if not self._answers:
            raise ValueError(f"anomalib's {type(self.module).__name__} has nothing to compare with before it is fitted")
        found = self.module.test_step(self._batch(images), 0)
        maps = found.anomaly_map
        whole = None if maps is None else self._whole(maps.as_subclass(Tensor))
        return Detection(found.pred_score.as_subclass(Tensor).reshape(images.shape[0]), whole)

    def optimizers(self) -> list[Optimizer]:
        """Its own; none of a class that is fitted alone."""
        made, _ = configured(self.module.configure_optimizers())
        limit = self.module.trainer_arguments.get("gradient_clip_val") or 0
        if not limit:
            return made
        for each in made:
            each.register_step_pre_hook(lambda optimizer, *_: _clip(optimizer, limit))
        return [Together(made)]  # which computes gradients before the steps of those that it holds, and so the hook

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by its own schedules."""
        self.training_state.begin(step, steps, self.epoch_steps)
        self._held = tuple(inner for each in optimizers for inner in getattr(each, "optimizers", [each]))
        if not self.module.automatic_optimization:  # Lightning leaves the schedules of these to the module
            return
        if self._rates is None or self._steps != steps or step < self._rates.at:
            made, schedules = configured(self.module.configure_optimizers())
            self._rates, self._steps = Rates(made, schedules, self.epoch_steps), steps
        self._rates.set(step, self._held)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """Its training step on normal images (b, 3, h, w) in [0, 1]; see `Detector.losses`.

        A class that steps its optimisers itself has done so when this returns: "total" is then a number without
        gradient, on which the step that follows changes nothing.
        """
        with _drawing_from(generator):
            found = self.module.training_step(self._batch(images), 0)
        terms = dict(found) if isinstance(found, Mapping) else {"loss": found}
        total = terms.pop("loss") if "loss" in terms else sum(term.mean() for term in terms.values())
        shown = {name: term.detach().mean() for name, term in terms.items()}
        if self.module.automatic_optimization:
            return {**shown, "total": total}
        for each in self._held:
            each.zero_grad()
        return {**shown, "total": torch.as_tensor(total).detach().mean().requires_grad_()}

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Its memory bank or statistics of normal images (b, 3, h, w) in [0, 1], in as many passes as it takes."""
        if self.by_gradient:
            return
        for part, training in self._modes.items():
            part.training = training
        for _ in range(self.module.trainer_arguments.get("max_epochs", 1)):
            for i, images in enumerate(batches):
                self.module.training_step(self._batch(images), i)
            self.module.on_train_epoch_end()
        self.eval()

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """What its transform gives, and the anomaly map or the score where it has been fitted."""
        prepared = {"its transform's": self._batch(images).image}
        return {**prepared, **super().stages(images)} if self._answers else prepared

    @property
    def _answers(self) -> bool:
        """Whether it is trained by gradient, or fitted."""
        return self.by_gradient or bool(self.module._is_fitted)

    def parts(self) -> Mapping[str, nn.Module]:
        """Those of its network."""
        return dict(self.module.model.named_children())

    def _batch(self, images: Tensor) -> Any:
        """anomalib's batch of normal images, after its transform."""
        from anomalib.data import ImageBatch

        if self.module.device != images.device:
            self.module.to(images.device)
        prepared = self.module.pre_processor.transform(images)
        b, _, h, w = prepared.shape
        nothing = torch.zeros(b, h, w, dtype=torch.bool, device=images.device)
        return ImageBatch(image=prepared, gt_mask=nothing, gt_label=nothing[:, 0, 0])

    def _whole(self, maps: Tensor) -> Tensor:
        """Maps (b, h', w') of the middle of an image, if the transform crops it, with their minimum around it."""
        steps = getattr(self.module.pre_processor.transform, "transforms", [])
        sizes = {type(step).__name__: step.size for step in steps if hasattr(step, "size")}
        if "CenterCrop" not in sizes:
            return maps
        b, *inner = maps.shape
        outer = [round(n * of / crop) for n, of, crop in zip(inner, sizes["Resize"], sizes["CenterCrop"], strict=True)]
        top, left = ((whole - n) // 2 for whole, n in zip(outer, inner, strict=True))
        whole = maps.amin(dim=(1, 2)).view(-1, 1, 1).expand(b, *outer).clone()
        whole[:, top : top + inner[0], left : left + inner[1]] = maps
        return whole


def _clip(optimizer: Optimizer, limit: float) -> None:
    """Clip the gradients that an optimiser is about to step on, to a norm of `limit`, as Lightning does."""
    clip_grad_norm_([p for group in optimizer.param_groups for p in group["params"]], limit)


@contextmanager
def _drawing_from(generator: torch.Generator | None) -> Iterator[None]:
    """Global random numbers, which anomalib's code draws from, seeded by `generator` and afterwards as they were."""
    if generator is None:
        yield
        return
    from lightning.pytorch.utilities.seed import isolate_rng

    seed = int(torch.randint(2**31, (), generator=generator, device=generator.device))
    with isolate_rng():
        torch.manual_seed(seed)
        np.random.seed(seed)  # the legacy one is what torchvision's and anomalib's augmentations draw from
        random.seed(seed)
        yield
