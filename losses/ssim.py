"""Structural similarity of images as a loss, DRAEM's and VT-ADL's."""

from __future__ import annotations

from typing import Literal, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dlkd.contract import ContractError
from dlkd.registry import register

Border: TypeAlias = Literal["zero", "reflect"]
"""What a window takes from beyond the border: zeros as in DRAEM and VT-ADL, or the mirrored image as in anomalib."""


@register("loss", "ssim")
class SSIM(nn.Module):
    """1 - the mean of the structural similarity at each pixel and channel (Wang et al., 2004), for values in [0, 1].

    Args:
        window: side of the Gaussian window, odd.
        sigma: its standard deviation in pixels.
        border: see `Border`.

    >>> image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    >>> SSIM()(image, image).abs() < 1e-6, SSIM()(image, 1 - image) > 1
    (tensor(True), tensor(True))
    """

    def __init__(self, *, window: int = 11, sigma: float = 1.5, border: Border = "zero") -> None:
        super().__init__()
        if window < 1 or window % 2 == 0:
            raise ValueError(f"ssim: window must be an odd number of pixels, got {window}")
        if sigma <= 0:
            raise ValueError(f"ssim: sigma must be above 0 pixels, got {sigma}")
        self.window = window
        self.sigma = sigma
        self.border: Border = border

    def forward(self, images: Tensor, others: Tensor) -> Tensor:
        """Two batches of images (b, c, h, w) -> scalar, from 0 to 2."""
        return 1 - self.similarity(images, others).mean()

    def similarity(self, images: Tensor, others: Tensor) -> Tensor:
        """Of two batches of images, at each pixel and channel: (b, c, h, w), from -1 to 1, in float32 or wider."""
        if images.dim() != 4 or images.shape != others.shape:
            raise ContractError(
                f"ssim: expected two batches of images (b, c, h, w) of one shape, "
                f"got {tuple(images.shape)} and {tuple(others.shape)}"
            )
        if self.border == "reflect" and min(images.shape[-2:]) <= self.window // 2:
            raise ContractError(
                f"ssim: a mirrored border of {self.window // 2} pixels needs larger images than {tuple(images.shape)}"
            )
        # bf16 has too few digits for the difference of a mean square and a squared mean.
        with torch.autocast(images.device.type, enabled=False):
            x, y = (i.to(torch.promote_types(i.dtype, torch.float32)) for i in (images, others))
            mean_x, mean_y, xx, yy, xy = self._means(torch.stack([x, y, x * x, y * y, x * y]))
            covariance = xy - mean_x * mean_y
            variances = xx - mean_x * mean_x + yy - mean_y * mean_y
            light = (2 * mean_x * mean_y + 0.01**2) / (mean_x * mean_x + mean_y * mean_y + 0.01**2)
            found: Tensor = light * (2 * covariance + 0.03**2) / (variances + 0.03**2)
            return found

    def _means(self, images: Tensor) -> Tensor:
        """Weighted means around each pixel of images (..., h, w)."""
        radius = self.window // 2
        offsets = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
        weights = torch.exp(-0.5 * (offsets / self.sigma) ** 2)
        weights = weights / weights.sum()
        # As channels of one image, of which a CPU filters many at once: a tenth of the time of a batch of one channel.
        # An exported program for batches of any size cannot count channels.
        sides = images.shape[-2:]
        x = images.reshape(-1, 1, *sides) if torch.compiler.is_exporting() else images.reshape(1, -1, *sides)
        x = F.pad(x, [radius] * 4, mode="constant" if self.border == "zero" else "reflect")
        weights = weights.expand(x.shape[1], 1, 1, -1)
        x = F.conv2d(F.conv2d(x, weights.transpose(2, 3), groups=len(weights)), weights, groups=len(weights))
        return x.view_as(images)
