"""DRAEM's augmentation of textures: three of ten operations, in an order drawn at random.

torchvision is imported where it is used: a process that plans a grid does not wait for it.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from dlkd.pseudo_anomalies.random_numbers import on_the_cpu, one, uniform, whole
from dlkd.pseudo_anomalies.turning import turned
from dlkd.registry import register

LUMA = (0.299, 0.587, 0.114)


@register("augmentation", "colour_and_turn")
class ColourAndTurn(nn.Module):
    """A few operations on each image, drawn without repetition from the ten of DRAEM (`data_loader.py`).

    Ranges are those of that file and of the defaults of imgaug, which it uses. Two are near to it and not the same: the
    brightness is the luma of all three channels and not of a colour space drawn at random, and grey stays grey where
    saturation is added.

    Args:
        operations: how many of the ten.
    """

    def __init__(self, *, operations: int = 3) -> None:
        super().__init__()
        if not 1 <= operations <= len(OPERATIONS):
            raise ValueError(f"colour_and_turn: operations must be 1 to {len(OPERATIONS)}, got {operations}")
        self.operations = operations

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Images (b, 3, h, w) in [0, 1] -> images (b, 3, h, w) in [0, 1]."""
        draw = on_the_cpu(generator)
        made = []
        with torch.autocast(images.device.type, enabled=False):  # sharpness is a convolution
            for image in images.clamp(0, 1):
                for i in torch.randperm(len(OPERATIONS), generator=draw)[: self.operations].tolist():
                    image = OPERATIONS[i](image, draw).clamp(0, 1)
                made.append(image)
        return torch.stack(made)


def gamma(image: Tensor, draw: torch.Generator) -> Tensor:
    """A power from 0.5 to 2 for each channel."""
    return image ** uniform(3, 0.5, 2, draw).to(image).view(3, 1, 1)


def brightness(image: Tensor, draw: torch.Generator) -> Tensor:
    """Luma times 0.8 to 1.2, and up to 30 of 255 more or less."""
    luma = (image * torch.tensor(LUMA).to(image).view(3, 1, 1)).sum(dim=0)
    return image + (one(0.8, 1.2, draw) - 1) * luma + one(-30, 30, draw) / 255


def sharpness(image: Tensor, draw: torch.Generator) -> Tensor:
    """Factor 0 (smoothed) to 3."""
    from torchvision.transforms.v2.functional import adjust_sharpness

    return adjust_sharpness(image, one(0, 3, draw))  # type: ignore[no-any-return]


def hue_and_saturation(image: Tensor, draw: torch.Generator) -> Tensor:
    """Each up to 50 of 255 more or less."""
    from torchvision.transforms.v2.functional import adjust_hue

    largest, smallest = image.amax(dim=0), image.amin(dim=0)
    saturation = ((largest - smallest) / largest.clamp(min=1e-6)).clamp(min=1e-6)
    wanted = (saturation + one(-50, 50, draw) / 255).clamp(0, 1)
    saturated: Tensor = largest - (largest - image) * wanted / saturation
    return adjust_hue(saturated.clamp(0, 1), one(-50, 50, draw) / 255)  # type: ignore[no-any-return]


def solarised(image: Tensor, draw: torch.Generator) -> Tensor:
    """In half of the cases, what is above 32 to 128 of 255 inverted."""
    threshold = one(32, 128, draw) / 255
    return torch.where(image >= threshold, 1 - image, image) if one(0, 1, draw) < 0.5 else image


def posterised(image: Tensor, draw: torch.Generator) -> Tensor:
    """1 to 8 bits per channel."""
    levels: int = 2 ** int(whole(1, 8, 1, draw))
    made: Tensor = (image * levels).floor().clamp(max=levels - 1) / levels
    return made


def inverted(image: Tensor, draw: torch.Generator) -> Tensor:
    """Its negative."""
    return 1 - image


def contrasted(image: Tensor, draw: torch.Generator) -> Tensor:
    """Each channel stretched to the whole range, without up to 20% of its pixels at either end."""
    cut = one(0, 0.2, draw)
    ends = torch.quantile(image.flatten(1), torch.tensor([cut, 1 - cut]).to(image), dim=1)
    low, high = ends[:, :, None, None]
    return torch.where(high > low, (image - low) / (high - low).clamp(min=1e-6), image)


def equalised(image: Tensor, draw: torch.Generator) -> Tensor:
    """All values of a channel about equally often."""
    from torchvision.transforms.v2.functional import equalize

    return equalize(image)  # type: ignore[no-any-return]


def rotated(image: Tensor, draw: torch.Generator) -> Tensor:
    """By up to 45 degrees to either side, black outside."""
    return turned(image[None], uniform(1, -45, 45, draw))[0]


OPERATIONS: tuple[Callable[[Tensor, torch.Generator], Tensor], ...] = (
    *(gamma, brightness, sharpness, hue_and_saturation, solarised),
    *(posterised, inverted, contrasted, equalised, rotated),
)
