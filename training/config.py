"""Length and data of a training: the paper's numbers, and a small preset for CPUs.

Optimisers and learning rates are arguments of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import pydantic

from dlkd.machine import MachineError, has_bf16
from dlkd.registry.located_yaml import LocatedYaml
from dlkd.registry.problems import ConfigError, KeyPath, Problem, nearest
from dlkd.training.thresholds.calibrate_config import Calibrate

if TYPE_CHECKING:
    from dlkd.models.detector import Detector
    from dlkd.registry import Node, Registry

SMALLEST = 32
"""Pixels of the smallest side that images may have."""
LARGEST = 16384
"""Pixels of the largest side: three channels of such a picture take 3 GiB as float32."""


class TrainConfig(pydantic.BaseModel):
    """Arguments of a training run; the defaults are the paper's (section 3.2).

    Attributes:
        image_size: side, or (height, width), in pixels to which every image is resized; "512x1024" is (512, 1024).
        batch_size: images per step.
        epochs: passes over the training images; the paper is silent, RD takes 200.
        max_steps: stop after so many steps, whatever `epochs` says; -1 for no limit.
        precision: "32-true", or "bf16-mixed" autocast.
        compile: train with what the model names compiled by `torch.compile`: a minute or more before the first step,
            and the same figures but for rounding. Scoring is not compiled. "graphs" also replays each whole
            step as one CUDA graph, on a GPU; see `dlkd.training.step_graph`.
        score_at: pixel metrics at the network's image size, as the paper, or at each mask's "native" size.
        pro_limit: PRO's limit of the false-positive rate; 0.05 is what MVTec AD 2 asks for.
        calibrate: hold normal training images out, and take the alarm threshold from their scores for a false-alarm
            rate; None takes the mean + 3 standard deviations of scores of training images.
        workers: processes that read images; 0 reads in the training process.
        checkpoint_seconds: a checkpoint is written at the end of an epoch once this many seconds have passed.
        feature_cache_mib: most disk that the features of frozen parts may take for the training images, see
            `dlkd.training.feature_cache`; 0 computes them anew each epoch. The result is the same.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    image_size: int | tuple[int, int] = 256
    batch_size: int = pydantic.Field(8, ge=1)
    epochs: int = pydantic.Field(200, ge=0)
    max_steps: int = pydantic.Field(-1, ge=-1)
    precision: Literal["32-true", "bf16-mixed"] = "32-true"
    compile: bool | Literal["graphs"] = False
    score_at: Literal["network", "native"] = "network"
    pro_limit: float = pydantic.Field(0.3, gt=0, le=1)
    calibrate: Calibrate | None = None
    workers: int = pydantic.Field(0, ge=0)
    checkpoint_seconds: float = pydantic.Field(30.0, ge=0)
    feature_cache_mib: int = pydantic.Field(2048, ge=0)

    @pydantic.field_validator("*", mode="before")
    @classmethod
    def _numbers(cls, given: Any, info: pydantic.ValidationInfo) -> Any:
        """`epochs: yes` is no number, though Python counts True as 1."""
        inside = given if isinstance(given, list | tuple) else [given]
        if info.field_name not in ("compile", "image_size") and any(isinstance(value, bool) for value in inside):
            raise ValueError("should be no true or false (yes, no, on and off are those in YAML)")
        return given

    @pydantic.field_validator("calibrate", mode="before")
    @classmethod
    def _none(cls, given: Any) -> Any:
        """`none` leaves it out, as in the slots of a variant."""
        return None if given == "none" else given

    @pydantic.field_validator("image_size", mode="before")
    @classmethod
    def _sides(cls, given: Any) -> int | tuple[int, int]:
        """One side for a square, however it is written, so that equal sizes are one configuration."""
        parts: Any = given.lower().split("x") if isinstance(given, str) else given
        parts = list(parts) if isinstance(parts, list | tuple) else [parts, parts]
        sides: list[Any] = [int(p) if isinstance(given, str) and p.strip().isdecimal() else p for p in parts]
        sides = sides * 2 if isinstance(given, str) and len(sides) == 1 else sides
        if len(sides) != 2 or any(type(side) is not int or not SMALLEST <= side <= LARGEST for side in sides):
            raise ValueError(
                f"must be a side or a height and a width, {SMALLEST} to {LARGEST} pixels: 256, [512, 1024], 512x1024"
            )
        return sides[0] if len(set(sides)) == 1 else (sides[0], sides[1])

    def check_device(self, *, gpu: bool) -> None:
        """Raise MachineError where trials are to run on CPUs that need a GPU."""
        if self.compile == "graphs" and not gpu:
            raise MachineError(
                "train.compile: CUDA graphs need a GPU (and a grid or search --trials-per-gpu); "
                "say `compile: true` on a CPU"
            )

    def slow_on(self, *, gpu: bool) -> str:
        """A note on what this machine is many times slower at than it need be; "" where there is nothing."""
        if self.precision == "bf16-mixed" and not gpu and not has_bf16():
            return (
                "note: train.precision bf16-mixed: this processor has no instructions for bf16, "
                "so that training takes many times as long as with 32-true"
            )
        return ""

    @property
    def sides(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return (self.image_size, self.image_size) if isinstance(self.image_size, int) else self.image_size

    def steps(self, batches: int) -> int:
        """Steps of a training whose epochs have so many batches."""
        every = self.epochs * batches
        return every if self.max_steps < 0 else min(every, self.max_steps)

    @property
    def size_text(self) -> str:
        """The image size as the command line takes it: 256, or 512x1024 (height x width)."""
        return "x".join(map(str, dict.fromkeys(self.sides)))


class Preset(pydantic.BaseModel):
    """A training configuration by name; what it means for a model stands in the model's row (`presets:`).

    Attributes:
        name: of the preset.
        train: what a model's row, a grid, its rows and the command line are laid over.
        model: arguments that lie under every variant's, over those of the model's row.
        said: what `trained` has laid over it so far, by argument.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    train: TrainConfig
    model: dict[str, Any] = {}
    said: dict[str, Any] = {}

    def trained(self, *layers: Mapping[str, Any], places: Sequence[tuple[LocatedYaml, KeyPath] | None] = ()) -> Preset:
        """The same with training arguments laid over it, the last layer on top.

        A layer that says `epochs` and no `max_steps` is not cut short by a limit that was said below it.

        Args:
            layers: training arguments by name.
            places: where each layer stands, for messages: a file and the path of its `train:`.

        Raises:
            ConfigError: an argument is unknown or has a value that it cannot take.
        """
        said = dict(self.said)
        for layer in layers:
            said |= {"max_steps": -1} if "epochs" in layer else {}
            said |= layer
        try:
            train = TrainConfig.model_validate(self.train.model_dump() | said)
            return self.model_copy(update={"train": train, "said": said})
        except pydantic.ValidationError as error:
            problems = []
            for path, message in wrong_arguments(error):
                # What has no key of its own is about several, which the last layer with any has made unfit.
                found = [i for i, layer in enumerate(layers) if (path[0] in layer if path else layer)]
                place = places[found[-1]] if found and found[-1] < len(places) else None
                problems.append(
                    Problem("training", 0, path, message)
                    if place is None
                    else place[0].problem((*place[1], *path), message)
                )
            raise ConfigError(problems) from error

    def settle(
        self,
        registry: Registry,
        variant: str,
        overrides: Mapping[str, Any] | None = None,
        *,
        source: LocatedYaml | None = None,
        path: KeyPath = (),
    ) -> tuple[Node, TrainConfig]:
        """A variant's model node, and its training: what the model's row says of this preset lies under all else.

        Args:
            registry: has the variant.
            variant: its name.
            overrides: as in `Registry.resolve`, like `source` and `path`.
            source: the file of the overrides.
            path: of the overrides in that file.

        Raises:
            ConfigError: the variant, an override or what the row says of the preset is wrong, or the model cannot be
                trained with the `compile` that is asked for.
        """
        node = registry.resolve(variant, overrides, preset=self.name, under=self.model, source=source, path=path)
        train, own, name = self.train, registry.preset(node, self.name).train, f"model/{node['model']}"
        if own:
            places = [(registry.row_source(name), ("components", name, "presets", self.name, "train"))]
            train = PRESETS[self.name].trained(own, self.said, places=places).train
        if train.compile and (why := why_not_compiled(registry.build("model", node), train.compile)):
            place = LocatedYaml("training", {}) if source is None else source
            raise ConfigError([place.problem((*path[:-1], "train", "compile"), f"{name}: {why}")])
        return node, train


def why_not_compiled(model: Detector, how: bool | Literal["graphs"]) -> str:
    """Why a model cannot be trained with this `compile`; "" where it can."""
    if how == "graphs" and not model.graphed:
        return (
            "its training step cannot be one CUDA graph, see `Detector.graphed`; say `compile: true`, or leave it out"
        )
    if how is True and not model.compiled:
        return "it names nothing that is to be compiled; leave `compile` out"
    return ""


def wrong_arguments(error: pydantic.ValidationError) -> Iterator[tuple[KeyPath, str]]:
    """Path and message of each training argument that is wrong."""
    for e in error.errors():
        path = tuple(e["loc"])
        if e["type"] == "extra_forbidden":
            near = elsewhere(str(path[0])) if len(path) == 1 else nearest(str(path[-1]), Calibrate.model_fields)
            yield path, f"unknown key{near}"
        else:
            got = f", got {e['input']!r}" if path else ""
            yield path, e["msg"].removeprefix("Value error, ") + got


def elsewhere(name: str) -> str:
    """What is said of a training argument that does not exist: the nearest name, or where others stand."""
    near = nearest(name, TrainConfig.model_fields)
    return near if "did you mean" in near else f"{near}; optimisers and learning rates are arguments of the model"


PRESETS = {
    "paper": Preset(name="paper", train=TrainConfig()),
    # A trial takes seconds on one core.
    "demo": Preset(name="demo", train=TrainConfig(image_size=128, epochs=1000, max_steps=40)),
}


def named_preset(
    name: str, base: Mapping[str, Any] | None = None, *, place: LocatedYaml | str = "", **given: Any
) -> Preset:
    """A preset with `base`, training arguments of `place`, and then those given laid over it; None is not given.

    Raises:
        ValueError: the preset is unknown.
        ConfigError: a training argument is unknown or has a value that it cannot take.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown preset '{name}'{nearest(name, PRESETS)}")
    over = {key: value for key, value in given.items() if value is not None}
    under = LocatedYaml(place, {}) if isinstance(place, str) else place
    places = [(under, ("train",)), (LocatedYaml("command line", {}), ())]
    return PRESETS[name].trained(base or {}, over, places=places)
