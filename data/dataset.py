"""Samples as tensors for a DataLoader: resized, normalised, decoded once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from dlkd.data.cache import PixelCache
from dlkd.data.category import DataError, Sample
from dlkd.data.pictures.images import read_image
from dlkd.data.pictures.masks import resize_mask
from dlkd.data.pictures.resize import resize
from dlkd.data.pictures.sample_mask import native_mask


class _Required(TypedDict):
    image: Tensor
    label: int
    index: int


class Item(_Required, total=False):
    """image (3, h, w) float32; label 0 or 1; index of the sample; mask (h, w) bool where asked for."""

    mask: Tensor


class ImageDataset(Dataset[Item]):
    """The paper's preprocessing: antialiased bilinear `resize` to `image_size`, normalisation, nothing else.

    Masks are binary: the pixels of any region of `resize_mask`. A normal sample's mask is all false. An image is
    decoded once per machine: see PixelCache. Reading raises DataError that names the file.

    Args:
        samples: what `Category.train` or `Category.test` holds.
        image_size: side, or (height, width), in pixels.
        mean: of each channel in [0, 1], from the teacher's own configuration.
        std: of each channel, likewise.
        with_masks: add "mask" to the items; at least one anomalous sample must then have a mask. An anomalous sample
            without a mask gets one that is all false: see `Category.for_pixels`.
        cache_bytes: largest disk space of decoded images; images beyond this limit are decoded each time. 0 turns the
            cache off.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        *,
        image_size: int | tuple[int, int] = 256,
        mean: Sequence[float],
        std: Sequence[float],
        with_masks: bool = False,
        cache_bytes: int = 4 * 2**30,
    ) -> None:
        anomalies = [sample for sample in samples if sample.label == 1]
        if with_masks and anomalies and all(sample.mask is None for sample in anomalies):
            raise DataError(f"{anomalies[0].image}: no mask, nor {len(anomalies) - 1} others; pixel metrics need them")
        self.samples = tuple(samples)
        self.image_size = (image_size, image_size) if isinstance(image_size, int) else image_size
        if len(self.image_size) != 2 or min(self.image_size) < 1:
            raise ValueError(f"image_size must be a side or (height, width) of at least 1, got {image_size}")
        self.with_masks = with_masks
        self._mean, self._std = tuple(mean), tuple(std)
        fields: list[tuple[str, type, tuple[int, ...]]] = [("image", np.float32, (3, *self.image_size))]
        if with_masks:
            fields.append(("region_sizes", np.float32, self.image_size))
        self._row = np.dtype(fields)
        self._cache = PixelCache.for_samples(self.samples, row=self._row, limit=cache_bytes)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Item:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        row = self._row_of(index)
        image = normalised(row["image"], self._mean, self._std)
        item: Item = {"image": image, "label": self.samples[index].label, "index": index}
        if self.with_masks:
            item["mask"] = torch.from_numpy(row["region_sizes"] > 0)
        return item

    def region_sizes(self, index: int) -> NDArray[np.float32]:
        """The regions of a sample's mask at the items' size (h, w), see `resize_mask`; where masks are asked for."""
        sizes: NDArray[np.float32] = self._row_of(index)["region_sizes"]
        return sizes

    def _row_of(self, index: int) -> NDArray[np.void]:
        row = self._cache.get(index)
        if row is None:
            row = self._decode(self.samples[index])
            self._cache.put(index, row)
        return row

    def _decode(self, sample: Sample) -> NDArray[np.void]:
        """Picture in grey levels, and mask where asked for, at the size of the items: a row of the cache."""
        picture = read_image(sample.image)
        row: NDArray[np.void] = np.zeros(1, self._row)[0]
        row["image"] = resize(picture, self.image_size)
        if self.with_masks:
            row["region_sizes"] = resize_mask(native_mask(sample, picture), self.image_size)
        return row


def normalised(picture: NDArray[np.float32], mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """What a network gets of a picture (3, h, w) of grey levels from 0 to 255: over 255, less `mean`, over `std`."""
    # In numpy: torch's threads for so little work cost up to 1000 times as much on busy cores.
    image = np.divide(picture, np.float32(255))
    image -= np.array(mean, dtype=np.float32).reshape(3, 1, 1)
    image /= np.array(std, dtype=np.float32).reshape(3, 1, 1)
    return torch.from_numpy(image)
