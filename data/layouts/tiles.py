"""A user's folder of large pictures, cut into tiles of the size that a network is to see."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from os import PathLike
from pathlib import Path

from PIL import Image

from dlkd.data.cache import PIXELS, stamp
from dlkd.data.category import Category, DataError, Sample
from dlkd.data.layouts.folder import Folder
from dlkd.data.layouts.reader import refuse
from dlkd.data.pictures.images import read_image
from dlkd.data.pictures.sample_mask import native_mask
from dlkd.data.pictures.tiling import enlarged, first_pixels
from dlkd.files import new_folder
from dlkd.machine import cache_folder
from dlkd.registry import register

CUT = f"1 {PIXELS}"
"""Raised when tiles are cut in another way."""


@register("dataset", "tiles")
class Tiles(Folder):
    """The categories of `folder`, each picture cut into square tiles: images of their own in training, tests and
    metrics.

    A tile of an anomalous picture is anomalous where its mask marks a pixel, else normal. So an anomalous picture needs
    a mask. Tiles are PNG files below `$DLKD_CACHE/tiles`, cut once for each state of a picture.

    Args:
        root: see `Folder`.
        size: side of a tile in pixels of the pictures.
        overlap: share of a tile that its neighbour covers too, at least; 0 takes as few tiles as cover a picture.

    Raises:
        ValueError: a size below 16, or an overlap outside [0, 0.9].
    """

    name = "tiles"

    def __init__(self, root: str | PathLike[str], *, size: int = 256, overlap: float = 0.0) -> None:
        super().__init__(root)
        if size < 16:
            raise ValueError(f"tiles: size must be at least 16 pixels, got {size}")
        if not 0 <= overlap <= 0.9:
            raise ValueError(f"tiles: overlap is a share of the tile from 0 to 0.9, got {overlap}")
        self.size, self.overlap = size, overlap

    def load(self, category: str) -> Category:
        """Tiles of one category. Raises DataError that lists every problem found."""
        whole = super().load(category)
        problems: list[str] = []
        train, test = (tuple(self._all_tiles(samples, problems)) for samples in (whole.train, whole.test))
        said = f"cut into tiles of {self.size}x{self.size} pixels: {len(whole.train)} training images into {len(train)}"
        found = replace(whole, train=train, test=test, notes=(*whole.notes, said))
        refuse(f"{self.name}, category {category}:", problems, found)
        return found

    def _all_tiles(self, samples: tuple[Sample, ...], problems: list[str]) -> Iterator[Sample]:
        for sample in samples:
            try:
                yield from self._tiles(sample)
            except DataError as error:
                problems.append(str(error))

    def _tiles(self, sample: Sample) -> list[Sample]:
        """The tiles of a picture, cut if that is not done."""
        if sample.label == 1 and sample.mask is None:
            raise DataError(f"{sample.image}: has no mask that says which of its tiles are anomalous")
        state = repr((CUT, self.size, self.overlap, stamp(sample.image), stamp(sample.mask)))
        digest = hashlib.sha256(state.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        folder = cache_folder() / "tiles" / digest
        if not folder.is_dir():
            with new_folder(folder) as temporary:
                self._cut(sample, temporary)
        masks = {path.name.removesuffix("_mask.png"): path for path in folder.glob("*_mask.png")}
        images = sorted(path for path in folder.glob("*.png") if path not in masks.values())
        return [
            replace(sample, image=image, mask=masks[image.stem])
            if image.stem in masks
            else Sample(image, 0)
            for image in images
        ]  # fmt: skip

    def _cut(self, sample: Sample, folder: Path) -> None:
        """Write the tiles, and a mask beside each anomalous one."""
        tile = (self.size, self.size)
        picture = read_image(sample.image)
        mask = enlarged(native_mask(sample, picture), tile)
        picture = enlarged(picture, tile)
        tops, lefts = (first_pixels(side, self.size, self.overlap) for side in picture.shape[:2])
        for top in tops:
            for left in lefts:
                part = slice(top, top + self.size), slice(left, left + self.size)
                path = folder / f"{top:06d}_{left:06d}.png"
                Image.fromarray(picture[part]).save(path)
                if mask[part].any():
                    Image.fromarray(mask[part]).save(path.with_name(f"{path.stem}_mask.png"))
