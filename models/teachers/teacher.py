"""The frozen teacher: any timm backbone with `features_only`, and pseudo-anomalies in its features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import torch
from torch import Tensor, nn

from dlkd.contract import ContractError, require, require_map
from dlkd.models.parts.noise import GaussianNoise
from dlkd.models.teachers.last_relu import leak
from dlkd.models.teachers.offline_weights import offline_state
from dlkd.models.teachers.weights import TeacherWeightsError, find_weights, read_checkpoint
from dlkd.registry import register

NoisePlace: TypeAlias = Literal["stem", "stage1", "every"]
"""Where noise is added: to the input of the first stage, to its output, or to every tapped feature map separately."""


class CleanPass(NamedTuple):
    """The teacher's output for clean images: the part of a training step that depends on neither noise nor student.

    Attributes:
        features: T_E, largest map first.
        entry: the map to which noise is added, see `NoisePlace`; None if noise is added to the features.
    """

    features: list[Tensor]
    entry: Tensor | None


@register("teacher", "timm")
class Teacher(nn.Module):
    """Features of a pretrained backbone at several scales; frozen, and always in eval mode.

    Args:
        backbone: name of a timm model; the paper's is `resnet18.tv_in1k`.
        weights: "timm" (timm's own, downloaded or cached), "pypi" (ImageNet weights from a PyPI package, see
            `dlkd.models.teachers.offline_weights`), "random" (untrained, by explicit wish only), or the path of
            a file: .safetensors, or anything `torch.save` wrote that holds tensors and plain values. The entries
            of the timm model (torchvision's names are the same for ResNets) may be at any depth, under any prefix and
            among other entries, see `dlkd.models.teachers.weights`.
        stages: which of the backbone's feature maps are taken; default those at 1/4, 1/8 and 1/16 of the image.
        last_slope: of the last ReLU of each stage that is taken, below zero: its map keeps so much of the negative
            values, and the next stage takes none of them. 0 is the ReLU as it is; anything else is for ResNets only.

    Attributes:
        channels: channels of each feature map. reductions: image side over map side of each. stages: their numbers.
        mean, std: statistics the backbone's images are normalised with, from timm's configuration.

    Raises:
        TeacherWeightsError: the weights are not to be had.
        ValueError: timm does not know the backbone, or it has no such stages, or they do not end in a ReLU.
    """

    def __init__(
        self,
        *,
        backbone: str = "resnet18.tv_in1k",
        weights: Literal["timm", "pypi", "random"] | str | PathLike[str] = "timm",  # words, or a path
        stages: Sequence[int] | None = None,
        last_slope: float = 0.0,
    ) -> None:
        super().__init__()
        from timm.layers.format import Format

        self.backbone = backbone
        self.network = backbone_features(backbone, str(weights), stages)
        info: Any = self.network.feature_info
        self.channels: tuple[int, ...] = tuple(info.channels())
        self.reductions: tuple[int, ...] = tuple(info.reduction())
        self.stages: tuple[int, ...] = tuple(info.out_indices)
        config: Any = self.network.pretrained_cfg
        self.mean: tuple[float, ...] = tuple(config["mean"])
        self.std: tuple[float, ...] = tuple(config["std"])
        self.gives_channels_last = getattr(self.network, "output_fmt", None) == Format.NHWC
        self._first_tap = [_submodule(self.network, info.module_name()[0])]  # in a list: it is a part already
        self.last_slope = last_slope
        leak(self.network, last_slope, backbone)
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Teacher:
        """Stay in eval mode, so that the batch statistics of the teacher do not change."""
        del mode
        return super().train(False)

    @torch.no_grad()  # not inference_mode: the student's backward needs the features
    def forward(self, images: Tensor) -> list[Tensor]:
        """T_E: images (b, 3, h, w), normalised -> [(b, c_k, h / r_k, w / r_k), ...], largest map first."""
        require_map("teacher", images, 3)
        for axis, side in (("h", images.shape[2]), ("w", images.shape[3])):
            require("teacher", axis, side, ">= 32")
        # Somebody may have called train() on a submodule directly, past the override above.
        self.network.eval()
        if images.device.type == "cpu":
            # There convolutions, norms and cosines are faster so, and all that comes after keeps the layout.
            images = images.contiguous(memory_format=torch.channels_last)
        try:
            features: list[Tensor] = self.network(images)
        except AssertionError as error:  # transformers with windows take a few sides only, and say so by assert
            sides = f"{images.shape[2]}x{images.shape[3]}"
            raise ContractError(f"teacher: {self.backbone} takes no images of {sides}: {error}") from error
        if self.gives_channels_last:
            features = [x.permute(0, 3, 1, 2) for x in features]
        return features

    @torch.no_grad()
    def clean(self, images: Tensor, place: NoisePlace = "every") -> CleanPass:
        """T_E of images (b, 3, h, w), normalised, and the map to which noise at `place` is added ("every": none).

        The features of an image are bit-identical in every batch, so that they can be cached for later epochs. A batch
        of one image would use other kernels on a CPU, and is therefore doubled.
        """
        b = images.shape[0]
        pair = images.expand(2, -1, -1, -1) if b == 1 else images
        entry: list[Tensor] = []
        with self._hooked(place, lambda x: entry.append(x.clone())):  # a layer may work in place
            features = self(pair)
        return CleanPass([x[:b] for x in features], entry[0][:b] if entry else None)

    def clean_key(self, place: NoisePlace = "every") -> str:
        """What `clean` depends on, except images and weights; for `Detector.clean_key`."""
        kind = f"{type(self).__module__}.{type(self).__qualname__}"
        return repr((kind, self.backbone, self.stages, self.last_slope, place))

    @torch.no_grad()
    def pseudo_anomalies(
        self,
        images: Tensor,
        features: Sequence[Tensor],
        noise: GaussianNoise,
        *,
        place: NoisePlace = "stem",
        generator: torch.Generator | None = None,
        entry: Tensor | None = None,
    ) -> list[Tensor]:
        """F_E: features of the same images with noise in the shallow ones; shapes as `features`.

        Args:
            images: (b, 3, h, w), normalised.
            features: T_E of the same images.
            noise: the noise module.
            place: where it is added, see `NoisePlace`.
            generator: source of the noise.
            entry: `CleanPass.entry`; if given, the layers before it are not run again.
        """
        if place == "every":
            return [noise(x, generator=generator) for x in features]
        if entry is not None and _in_order(self.network):
            # The entry replaces what comes of the images, so any will do.
            images = images.new_zeros(1, 3, 32, 32)
        with self._hooked(place, lambda x: noise(x if entry is None else entry, generator=generator)):
            noisy: list[Tensor] = self(images)
        return noisy

    @contextmanager
    def _hooked(self, place: NoisePlace, change: Callable[[Tensor], Tensor | None]) -> Iterator[None]:
        """Context in which `change` replaces the map at `place`, unless it returns None."""
        if place == "stem":
            handle = self._first_tap[0].register_forward_pre_hook(lambda _, args: change(args[0]))
        elif place == "stage1":
            handle = self._first_tap[0].register_forward_hook(lambda _, __, out: change(out))
        else:
            yield
            return
        try:
            yield
        finally:
            handle.remove()


def _in_order(network: nn.Module) -> bool:
    """Whether a network passes exactly one tensor from stage to stage."""
    from timm.models._features import FeatureDictNet
    from timm.models.efficientnet import EfficientNetFeatures
    from timm.models.mobilenetv3 import MobileNetV3Features

    return isinstance(network, FeatureDictNet | EfficientNetFeatures | MobileNetV3Features)


def backbone_features(backbone: str, weights: str, stages: Sequence[int] | None) -> nn.Module:
    """timm's features-only network; arguments and exceptions as those of `Teacher`."""
    import timm  # takes a second, which a command that builds no teacher need not wait for

    try:
        probe: Any = timm.create_model(backbone, features_only=True, pretrained=False)
    except (RuntimeError, AttributeError) as error:
        near = timm.list_models(f"*{backbone.split('.')[0][:8]}*")[:5]
        raise ValueError(
            f"teacher: timm has no backbone {backbone!r} that gives features ({error}); near: {', '.join(near)}"
        ) from error
    reductions = [info["reduction"] for info in probe.feature_info.info]
    if stages is None:
        stages = [i for i, r in enumerate(reductions) if r in (4, 8, 16)]
        if len(stages) != 3 or len(set(reductions)) != len(reductions):
            raise ValueError(
                f"teacher: {backbone} has no single map at 1/4, 1/8 and 1/16 (reductions {reductions}); "
                f"name the stages, such as stages: [0, 1, 2]"
            )
    if not all(0 <= s < len(reductions) for s in stages) or list(stages) != sorted(set(stages)) or not stages:
        raise ValueError(
            f"teacher: stages must be increasing and among 0..{len(reductions) - 1} for {backbone}, got {list(stages)}"
        )
    make: dict[str, Any] = {"features_only": True, "out_indices": tuple(stages)}
    if hasattr(getattr(getattr(probe, "model", None), "patch_embed", None), "dynamic_img_pad"):
        # A ViT takes other sides than those it was trained on only when asked to.
        make |= {"dynamic_img_size": True, "dynamic_img_pad": True}
    if weights == "random":
        return timm.create_model(backbone, pretrained=False, **make)
    if weights == "timm":
        return _from_timm(backbone, make)
    state = given_weights(backbone, weights)
    network = timm.create_model(backbone, pretrained=False, **make)
    network.load_state_dict(find_weights(state, network.state_dict(), backbone=backbone, source=weights))
    return network


def _from_timm(backbone: str, make: dict[str, Any]) -> nn.Module:
    import timm

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the hub's retry chatter; what matters is raised below
            return timm.create_model(backbone, pretrained=True, **make)
    except (OSError, RuntimeError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise TeacherWeightsError(
            f"teacher: no pretrained weights for {backbone}: {first}\n"
            f"Offline, ask for `backbone: tf_efficientnet_lite0, weights: pypi` (pip install dlkd[offline]), give the "
            f"path of a state dict as `weights:`, or set `weights: random`."
        ) from error


def given_weights(backbone: str, weights: str) -> dict[str, Any]:
    """The content of weights that need no download: "pypi", or a file's path. Raises TeacherWeightsError."""
    return offline_state(backbone) if weights == "pypi" else _state_from_file(backbone, Path(weights))


def _state_from_file(backbone: str, path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise TeacherWeightsError(
            f"teacher: no weights for {backbone} at {path}; known words: timm, pypi, random, or a file's path"
        )
    return read_checkpoint(path)


def _submodule(network: nn.Module, name: str) -> nn.Module:
    modules: dict[str, nn.Module] = dict(network.named_modules())
    for candidate in (name, name.replace(".", "_"), f"model.{name}"):
        if candidate in modules:
            return modules[candidate]
    raise ValueError(f"teacher: cannot find the stage {name} in {type(network).__name__}")
