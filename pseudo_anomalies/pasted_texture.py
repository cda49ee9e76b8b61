"""Pseudo-anomalies in images: a texture pasted where a mask says, as in DRAEM and DeSTSeg."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dlkd.pseudo_anomalies.colour_and_turn import ColourAndTurn
from dlkd.pseudo_anomalies.perlin import Perlin
from dlkd.pseudo_anomalies.random_numbers import on_the_cpu, uniform
from dlkd.pseudo_anomalies.sample_pictures import SamplePictures
from dlkd.registry import register


@register("pseudo_anomaly", "pasted_texture")
class PastedTexture(nn.Module):
    """Spoils a part of the images; inside the mask, weight * image + (1 - weight) * texture.

    Defaults are DRAEM's (`data_loader.py`), except for the source: theirs is DTD, `source: {name: folder, path: ...}`.
    DeSTSeg has `probability=1` and no `augmentation` of the texture. anomalib has `image_weight=(0, 0.9)` and masks
    that are drawn anew while they are empty (`mask: {redraws: 10}`). Normal images that are turned first are an
    augmentation of their own, `Turned`, since a reconstruction is compared with them.

    Args:
        source: class of the textures.
        mask: class of the masks.
        augmentation: class of the textures' augmentation, None for none.
        probability: part of the images that is spoiled; the others stay clean.
        image_weight: the least and the largest weight of the image inside the mask.

    >>> spoil = PastedTexture(probability=1)
    >>> images, masks = spoil(torch.rand(2, 3, 64, 64), torch.Generator().manual_seed(0))
    >>> images.shape, masks.shape, masks.unique()
    (torch.Size([2, 3, 64, 64]), torch.Size([2, 1, 64, 64]), tensor([0., 1.]))
    """

    def __init__(
        self,
        *,
        source: Callable[[], nn.Module] = SamplePictures,
        mask: Callable[[], nn.Module] = Perlin,
        augmentation: Callable[[], nn.Module] | None = ColourAndTurn,
        probability: float = 0.5,
        image_weight: Sequence[float] = (0.0, 0.8),
    ) -> None:
        super().__init__()
        if not 0 <= probability <= 1:
            raise ValueError(f"pasted_texture: probability must be from 0 to 1, got {probability}")
        if len(image_weight) != 2 or not 0 <= image_weight[0] <= image_weight[1] <= 1:
            raise ValueError(
                f"pasted_texture: image_weight must be two numbers from 0 to 1, the smaller first, got {image_weight}"
            )
        self.source = source()
        self.mask = mask()
        self.augmentation = None if augmentation is None else augmentation()
        self.probability = probability
        self.image_weight = (image_weight[0], image_weight[1])

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        """Images (b, 3, h, w), RGB in [0, 1] -> spoiled images (b, 3, h, w), and masks (b, 1, h, w) of 0 and 1.

        All random numbers come from `generator`, PyTorch's own for None. A clean image has a mask of zeros.
        """
        draw = on_the_cpu(generator)
        masks = torch.zeros_like(images[:, :1])
        chosen = (torch.rand(len(images), generator=draw) < self.probability).nonzero().flatten().to(images.device)
        if not len(chosen):
            return images, masks
        clean = images[chosen]
        drawn = self.mask(clean, draw)
        textures = self.source(clean, draw)
        if self.augmentation is not None:
            textures = self.augmentation(textures, draw)
        weight = uniform(len(chosen), *self.image_weight, draw).to(clean).view(-1, 1, 1, 1)
        pasted = torch.where(drawn > 0, weight * clean + (1 - weight) * textures, clean)
        return images.index_copy(0, chosen, pasted), masks.index_copy(0, chosen, drawn)
