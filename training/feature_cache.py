"""What the frozen teacher makes of the training images: computed once, mapped by every trial on the machine.

There is no augmentation, so a training image has the same clean pass in every epoch, trial and variant.
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

from dlkd.data import ImageDataset
from dlkd.data.cache import PIXELS, TOTAL_BYTES, cache_folder, make_room, stamp
from dlkd.files import atomic_path
from dlkd.models.dlkd import DLKD
from dlkd.models.teacher import CleanPass
from dlkd.training.config import TrainConfig

_log = logging.getLogger(__name__)
_ENTRY = "entry"


class FeatureCache:
    """The clean passes of a training set in one .npy file, a row an image, read through a memory map.

    Bits and layout are those that `DLKD.clean` gave. Fields are named by the tensor and the order of its axes in
    the file: "0:0231" is the first feature map, channels last.
    """

    def __init__(self, rows: np.ndarray[Any, Any]) -> None:
        self._rows = rows

    def batch(self, index: Tensor, device: torch.device) -> CleanPass:
        """The clean pass of the images (b,) that `index` names."""
        wanted = index.cpu().numpy()
        tensors: dict[str, Tensor] = {}
        for field in self._rows.dtype.names or ():
            name, order = field.split(":")
            stored = torch.from_numpy(self._rows[field][wanted])
            if stored.dtype == torch.int16:
                stored = stored.view(torch.bfloat16)
            tensors[name] = stored.to(device).permute(*np.argsort([int(axis) for axis in order]))
        entry = tensors.pop(_ENTRY, None)
        return CleanPass(list(tensors.values()), entry)


def feature_cache(model: DLKD, images: ImageDataset, config: TrainConfig) -> FeatureCache | None:
    """The clean passes of `images`, made now unless another trial has; None where they are not to be kept.

    That is: they take more than `config.feature_cache_mib`, the training sees no image twice, or the disk is full
    or read-only. Trials that ask at once wait for the first of them. A file appears when it is whole, so that a
    process killed at any moment leaves none.

    Args:
        model: on the device that it will train on.
        images: the training images.
        config: precision and batch size, which decide the bits, and the bound.
    """
    limit = config.feature_cache_mib * 2**20
    seen = len(images) * config.epochs
    if config.max_steps >= 0:
        seen = min(seen, config.max_steps * config.batch_size)
    if limit == 0 or seen < 2 * len(images):
        return None
    with _as_in_training(model, config):
        row = _row_type(_clean(model, images, [0]))
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
    return None if rows is None else FeatureCache(rows)


def _build(path: Path, row: np.dtype[Any], model: DLKD, images: ImageDataset, config: TrainConfig) -> None:
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


def _key(model: DLKD, images: ImageDataset, config: TrainConfig) -> str:
    """Hash of all that the bits depend on: files, preprocessing, teacher, precision, libraries and processor."""
    teacher = model.teacher
    device = next(teacher.parameters()).device
    digest = hashlib.sha256()
    parts = (
        [PIXELS, *(f"{m.__name__} {m.__version__}" for m in (torch, timm, np))],
        (images.image_size, teacher.mean, teacher.std, config.precision),
        (f"{type(teacher).__module__}.{type(teacher).__qualname__}", teacher.backbone, teacher.reductions),
        model.noise_place,
        (torch.cuda.get_device_name(device),)
        if device.type == "cuda"
        else (device.type, torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()),
    )
    digest.update(repr(parts).encode())
    for sample in images.samples:
        digest.update(stamp(sample.image).encode("utf-8", "surrogateescape"))
    for name, value in teacher.state_dict().items():
        digest.update(name.encode("utf-8", "surrogateescape"))
        digest.update(value.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _clean(model: DLKD, images: ImageDataset, indices: list[int]) -> CleanPass:
    device = next(model.teacher.parameters()).device
    return model.clean(torch.stack([images[i]["image"] for i in indices]).to(device))


def _row_type(clean: CleanPass) -> np.dtype[Any]:
    """The type of one image's row."""
    return np.dtype([(name, x.dtype, x.shape[1:]) for name, x in _stored(clean).items()])


def _stored(clean: CleanPass) -> dict[str, np.ndarray[Any, Any]]:
    """Tensors as arrays with their axes in the order of memory; bfloat16, which NumPy lacks, by its bits."""
    tensors = {str(i): x for i, x in enumerate(clean.features)}
    if clean.entry is not None:
        tensors[_ENTRY] = clean.entry
    found = {}
    for name, x in tensors.items():
        order = [axis for _, axis in sorted((-x.stride(axis), axis) for axis in range(1, x.dim()))]
        stored = x.permute(0, *order).contiguous().cpu()
        stored = stored.view(torch.int16) if stored.dtype == torch.bfloat16 else stored
        found[f"{name}:0{''.join(map(str, order))}"] = stored.numpy()
    return found


@contextmanager
def _as_in_training(model: DLKD, config: TrainConfig) -> Iterator[None]:
    device = next(model.teacher.parameters()).device
    bf16 = config.precision == "bf16-mixed"
    with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
        yield
