"""Textures from a folder of pictures, such as DTD's."""

from __future__ import annotations

import functools
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from dlkd.pseudo_anomalies.random_numbers import on_the_cpu, whole
from dlkd.registry import register

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
KEPT = 256
"""Pictures that stay in memory, at the size that they were asked for: 50 MB at 256 x 256."""


@register("texture_source", "folder")
class TextureFolder(nn.Module):
    """Pictures of a folder and of the folders in it, as DTD has them (`images/banded/banded_0002.jpg`).

    Each is brought to the images' size as a whole, as DRAEM and DeSTSeg do it. A picture is read when it is first
    drawn.

    Args:
        path: the folder.

    Raises:
        ValueError: there is no such folder, or no picture in it; or, later, a picture that cannot be read.
    """

    def __init__(self, *, path: str | PathLike[str]) -> None:
        super().__init__()
        self.path = Path(path).expanduser()
        if not self.path.is_dir():
            raise ValueError(f"texture_source/folder: there is no folder {self.path}; `path` names one with pictures")
        self.files = sorted(str(p) for p in self.path.rglob("*") if p.suffix.lower() in SUFFIXES and p.name[0] != ".")
        if not self.files:
            raise ValueError(
                f"texture_source/folder: {self.path} and its folders hold no picture ({', '.join(SUFFIXES)}); "
                "`path` names a folder of textures, such as the one called images in DTD"
            )

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images (b, 3, h, w), for their size -> textures (b, 3, h, w) in [0, 1], in the images' dtype."""
        chosen = whole(0, len(self.files) - 1, len(images), on_the_cpu(generator)).tolist()
        made = [_picture(self.files[i], images.shape[-2], images.shape[-1]) for i in chosen]
        return torch.stack(made).to(images.device).to(images.dtype) / 255


@functools.lru_cache(maxsize=KEPT)
def _picture(file: str, h: int, w: int) -> Tensor:
    """(3, h, w), 0 to 255."""
    try:
        with Image.open(file) as picture:
            resized = picture.convert("RGB").resize((w, h), Image.Resampling.BILINEAR)
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{file}: this picture cannot be read: {error}; mend it, or take it out of the folder"
        ) from error
    return torch.from_numpy(np.array(resized)).movedim(2, 0)
