"""The output of a model's frozen parts for the training images: computed once, memory-mapped by all trials of a
machine.

The clean pass of a training image is the same in every epoch, trial and variant.
"""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from filelock import FileLock
from numpy.lib import format as npy
from torch import Tensor
from torch.utils._pytree import TreeSpec, tree_flatten, tree_unflatten

from dlkd.data import ImageDataset
from dlkd.data.cache import PIXELS, TOTAL_BYTES, make_room, stamp
from dlkd.files import atomic_path
from dlkd.machine import cache_folder
from dlkd.models.detector import Detector, is_frozen
from dlkd.training.config import TrainConfig
from dlkd.training.device import PRECISION

_log = logging.getLogger(__name__)
GPU_SHARE = 1 / 8
"""Of a GPU's free memory, at most, for the rows of one trial."""


class FeatureCache:
    """The clean passes of a training set in one .npy file, one row per image, read through a memory map.

    Bits and layout are those that `Detector.clean` gave. Fields are named by the tensor's place in what it gave and the
    order of its axes in the file: "0:0231" is the first tensor, channels last. A GPU that has room for all rows gets
    them at the first batch, and each batch is then chosen there.

    Args:
        rows: of the file.
        form: how the tensors lie in tuples, lists and dictionaries.
    """

    def __init__(self, rows: np.ndarray[Any, Any], form: TreeSpec) -> None:
        self._rows = rows
        self._form = form
        self._there: dict[str, Tensor] | None = None
        """By field, all rows on the GPU; empty where they do not fit, None before the first batch."""

    def batch(self, index: Tensor, device: torch.device) -> Any:
        """The clean pass of the images (b,) that `index` names."""
        fields = self._rows.dtype.names or ()
        if self._there is None:
            fits = _fits(self._rows.nbytes, device)
            self._there = {field: _tensor(self._rows[field]).to(device) for field in fields if fits}
        tensors: list[Tensor | None] = [None] * self._form.num_leaves
        wanted = _sent(index, device) if self._there else index.cpu()
        for field in fields:
            place, order = field.split(":")
            if self._there:
                rows = self._there[field].index_select(0, wanted)
            else:
                rows = _sent(_tensor(self._rows[field][wanted.numpy()]), device)
            tensors[int(place)] = rows.permute(*np.argsort([int(axis) for axis in order]))
        return tree_unflatten(tensors, self._form)


def _tensor(rows: np.ndarray[Any, Any]) -> Tensor:
    """Rows of a field; bfloat16 by its bits."""
    stored = torch.from_numpy(np.require(rows, requirements=("C", "W")))  # writable, as PyTorch asks
    return stored.view(torch.bfloat16) if stored.dtype == torch.int16 else stored


