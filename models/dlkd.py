"""DLKD: teacher, pseudo-anomalies, fusion, coarse decoder, precise refinement, anomaly map."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from dlkd.blocks.mffm import MFFM
from dlkd.blocks.norm import Block
from dlkd.blocks.prl import PRL, CoarseUse, MapUse, refine
from dlkd.contract import require
from dlkd.losses import TotalLoss
from dlkd.models.detector import Detector
from dlkd.models.optimizers.optimizer import Adam, OptimizerSettings
from dlkd.models.parts.anomaly_map import Combine, cosine_map, image_map, image_score
from dlkd.models.parts.beside import Beside
from dlkd.models.parts.decoder import CoarseDecoder
from dlkd.models.parts.fitted import standardising, with_fit
from dlkd.models.parts.noise import GaussianNoise
from dlkd.models.parts.reconstruction import Reconstruction
from dlkd.models.parts.spoiled import spoiled
from dlkd.models.teachers.teacher import CleanPass, NoisePlace, Teacher
from dlkd.registry import register

MapOf: TypeAlias = Literal["precise", "coarse", "both"]
"""Which maps of eq. 7 the anomaly map is made of: those of F_PS, those of F_CS, or all of them."""


ADAM = functools.partial(Adam, lr=0.005, betas=(0.5, 0.999), weight_decay=1e-4)
"""The paper's learning rate and weight decay; the paper does not state the betas, these are RD's."""


@register("model", "dlkd")
class DLKD(Detector):
    """Dual-learning knowledge distillation (Li et al., ICIC 2025). Calling it gives anomaly maps.

    Args:
        teacher: class of the frozen teacher.
        noise: class of the pseudo-anomalies in the teacher's features; None for none.
        noise_place: where noise enters the teacher.
        pseudo_anomaly: class of pseudo-anomalies in the images, such as
            `dlkd.pseudo_anomalies.pasted_texture.PastedTexture`: F_E is then the teacher's output for spoiled images,
            with `noise` in it, unless that is None.
        fusion: class of the fusion module.
        decoder: class of the coarse decoder; gets F_E as a third argument if it has a true `takes_features`.
        refiner: block class of the precise refinement learner, None to leave it out (Table 4, Exp. 1 and 2).
        map_use: how eq. 5 uses M, see `dlkd.blocks.prl.MapUse`.
        coarse_use: how eq. 5 uses F_CS, see `dlkd.blocks.prl.CoarseUse`.
        loss: class of the objective, eq. 6.
        contrast_without_refiner: without a refiner the losses on F_PS take F_CS; False then drops L_con.
        map_of: which maps make the anomaly map, see `MapOf`; without a refiner there are the coarse ones only.
        combine: how they are combined, see `dlkd.models.parts.anomaly_map.Combine`.
        sigma: Gaussian smoothing of the anomaly map, in pixels.
        align_corners: how the maps are upsampled to the image.
        standardise: class that standardises the maps by those of normal images before they are combined, such as
            `dlkd.blocks.standardise.Standardise`; None for none.
        memory: class of a memory of normal features, such as `dlkd.blocks.memory.patch_memory.PatchMemory`, whose map
            is added to the model's, see `dlkd.models.parts.beside.Beside`; None for none.
        score_top: image score: 0 for the map's maximum, else the mean of its highest fraction.
        optimizer: class of the optimiser's settings; its learning rate is that of fusion, decoder and losses.
        lr_refiner: learning rate of the precise refinement learner.
    """

    frozen = ("teacher",)
    compiled = ("reconstruct",)  # the part of a step that is neither teacher nor losses

    def __init__(
        self,
        *,
        teacher: Callable[[], Teacher] = Teacher,
        noise: Callable[[], GaussianNoise] | None = GaussianNoise,
        noise_place: NoisePlace = "stem",
        pseudo_anomaly: Callable[[], nn.Module] | None = None,
        fusion: Callable[..., nn.Module] = MFFM,
        decoder: Callable[..., nn.Module] = CoarseDecoder,
        refiner: Block | None = PRL,
        map_use: MapUse = "flow",
        coarse_use: CoarseUse = "flow",
        loss: Callable[[], TotalLoss] = TotalLoss,
        contrast_without_refiner: bool = True,
        map_of: MapOf = "precise",
        combine: Combine = "sum",
        sigma: float = 4.0,
        align_corners: bool = True,
        standardise: Callable[..., nn.Module] | None = None,
        memory: Callable[..., nn.Module] | None = None,
        score_top: float = 0.0,
        optimizer: Callable[[], OptimizerSettings] = ADAM,
        lr_refiner: float = 0.002,
    ) -> None:
        super().__init__()
        if not 0 <= score_top <= 1:
            raise ValueError(f"dlkd: score_top must lie in [0, 1], got {score_top}")
        if sigma < 0:
            raise ValueError(f"dlkd: sigma must be at least 0 pixels, got {sigma}")
        if lr_refiner <= 0:
            raise ValueError(f"dlkd: lr_refiner must be above 0, got {lr_refiner}")
        self.teacher = teacher()
        # A teacher that names no statistics takes images in [0, 1].
        self.mean, self.std = (getattr(self.teacher, name, getattr(self, name)) for name in ("mean", "std"))
        self.noise = None if noise is None else noise()
        self.noise_place: NoisePlace = noise_place
        self.pseudo_anomaly = None if pseudo_anomaly is None else pseudo_anomaly()
        channels, reductions = self.teacher.channels, self.teacher.reductions
        self.fusion = fusion(channels, reductions=reductions)
        self.decoder = decoder(channels, in_channels=self.fusion.out_channels, reductions=reductions)
        self.refiners = None if refiner is None else nn.ModuleList(refiner(c) for c in channels)
        self.map_use: MapUse = map_use
        self.coarse_use: CoarseUse = coarse_use
        self.loss = loss()
        if not isinstance(self.loss, TotalLoss):
            raise ValueError(
                f"dlkd: loss must be the weighted sum `total` or one like it, got {type(self.loss).__name__}"
            )
        if refiner is None and not contrast_without_refiner and "contrast" in self.loss.losses:
            del self.loss.losses["contrast"]
            if not self.loss.losses:
                raise ValueError("dlkd: without a refiner contrast_without_refiner: false leaves no loss")
        self.map_of: MapOf = map_of
        self.combine: Combine = combine
        self.sigma = sigma
        self.align_corners = align_corners
        scales = len(channels) * (2 if map_of == "both" and refiner is not None else 1)
        self.standardise = standardising("dlkd", standardise, scales, combine)
        self.beside = None
        if memory is not None:
            part = with_fit("dlkd", "memory", memory(channels), like="patch_memory")
            self.beside = Beside(part, sigma=sigma, align_corners=align_corners)
        self.score_top = score_top
        self.optimizer = optimizer()
        self.lr_refiner = lr_refiner
        self.paced = self.optimizer.paced
        self.graphed = self.pseudo_anomaly is None  # which draws on the CPU

    def forward(self, images: Tensor) -> Tensor:
        """Images (b, 3, h, w), normalised by the teacher's statistics -> anomaly maps (b, h, w). No noise."""
        for axis, side in (("h", images.shape[-2]), ("w", images.shape[-1])):
            require("dlkd", axis, side, ">= 32")
        own, features = self.own_map(images)
        return own if self.beside is None else self.beside(own, features)

    def own_map(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The student's maps (b, h, w) of images (b, 3, h, w), without a memory's, and the teacher's features."""
        features = self.teacher(images)
        maps = self.scale_maps(features)
        if self.standardise is not None:
            maps = self.standardise(maps)
        h, w = images.shape[-2:]
        own = image_map(maps, (h, w), sigma=self.sigma, align_corners=self.align_corners, combine=self.combine)
        return own, features

    def scale_maps(self, features: Sequence[Tensor]) -> list[Tensor]:
        """The maps of `map_of` [(b, h_k, w_k), ...] for the teacher's features, without noise."""
        made = self.reconstruct(features, features)
        if self.map_of == "both" and self.refiners is not None:
            return [*made.coarse_maps, *made.precise_maps]
        return made.coarse_maps if self.map_of == "coarse" else made.precise_maps

    @property
    def fits(self) -> bool:
        """Whether a part is fitted without gradient."""
        return self.standardise is not None or self.beside is not None

    def fit(self, batches: Iterable[Tensor]) -> None:
        """Fit `standardise` and then `memory` to normal images (b, 3, h, w), where they are there."""
        if self.standardise is not None:
            self.standardise.fit(self.scale_maps(self.teacher(images)) for images in batches)
        if self.beside is not None:
            self.beside.fit(batches, self.teacher, self.own_map)

    def score(self, maps: Tensor) -> Tensor:
        """Image scores of anomaly maps: (b, h, w) -> (b,)."""
        return image_score(maps, top=self.score_top)

    def clean(self, images: Tensor) -> CleanPass:
        """The teacher's output for images (b, 3, h, w), the same in every epoch; see `losses`."""
        return self.teacher.clean(images, self._clean_entry)

    def clean_key(self) -> str:
        """The teacher's network and the place of the noise."""
        return self.teacher.clean_key(self._clean_entry)

    @property
    def _clean_entry(self) -> NoisePlace:
        """Where the teacher's clean pass is kept for noise: nowhere ("every") if noise enters no clean image's map."""
        return "every" if self.noise is None or self.pseudo_anomaly is not None else self.noise_place

    def pseudo_anomalies(
        self,
        images: Tensor,
        features: Sequence[Tensor],
        generator: torch.Generator | None = None,
        entry: Tensor | None = None,
    ) -> list[Tensor]:
        """F_E of images (b, 3, h, w) with T_E `features`; `entry` is the map to which noise is added, if known."""
        if self.pseudo_anomaly is not None:
            images = spoiled(images, self.pseudo_anomaly, self.mean, self.std, generator)
            if self.noise is None or self.noise_place == "every":
                features = self.teacher(images)
        if self.noise is None:
            return list(features)
        return self.teacher.pseudo_anomalies(
            images, features, self.noise, place=self.noise_place, generator=generator, entry=entry
        )

    def reconstruct(self, features: Sequence[Tensor], noisy: Sequence[Tensor]) -> Reconstruction:
        """The student on F_E (`noisy`), compared with T_E (`features`); shapes as the teacher's."""
        sizes = [(x.shape[2], x.shape[3]) for x in features]
        takes_features = getattr(self.decoder, "takes_features", False)
        coarse = self.decoder(self.fusion(noisy), sizes, *([noisy] if takes_features else []))
        coarse_maps = [cosine_map(t, s) for t, s in zip(features, coarse, strict=True)]
        if self.refiners is None:
            return Reconstruction(coarse, coarse, coarse_maps, coarse_maps)
        precise = [
            refine(p, f, m, use=self.map_use, coarse_use=self.coarse_use)
            for p, f, m in zip(self.refiners, coarse, coarse_maps, strict=True)
        ]
        precise_maps = [cosine_map(t, s) for t, s in zip(features, precise, strict=True)]
        return Reconstruction(coarse, precise, coarse_maps, precise_maps)

    def losses(
        self, images: Tensor, generator: torch.Generator | None = None, clean: CleanPass | None = None
    ) -> dict[str, Tensor]:
        """One training pass: each loss by name and their weighted sum as "total", all scalars.

        Args:
            images: (b, 3, h, w), normalised.
            generator: source of the noise.
            clean: the result of `clean` for the same images, if it was cached.
        """
        features, entry = self.clean(images) if clean is None else clean
        noisy = self.pseudo_anomalies(images, features, generator, entry)
        made = self.reconstruct(features, noisy)
        more: dict[str, Sequence[Tensor] | Tensor] = {"coarse": made.coarse, "features": features, "images": images}
        terms = self.loss.terms(made.coarse_maps, made.precise_maps, noisy, made.precise, **more)
        return terms | {"total": self.loss.weigh(terms)}

    def optimizers(self) -> list[Optimizer]:
        """One optimiser, with a separate learning rate for the refiner."""
        refiner = (self.refiner_parameters(), self.lr_refiner)
        return [self.optimizer(student=self.student_parameters(), refiner=refiner)]

    def begin_step(self, step: int, steps: int, optimizers: Sequence[Optimizer]) -> None:
        """Learning rates by the optimiser's schedule."""
        self.optimizer.begin_step(step, steps, optimizers)

    def refiner_parameters(self) -> list[nn.Parameter]:
        """Parameters that train at the refiner's learning rate."""
        return [] if self.refiners is None else list(self.refiners.parameters())

    def student_parameters(self) -> list[nn.Parameter]:
        """Parameters of the fusion module, the coarse decoder and the losses."""
        return [*self.fusion.parameters(), *self.decoder.parameters(), *self.loss.parameters()]

    def parts(self) -> Mapping[str, nn.Module]:
        """The paper's names."""
        names = {"teacher": self.teacher, "fusion": self.fusion, "coarse decoder": self.decoder, "losses": self.loss}
        return names if self.refiners is None else {**names, "refiner": self.refiners}

    def stages(self, images: Tensor) -> Mapping[str, Tensor | Sequence[Tensor]]:
        """The paper's: T_E, F_E, the fused map, F_CS, M_C, F_PS, the anomaly map."""
        features = self.teacher(images)
        noisy = self.pseudo_anomalies(images, features)
        made = self.reconstruct(features, noisy)
        refined = {} if self.refiners is None else {"F_PS, refined": made.precise}
        return {
            "T_E, teacher": features,
            "F_E, pseudo-anomalies": noisy,
            "fused (MFFM)": self.fusion(noisy),
            "F_CS, coarse decoder": made.coarse,
            "M_C, coarse maps": made.coarse_maps,
            **refined,
            "anomaly map": self.own_map(images)[0],
        }
