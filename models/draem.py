"""DRAEM: a network that removes drawn defects, and one that finds them in what was removed."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.segmentation.autoencoder import Autoencoder
from dlkd.blocks.segmentation.unet import UNet
from dlkd.contract import require
from dlkd.losses.focal import Focal
from dlkd.losses.mse import MSE
from dlkd.losses.ssim import SSIM
from dlkd.models.detector import Detector
from dlkd.models.optimizers.optimizer import Adam, OptimizerSettings
from dlkd.models.optimizers.schedule import Drops
from dlkd.pseudo_anomalies.pasted_texture import PastedTexture
from dlkd.pseudo_anomalies.turning import Turned
from dlkd.registry import register

DROPS_OF_DRAEM = functools.partial(Drops, by=0.2)
ADAM_OF_DRAEM = functools.partial(Adam, lr=1e-4, schedule=DROPS_OF_DRAEM)
"""The authors' (`train_DRAEM.py`)."""


@register("model", "draem")
class DRAEM(Detector):
    """A discriminatively trained reconstruction (Zavrtanik et al., ICCV 2021). Calling it gives anomaly maps.

    Defaults are those of the authors' repository, VitjanZ/DRAEM, except for the source of textures, which has to be a
    folder there (DTD); docs/systems.md lists where anomalib differs. Images are in [0, 1].

    Args:
        augmentation: class of what is done to normal images first, None for nothing.
        pseudo_anomaly: class of what spoils them.
        reconstruction: class of the network that gives the normal image; gets the channels.
        segmentation: class of the network that finds what was spoiled, in image and reconstruction; gets their
            channels together, and `out_channels`.
        pixel_loss: class of the loss of both images' pixels, lists of one map, None for none.
        structure_loss: class of a further loss of both images, None for none.
        mask_loss: class of the loss of the probabilities of normal and anomalous, and the mask.
        mask_weight: its weight; those of the others are 1.
        reconstruction_first: the segmentation takes the reconstruction first, then the image.
        bgr: both networks take blue, green, red.
        weight_std: weights of convolutions start with this standard deviation around 0, those of norms around 1; None
            for PyTorch's start.
        score_window: the score is the largest mean of the map in such a window, a side in pixels; odd, 1 for the
            map's maximum. Beyond the border there are zeros.
        optimizer: class of the optimiser's settings.
    """

    compiled = ("answers",)

    def __init__(
        self,
        *,
        augmentation: Callable[[], nn.Module] | None = Turned,
        pseudo_anomaly: Callable[[], nn.Module] = PastedTexture,
        reconstruction: Callable[..., nn.Module] = Autoencoder,
        segmentation: Callable[..., nn.Module] = UNet,
        pixel_loss: Callable[[], nn.Module] | None = MSE,
        structure_loss: Callable[[], nn.Module] | None = SSIM,
        mask_loss: Callable[[], nn.Module] = Focal,
        mask_weight: float = 1.0,
        reconstruction_first: bool = True,
        bgr: bool = True,
        weight_std: float | None = 0.02,
        score_window: int = 21,
        optimizer: Callable[[], OptimizerSettings] = ADAM_OF_DRAEM,
    ) -> None:
        super().__init__()
        if score_window < 1 or score_window % 2 == 0:
            raise ValueError(f"draem: score_window must be an odd number of pixels, got {score_window}")
        if mask_weight <= 0:
            raise ValueError(f"draem: mask_weight must be above 0, got {mask_weight}")
        if weight_std is not None and weight_std <= 0:
            raise ValueError(f"draem: weight_std must be above 0, got {weight_std}")
        self.augmentation = None if augmentation is None else augmentation()
        self.pseudo_anomaly = pseudo_anomaly()
        self.reconstruction = reconstruction(3)
        self.segmentation = segmentation(6, out_channels=2)
        self.pixel_loss = None if pixel_loss is None else pixel_loss()
        self.structure_loss = None if structure_loss is None else structure_loss()
        self.mask_loss = mask_loss()
        self.mask_weight = mask_weight
        self.reconstruction_first = reconstruction_first
        self.bgr = bgr
        self.score_window = score_window
        self.optimizer = optimizer()
        self.paced = self.optimizer.paced
        if weight_std is not None:
            start_around(self, weight_std)

    def answers(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Images (b, 3, h, w) -> reconstructions (b, 3, h, w), logits of normal and anomalous (b, 2, h, w)."""
        for axis, side in (("h", images.shape[-2]), ("w", images.shape[-1])):
            require("draem", axis, side, ">= 32")
        x = images.flip(1) if self.bgr else images
        made = self.reconstruction(x)
        logits = self.segmentation(torch.cat([made, x] if self.reconstruction_first else [x, made], dim=1))
        return made.flip(1) if self.bgr else made, logits

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w) in [0, 1] -> anomaly maps (b, h, w), probabilities."""
        return _probabilities(self.answers(images)[1])[:, 1]

    def score(self, maps: Tensor) -> Tensor:
        """Of anomaly maps (b, h, w) -> (b,); see `score_window`."""
        side = self.score_window
        return F.avg_pool2d(maps[:, None], side, stride=1, padding=side // 2).flatten(1).amax(dim=1)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w) in [0, 1]; see `Detector.losses`."""
        with torch.no_grad():
            normal, spoiled, masks = self.spoiled(images, generator)
        made, logits = self.answers(spoiled)
        terms = {"mask": self.mask_weight * self.mask_loss(_probabilities(logits), masks)}
        if self.pixel_loss is not None:
            terms["pixel"] = self.pixel_loss([normal], [made])
        if self.structure_loss is not None:
            terms["structure"] = self.structure_loss(made, normal)
        return {**terms, "total": torch.stack(list(terms.values())).sum()}

    def spoiled(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Normal images as the reconstruction should be, the same ones spoiled (b, 3, h, w), and masks (b, 1, h, w)."""
        normal = images if self.augmentation is None else self.augmentation(images, generator)
        return normal, *self.pseudo_anomaly(normal, generator)

    def optimizers(self) -> list[Optimizer]:
        """One, of both networks and of the losses."""
        return [self.optimizer(networks=self.parameters())]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by the optimiser's schedule."""
        self.optimizer.begin_step(step, steps, optimizers)

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """Spoiled images with their masks, what the networks say of the images, and the anomaly map."""
        _, spoiled, masks = self.spoiled(images)
        made, logits = self.answers(images)
        return {
            "spoiled image": spoiled,
            "mask": masks,
            "reconstruction": made,
            "logits": logits,
            "anomaly map": self(images),
        }


def start_around(module: nn.Module, std: float) -> None:
    """Draw weights of convolutions from N(0, std) and those of batch norms from N(1, std); their biases are zero."""
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, 0.0, std)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, std)
            nn.init.zeros_(part.bias)


def _probabilities(logits: Tensor) -> Tensor:
    """In float32 or wider, (b, 2, h, w)."""
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(dim=1)