def _sent(tensor: Tensor, device: torch.device) -> Tensor:
    """On the device; a copy from pinned memory does not wait for what a GPU is doing."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)


def _fits(size: int, device: torch.device) -> bool:
    """Whether rows of `size` bytes stay on a GPU, whose memory other trials may need too; never on a CPU."""
    return device.type == "cuda" and size <= GPU_SHARE * torch.cuda.mem_get_info(device)[0]


def feature_cache(model: Detector, images: ImageDataset, config: TrainConfig) -> FeatureCache | None:
    """The clean passes of `images`, made now unless another trial has; None where they are not to be kept.

    That is: the model names nothing to keep (`Detector.clean_key`), it takes more than `config.feature_cache_mib`, the
    training sees no image twice, or the disk is full or read-only. Trials that ask at once wait for the first of them.
    A file appears when it is whole, so that a process killed at any moment leaves none.

    Args:
        model: on the device that it will train on.
        images: the training images.
        config: precision and batch size, which decide the bits, and the bound.
    """
    limit = config.feature_cache_mib * 2**20
    seen = len(images) * config.epochs
    if config.max_steps >= 0:
        seen = min(seen, config.max_steps * config.batch_size)
    if not model.clean_key() or limit == 0 or seen < 2 * len(images):
        return None
    with _as_in_training(model, config):
        one = _clean(model, images, [0])
    row, form = _row_type(one), tree_flatten(one)[1]
    size = len(images) * row.itemsize
    if size > limit:
        _log.debug("features of %d images would take %d MiB: not kept", len(images), size >> 20)
        return None
    path = cache_folder() / "features" / f"{_key(model, images, config)}.npy"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        rows = _open(path, row, len(images))
        if rows is None:
            with FileLock(path.with_suffix(".lock")):
                rows = _open(path, row, len(images))  # another may have made it while this one waited
                if rows is None:
                    for left in path.parent.glob(f".{path.name}.*"):  # by one that was killed: the lock is ours
                        left.unlink(missing_ok=True)
                    make_room(path.parent, TOTAL_BYTES - size)
                    _build(path, row, model, images, config)
                    rows = _open(path, row, len(images))
        if rows is not None:
            os.utime(path)  # the time of last use, by which make_room chooses
    except OSError as error:
        _log.debug("features are not kept: %s", error)
        return None
    return None if rows is None else FeatureCache(rows, form)


def _build(path: Path, row: np.dtype[Any], model: Detector, images: ImageDataset, config: TrainConfig) -> None:
    """Write the file by plain writes: on a full disk they raise, where a map would kill the process."""
    with atomic_path(path) as temporary, temporary.open("wb") as file, _as_in_training(model, config):
        header = {"descr": npy.dtype_to_descr(row), "fortran_order": False, "shape": (len(images),)}
        npy.write_array_header_1_0(file, header)
        for start in range(0, len(images), config.batch_size):
            batch = list(range(start, min(start + config.batch_size, len(images))))
            rows = np.empty(len(batch), row)
            for field, stored in _stored(_clean(model, images, batch)).items():
                rows[field] = stored
            file.write(rows.tobytes())


def _open(path: Path, row: np.dtype[Any], count: int) -> np.ndarray[Any, Any] | None:
    """The file's rows, or None where it is absent, damaged or another's."""
    try:
        rows: np.ndarray[Any, Any] = np.load(path, mmap_mode="r")
    except (OSError, ValueError, EOFError):
        return None
    return rows if rows.dtype == row and rows.shape == (count,) else None


def _key(model: Detector, images: ImageDataset, config: TrainConfig) -> str:
    """Hash of all that the bits depend on: files, preprocessing, frozen parts, precision, libraries and processor."""
    device = model.device
    digest = hashlib.sha256()
    parts = (
        [PIXELS, *(f"{m.__name__} {m.__version__}" for m in (torch, timm, np))],
        (images.image_size, model.mean, model.std, config.precision),
        model.clean_key(),
        (torch.cuda.get_device_name(device),)
        if device.type == "cuda"
        else (device.type, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()),
    )
    digest.update(repr(parts).encode())
    for sample in images.samples:
        digest.update(stamp(sample.image).encode("utf-8", "surrogateescape"))
    for name, value in model.state_dict().items():
        if is_frozen(model, name):
            digest.update(name.encode("utf-8", "surrogateescape"))
            digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _clean(model: Detector, images: ImageDataset, indices: list[int]) -> Any:
    return model.clean(torch.stack([images[i]["image"] for i in indices]).to(model.device))


def _row_type(clean: Any) -> np.dtype[Any]:
    """The type of one image's row."""
    return np.dtype([(name, x.dtype, x.shape[1:]) for name, x in _stored(clean).items()])


def _stored(clean: Any) -> dict[str, np.ndarray[Any, Any]]:
    """Tensors as arrays with their axes in the order of memory; bfloat16, which NumPy lacks, by its bits."""
    found = {}
    for place, x in enumerate(tree_flatten(clean)[0]):
        if x is None:
            continue
        order = [axis for _, axis in sorted((-x.stride(axis), axis) for axis in range(1, x.dim()))]
        stored = x.permute(0, *order).contiguous().cpu()
        stored = stored.view(torch.int16) if stored.dtype == torch.bfloat16 else stored
        found[f"{place}:0{''.join(map(str, order))}"] = stored.numpy()
    return found


@contextmanager
def _as_in_training(model: Detector, config: TrainConfig) -> Iterator[None]:
    bf16 = config.precision == "bf16-mixed"
    with PRECISION.step(), torch.autocast(model.device.type, torch.bfloat16) if bf16 else nullcontext():
        yield
