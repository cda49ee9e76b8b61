"""Textures from scikit-image's pictures, which need no network."""

from __future__ import annotations

import functools

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.pseudo_anomalies.random_numbers import on_the_cpu, one, whole
from dlkd.registry import register

PICTURES = (
    *("astronaut", "camera", "cell", "chelsea", "clock", "coffee", "coins", "colorwheel", "hubble_deep_field"),
    *("immunohistochemistry", "moon", "page", "retina", "rocket", "text"),
)
"""Functions of `skimage.data` whose pictures are in the wheel, without those of the dataset `textures`."""

LONGEST = 512
"""Pixels of the longer side that are kept of a picture."""


@register("texture_source", "sample_pictures")
class SamplePictures(nn.Module):
    """Square pieces of 15 photographs and drawings that scikit-image's wheel holds.

    None of them is in the dataset `textures`. They stand in for DTD's 5,640 textures where no folder is given.

    Args:
        smallest: side of the smallest piece, as a part of the picture's shorter side.
    """

    def __init__(self, *, smallest: float = 0.25) -> None:
        super().__init__()
        if not 0 < smallest <= 1:
            raise ValueError(f"sample_pictures: smallest must be above 0 and at most 1, got {smallest}")
        self.smallest = smallest

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images (b, 3, h, w), for their size -> textures (b, 3, h, w) in [0, 1], in the images' dtype."""
        draw = on_the_cpu(generator)
        size = (images.shape[-2], images.shape[-1])
        made = [self._piece(int(whole(0, len(PICTURES) - 1, 1, draw)), size, draw) for _ in images]
        return torch.cat(made).to(images.device).to(images.dtype) / 255

    def _piece(self, index: int, size: tuple[int, int], draw: torch.Generator) -> Tensor:
        """(1, 3, h, w), 0 to 255."""
        picture = _picture(PICTURES[index])
        h, w = picture.shape[-2:]
        side = max(1, round(one(self.smallest, 1, draw) * min(h, w)))
        top, left = int(whole(0, h - side, 1, draw)), int(whole(0, w - side, 1, draw))
        piece = picture[None, :, top : top + side, left : left + side]
        return F.interpolate(piece, size, mode="bilinear", antialias=True)


@functools.cache
def _picture(name: str) -> Tensor:
    """(3, h, w), 0 to 255."""
    from skimage import data

    pixels = torch.from_numpy(np.array(getattr(data, name)()))
    picture = (pixels[..., None].expand(-1, -1, 3) if pixels.dim() == 2 else pixels[..., :3]).movedim(2, 0)
    longest = max(picture.shape)
    if longest <= LONGEST:
        return picture.contiguous()
    sides = [round(side * LONGEST / longest) for side in picture.shape[1:]]
    return F.interpolate(picture[None], sides, mode="bilinear", antialias=True)[0].contiguous()
