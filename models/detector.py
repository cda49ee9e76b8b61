"""The contract of a model: the methods that training, scoring, prediction, costs and descriptions use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Detection(NamedTuple):
    """The answer of a model for a batch of images.

    Attributes:
        scores: (b,), higher where an image is more likely to be anomalous.
        maps: (b, h', w'), higher where a location is; of any size, covering the whole image. None from a model without
            maps.
    """

    scores: Tensor
    maps: Tensor | None


class Detector(nn.Module):
    """Base class of every `model/...` component: the methods of a model, with the defaults that most models share.

    This is a class and not a `typing.Protocol`, since code that uses a model needs `nn.Module` as well (parameters,
    `eval`, `state_dict`). A model defines `forward`, and `losses` with `optimizers`, or `fit`, or both.

    Images are RGB (b, 3, h, w) of `train.image_size`, normalised with `mean` and `std`. A model that needs another
    order of channels, a crop or another normalisation applies this at the start of `forward`. The maps cover the whole
    image in every case (with their minimum outside of a crop, for example), so that all rows of a table are scored on
    the same pixels.

    Attributes:
        mean, std: of each channel in [0, 1]; as they stand here, images are in [0, 1].
        frozen: submodules that the model's arguments give again, as a pretrained teacher is; no file holds their
            weights.
        compiled: methods that `train.compile` compiles; those that take no generator, for `torch.compile` refuses it.
        graphed: whether a training step can be replayed as one CUDA graph, see `dlkd.training.step_graph`: no number of
            it comes from the CPU, nothing in it waits for the GPU, and `begin_step` changes learning rates alone.
        paced: whether a training step depends on how long the whole training is. Such a training cannot be made
            longer from its checkpoint; it begins anew.
        draws_globally: whether `losses` draws from PyTorch's, NumPy's or Python's own generators, even if it seeds them
            from its generator: such a model trains in a process of its own. Said of the class.
        epoch_steps: steps of an epoch, which a training sets before its first one.

    `dlkd check` tests that a model keeps this contract (`dlkd.check.detector_laws`).

    A buffer that is empty until `fit`, as a memory bank is, takes the size of what `load_state_dict` gives it.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    frozen: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()
    graphed: bool = False
    paced: bool = False
    draws_globally: bool = False
    epoch_steps: int = 1

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    @property
    def fits(self) -> bool:
        """Whether `fit` does anything; a model whose arguments decide that says so here."""
        return type(self).fit is not Detector.fit

    @property
    def device(self) -> torch.device:
        """The device of the model's tensors."""
        return next((t.device for t in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    def detect(self, images: Tensor) -> Detection:
        """Scores and maps of images (b, 3, h, w); override it if scores are not a function of the maps."""
        maps: Tensor = self(images)
        return Detection(self.score(maps), maps)

    def score(self, maps: Tensor) -> Tensor:
        """Image scores of anomaly maps: (b, h', w') -> (b,); their maxima."""
        return maps.flatten(1).amax(dim=1)

    def optimizers(self) -> Sequence[Optimizer]:
        """The optimisers, with no parameter in two of them; an empty list if nothing is trained by gradient.

        All of them step at each step, on the gradients of `losses`' "total". Parameters that it does not reach at a
        step have none and stay as they are, which is how a training has several stages.
        """
        return ()

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Called before each training step, for stages and schedules.

        The stage and the learning rates that this method sets must depend on its arguments alone: a resumed training
        calls it for the remaining steps only.

        Args:
            step: steps done so far.
            steps: steps of the whole training; a model that uses this number sets `paced`.
            optimizers: the result of `optimizers`.
        """

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w): scalars by name; "total" is minimised.

        Args:
            images: as in `forward`.
            generator: source of all random numbers; a new one for each step.
            clean: the result of `clean` for the same images, if it was cached.
        """
        raise NotImplementedError(f"{type(self).__name__} has optimizers and no losses")

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fit the parts without gradient to the normal training images; called once, after the last step.

        Before that, two deep copies of the model are fitted to half of the images each, for the alarm threshold.

        Args:
            batches: images (b, 3, h, w), each image once, in the same order each time that one iterates. The model
                is in eval mode, gradients are off, and PyTorch's and NumPy's own generators are seeded.
        """

    def clean(self, images: Tensor) -> Any:
        """The output of frozen parts for images (b, 3, h, w), the same in every epoch: a tensor, or tuples, lists and
        dictionaries of tensors (b, ...), with None allowed in their place. The output is cached and passed to `losses`
        if `clean_key` is not empty. The output for an image must be bit-identical in every batch.
        """
        return None

    def clean_key(self) -> str:
        """A text of all that `clean` depends on, except images and frozen weights; "" turns the cache off."""
        return ""

    def parts(self) -> Mapping[str, nn.Module]:
        """Submodules by the names that `dlkd show` gives them."""
        return dict(self.named_children())

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Intermediate tensors by name for images (b, 3, h, w), for `dlkd show`."""
        scores, maps = self.detect(images)
        return {"score": scores} if maps is None else {"anomaly map": maps}


def kept_state(model: Detector) -> dict[str, Tensor]:
    """The state that is saved of a model: its state_dict without frozen parts, on the CPU."""
    return {k: v.contiguous().cpu() for k, v in model.state_dict().items() if not is_frozen(model, k)}


def load_kept(model: Detector, state: Mapping[str, Tensor]) -> None:
    """Load what `kept_state` returned; frozen parts do not change. Raises RuntimeError if names or shapes differ."""
    model.load_state_dict({**state, **{k: v for k, v in model.state_dict().items() if is_frozen(model, k)}})


def is_frozen(model: Detector, name: str) -> bool:
    """Whether an entry of the model's state_dict belongs to its frozen parts."""
    return any(name.startswith(f"{part}.") for part in model.frozen)


def _make_room(module: nn.Module, state: dict[str, Any], prefix: str, *_: Any) -> None:
    """Give each empty buffer the size of its entry in `state`."""
    for name, buffer in list(module.named_buffers()):
        entry = state.get(f"{prefix}{name}")
        if buffer.numel() == 0 and entry is not None:
            part, own = f".{name}".rsplit(".", 1)
            setattr(module.get_submodule(part[1:]), own, buffer.new_empty(entry.shape))
