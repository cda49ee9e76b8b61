"""All tensors of a detector as one safetensors file, frozen parts included."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from dlkd.models.detector import Detector
from dlkd.training.saved.weights import CheckpointError, write_whole


def write_tensors(detector: Detector, path: Path) -> None:
    """Write the whole state_dict: whoever reads it needs no pretrained weights from elsewhere."""
    # Copies, since the format refuses tensors that share memory, as a part with two names has.
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in detector.state_dict().items()}
    write_whole(path, lambda temporary: save_file(state, temporary))


def read_tensors(detector: Detector, path: Path) -> None:
    """Read what `write_tensors` wrote, to the bit.

    Raises:
        CheckpointError: the file cannot be read, or a tensor is missing, unknown or of another shape or type.
    """
    try:
        state = load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"cannot read the weights {path}: {error}") from error
    wrong = list(_misfits(detector.state_dict(), state))
    if wrong:
        more = f", and {len(wrong) - 3} more" if len(wrong) > 3 else ""
        raise CheckpointError(
            f"{path} does not hold the model of its config.json: {'; '.join(wrong[:3])}{more}. Both files must come "
            "from one saved model"
        )
    detector.load_state_dict(state)


def _misfits(wanted: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Iterator[str]:
    yield from (f"the tensor {name} is missing" for name in wanted if name not in given)
    yield from (f"the tensor {name} is unknown" for name in given if name not in wanted)
    for name in wanted.keys() & given.keys():
        here, there = wanted[name], given[name]
        # An empty buffer, such as a memory bank before its fit, takes the size that it was saved with.
        if here.shape != there.shape and here.numel():
            yield f"the tensor {name} is {tuple(there.shape)}, not {tuple(here.shape)}"
        if here.dtype != there.dtype:
            yield f"the tensor {name} is {there.dtype}, not {here.dtype}"
