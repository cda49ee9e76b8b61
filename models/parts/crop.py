"""The middle of an image, which some systems look at alone, and maps of it as maps of the whole image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

SMALLEST = 32
"""Pixels of the smallest side that a teacher takes."""


class Window(NamedTuple):
    """A rectangle in an image of sides `whole`.

    Attributes:
        top, left: its first row and column.
        height, width: its sides.
        whole: sides (h, w) of the image.
    """

    top: int
    left: int
    height: int
    width: int
    whole: tuple[int, int]

    @property
    def size(self) -> tuple[int, int]:
        """Its sides."""
        return self.height, self.width

    def cut(self, images: Tensor) -> Tensor:
        """Of images (..., h, w) what lies in it: (..., height, width)."""
        return images[..., self.top : self.top + self.height, self.left : self.left + self.width]

    def uncut(self, maps: Tensor) -> Tensor:
        """Maps (b, height, width) as maps (b, h, w) of the whole image, with their minimum around it."""
        if self.size == self.whole:
            return maps
        whole = maps.amin(dim=(1, 2), keepdim=True).repeat(1, *self.whole)
        whole[:, self.top : self.top + self.height, self.left : self.left + self.width] = maps
        return whole


def middle(whole: Sequence[int], sides: Sequence[int]) -> Window:
    """The window of `sides` (h, w) in the middle of an image of sides `whole`.

    >>> middle((256, 256), (224, 224))
    Window(top=16, left=16, height=224, width=224, whole=(256, 256))
    """
    # As torchvision's CenterCrop, which rounds half a pixel to the even one.
    top, left = (round((side - own) / 2) for side, own in zip(whole, sides, strict=True))
    return Window(top, left, sides[0], sides[1], (whole[0], whole[1]))


def middle_part(whole: Sequence[int], part: float) -> Window:
    """The window of a part of each side, of at least `SMALLEST` pixels, in the middle of an image of sides `whole`."""
    return middle(whole, [min(side, max(SMALLEST, round(part * side))) for side in whole])
