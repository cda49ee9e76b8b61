"""VT-ADL: a vision transformer's codes, how unlikely each is, and the image that is made of all of them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.codes.capsule import Capsule
from dlkd.blocks.codes.mixture_density import MixtureDensity
from dlkd.blocks.codes.pixel_decoder import PixelDecoder
from dlkd.blocks.codes.vit import ViT
from dlkd.contract import require
from dlkd.losses.ssim import SSIM
from dlkd.models.detector import Detection, Detector
from dlkd.models.optimizers.optimizer import Adam, OptimizerSettings
from dlkd.models.parts.anomaly_map import Border, image_map
from dlkd.models.parts.crop import Window, middle
from dlkd.models.parts.noise import GaussianNoise
from dlkd.registry import register

ADAM_OF_VT_ADL = functools.partial(Adam, lr=1e-4, weight_decay=1e-4)
"""The authors' (`train.py`)."""


@register("model", "vt_adl")
class VTADL(Detector):
    """VT-ADL (Mishra et al., ISIE 2021; the paper's [8]). Calling it gives anomaly maps. Images are in [0, 1].

    The middle of an image is looked at, of the encoder's own side: the authors resize to 550 pixels and crop 512.
    Outside of it a map has its minimum. Defaults are those of the authors' repository, pankajmishra000/VT-ADL;
    docs/systems.md lists where their code and its names differ.

    Args:
        encoder: class of the codes of an image's patches, with a `side`, a `grid` and a `width`; gets the channels, 3.
        noise: class of the noise that is added to the codes in training.
        capsule: class of one vector of all codes; gets their length.
        code_side: side of that vector seen as a map.
        decoder: class of the image of this map; gets its channels, and says the `side` of the image.
        density: class of each code's value, which is the map; gets the length of a code.
        ssim: class of the structural similarity of image and reconstruction.
        mse_weight: weight of the mean squared error in the loss, where the density's is 1.
        ssim_weight: weight of 1 - SSIM in the loss.
        score_ssim: factor of SSIM in an image's score: SSIM is added in the authors' code, so that a worse
            reconstruction lowers the score; -1 subtracts it, as the loss does.
        sigma: Gaussian smoothing of the anomaly map, in pixels.
        border: of the smoothing, see `dlkd.models.parts.anomaly_map.Border`.
        align_corners: how the map is upsampled to the image.
        optimizer: class of the optimiser's settings.

    Raises:
        ValueError: an argument makes no sense, or the decoder's image has another side than the encoder's.
    """

    compiled = ("reconstruct",)
    graphed = True

    def __init__(
        self,
        *,
        encoder: Callable[..., ViT] = ViT,
        noise: Callable[[], GaussianNoise] = GaussianNoise,
        capsule: Callable[..., Capsule] = Capsule,
        code_side: int = 8,
        decoder: Callable[..., PixelDecoder] = PixelDecoder,
        density: Callable[..., nn.Module] = MixtureDensity,
        ssim: Callable[[], SSIM] = SSIM,
        mse_weight: float = 5.0,
        ssim_weight: float = 0.5,
        score_ssim: float = 1.0,
        sigma: float = 4.0,
        border: Border = "symmetric",
        align_corners: bool = True,
        optimizer: Callable[[], OptimizerSettings] = ADAM_OF_VT_ADL,
    ) -> None:
        super().__init__()
        for name, value in (("mse_weight", mse_weight), ("ssim_weight", ssim_weight), ("sigma", sigma)):
            if value < 0:
                raise ValueError(f"vt_adl: {name} must be at least 0, got {value}")
        self.encoder = encoder(3)
        self.noise = noise()
        self.capsule = capsule(self.encoder.grid**2 * self.encoder.width)
        if code_side < 1 or self.capsule.out_channels % code_side**2:
            raise ValueError(
                f"vt_adl: capsule.out_channels must be a multiple of code_side squared, "
                f"got {self.capsule.out_channels} and {code_side}"
            )
        self.code_side = code_side
        self.decoder = decoder(self.capsule.out_channels // code_side**2)
        if self.decoder.side(code_side) != self.encoder.side:
            raise ValueError(
                f"vt_adl: decoder.layers make an image of {self.decoder.side(code_side)} pixels a side, and "
                f"encoder.side is {self.encoder.side}; change the one or the other"
            )
        self.density = density(self.encoder.width)
        self.ssim = ssim()
        self.mse_weight, self.ssim_weight, self.score_ssim = mse_weight, ssim_weight, score_ssim
        self.sigma = sigma
        self.border: Border = border
        self.align_corners = align_corners
        self.optimizer = optimizer()
        self.paced = self.optimizer.paced

    def reconstruct(self, codes: Tensor) -> Tensor:
        """Codes (b, n, width) -> images (b, 3, side, side)."""
        vectors = self.capsule(codes.flatten(1))
        maps = vectors.view(vectors.shape[0], -1, self.code_side, self.code_side)
        if maps.device.type == "cpu":
            maps = maps.contiguous(memory_format=torch.channels_last)  # as in the teacher, for speed
        images: Tensor = self.decoder(maps)
        return images

    def detect(self, images: Tensor) -> Detection:
        """Scores and maps of images (b, 3, h, w) in [0, 1]; see `Detector.detect`."""
        window = self._window(images)
        crop = window.cut(images)
        codes = self.encoder(crop)
        values, made = self.density(codes), self.reconstruct(codes)
        squared = (made - crop).square().mean(dim=(1, 2, 3))
        similar = self.ssim.similarity(crop, made).mean(dim=(1, 2, 3))
        scores = squared + self.score_ssim * similar + values.amax(dim=1)
        return Detection(scores, self._map(values, window))

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w) in [0, 1] -> anomaly maps (b, h, w)."""
        window = self._window(images)
        return self._map(self.density(self.encoder(window.cut(images))), window)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        """One training pass over normal images (b, 3, h, w) in [0, 1]; see `Detector.losses`."""
        crop = self._window(images).cut(images)
        codes = self.noise(self.encoder(crop), generator=generator)
        made = self.reconstruct(codes)
        terms = {
            "mse": (made - crop).square().mean(),
            "ssim": self.ssim(crop, made),
            "density": self.density(codes).sum(dim=1).mean(),
        }
        total = self.mse_weight * terms["mse"] + self.ssim_weight * terms["ssim"] + terms["density"]
        return {**terms, "total": total}

    def optimizers(self) -> list[Optimizer]:
        """One, of all parameters."""
        return [self.optimizer(all=self.parameters())]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by the optimiser's schedule."""
        self.optimizer.begin_step(step, steps, optimizers)

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """The crop, the codes of its patches, their values, the capsule, the reconstruction and the anomaly map."""
        crop = self._window(images).cut(images)
        codes = self.encoder(crop)
        return {
            "crop": crop,
            "codes": codes,
            "values": self.density(codes),
            "capsule": self.capsule(codes.flatten(1)),
            "reconstruction": self.reconstruct(codes),
            "anomaly map": self(images),
        }

    def _window(self, images: Tensor) -> Window:
        """What is looked at."""
        for axis, length in zip("hw", images.shape[2:], strict=True):
            require("vt_adl", axis, length, f">= {self.encoder.side}")
        return middle(images.shape[2:], (self.encoder.side, self.encoder.side))

    def _map(self, values: Tensor, window: Window) -> Tensor:
        """Values of the patches (b, n) as maps (b, h, w) of the whole image."""
        small = values.view(values.shape[0], self.encoder.grid, self.encoder.grid)
        made = image_map([small], window.size, sigma=self.sigma, align_corners=self.align_corners, border=self.border)
        return window.uncut(made)
