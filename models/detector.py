"""The contract of a model: all that training, scoring, prediction, costs and descriptions know of one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.optim import Optimizer


class Detection(NamedTuple):
    """What a model says of a batch of images.

    Attributes:
        scores: (b,), higher where an image is more likely to be anomalous.
        maps: (b, h', w'), higher where a place is; of any size, over the whole image. None from a model without maps.
    """

    scores: Tensor
    maps: Tensor | None


class Detector(nn.Module):
    """Base class of every `model/...` component: what a model offers, with the defaults that most models share.

    It is a class and no `typing.Protocol`, since all that uses a model needs `nn.Module` as well (parameters, `eval`,
    `state_dict`). A model writes `forward`, and then `losses` with `optimizers`, or `fit`, or both.

    Images are RGB (b, 3, h, w) of `train.image_size`, normalised with `mean` and `std`. Another order of channels, a
    crop, a normalisation inside: the model does them at the head of its `forward`. Its maps cover the whole image all
    the same (outside of a crop their minimum, say), so that all rows of a table are scored on the same pixels.

    Attributes:
        mean, std: of each channel in [0, 1]; as they stand here, images are in [0, 1].
        frozen: submodules that the model's arguments give again, as a pretrained teacher is; no file holds their
            weights.
        compiled: methods that `train.compile` compiles; those that take no generator, for `torch.compile` refuses it.
        paced: whether a training step depends on how long the whole training is. Such a training cannot be made
            longer from its checkpoint; it begins anew.

    `dlkd check` tests that a model keeps this contract (`dlkd.check.detector_laws`).

    A buffer that is empty until `fit`, as a memory bank is, takes the size of what `load_state_dict` gives it.
    """

    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    frozen: tuple[str, ...] = ()
    compiled: tuple[str, ...] = ()
    paced: bool = False

    def __init__(self) -> None:
        super().__init__()
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return next((t.device for t in chain(self.parameters(), self.buffers())), torch.device("cpu"))

    def detect(self, images: Tensor) -> Detection:
        """Scores and maps of images (b, 3, h, w); to be overridden where scores are no function of the maps."""
        maps: Tensor = self(images)
        return Detection(self.score(maps), maps)

    def score(self, maps: Tensor) -> Tensor:
        """Image scores of anomaly maps: (b, h', w') -> (b,); their maxima."""
        return maps.flatten(1).amax(dim=1)

    def optimizers(self) -> Sequence[Optimizer]:
        """What trains the model, no parameter in two of them; none where nothing is trained by gradient.

        All of them step at each step, on the gradients of `losses`' "total". Parameters that it does not reach at a
        step have none and stay as they are, which is how a training has several stages.
        """
        return ()

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Called before each training step, for stages and schedules.

        Whatever it sets (a stage of the model's, learning rates) is a function of its arguments alone: a resumed
        training calls it for the steps that are left only.

        Args:
            step: steps done so far.
            steps: those of the whole training; a model that looks at it is `paced`.
            optimizers: what `optimizers` gave.
        """

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w): scalars by name; "total" is minimised.

        Args:
            images: as in `forward`.
            generator: source of all that is drawn; another one at each step.
            clean: what `clean` gave for the same images, where that was kept.
        """
        raise NotImplementedError(f"{type(self).__name__} has optimizers and no losses")

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Take from the normal training images whatever needs no gradient; called once, after the last step.

        Args:
            batches: images (b, 3, h, w), each image once, in the same order each time that one iterates. The model
                is in eval mode, gradients are off, and PyTorch's and NumPy's own generators are seeded.
        """

    def clean(self, images: Tensor) -> Any:
        """What frozen parts make of images (b, 3, h, w), in every epoch the same: a tensor, or tuples, lists and
        dictionaries of tensors (b, ...), or None in their place. It is kept and given to `losses` where `clean_key`
        says so. An image has to get the same bits in whichever batch it stands.
        """
        return None

    def clean_key(self) -> str:
        """All that `clean` depends on beside the images, and the frozen parts' weights; "" where it is not kept."""
        return ""

    def parts(self) -> Mapping[str, nn.Module]:
        """Submodules by the names that `dlkd show` gives them."""
        return dict(self.named_children())

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Tensors by name on the way of images (b, 3, h, w) to the answer, for `dlkd show`."""
        scores, maps = self.detect(images)
        return {"score": scores} if maps is None else {"anomaly map": maps}


def kept_state(model: Detector) -> dict[str, Tensor]:
    """What a file holds of a model: its state_dict but for frozen parts, on the CPU."""
    return {k: v.contiguous().cpu() for k, v in model.state_dict().items() if not is_frozen(model, k)}


def load_kept(model: Detector, state: Mapping[str, Tensor]) -> None:
    """Give a model what `kept_state` took; its frozen parts are those that it has. Raises RuntimeError: no fit."""
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
