"""What a search varies, how many settings it tries, and what a tuned row of a grid was given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pydantic

from dlkd.registry.located_yaml import dump_yaml

if TYPE_CHECKING:
    import optuna


class Parameter(pydantic.BaseModel):
    """What one parameter may be; one of the three is given.

    Attributes:
        log: lowest and highest, even on a logarithmic scale.
        uniform: lowest and highest.
        choice: the values.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    log: tuple[pydantic.FiniteFloat, pydantic.FiniteFloat] | None = None
    uniform: tuple[pydantic.FiniteFloat, pydantic.FiniteFloat] | None = None
    choice: tuple[Any, ...] | None = None

    @pydantic.model_validator(mode="after")
    def _makes_sense(self) -> Parameter:
        if sum(given is not None for given in (self.log, self.uniform, self.choice)) != 1:
            raise ValueError("give one of log: [lowest, highest], uniform: [lowest, highest] and choice: [values]")
        ends = self.log or self.uniform
        if ends is not None and not ends[0] < ends[1]:
            raise ValueError(f"the lowest comes first, got {list(ends)}")
        if self.log is not None and self.log[0] <= 0:
            raise ValueError("a logarithmic scale begins above 0")
        if self.choice is not None and len(set(map(json.dumps, self.choice))) != len(self.choice):
            raise ValueError("a value stands twice")
        if self.choice is not None and len(self.choice) < 2:
            raise ValueError("two values at least")
        return self

    @property
    def kind(self) -> str:
        """log, uniform or choice."""
        return next(name for name in ("log", "uniform", "choice") if getattr(self, name) is not None)

    @property
    def values(self) -> tuple[Any, ...]:
        """Both ends, or all choices."""
        return tuple(getattr(self, self.kind))

    def distribution(self) -> optuna.distributions.BaseDistribution:
        """The same for Optuna, which takes plain choices only: they are JSON there."""
        import optuna  # takes half a second, which a grid that is read need not wait for

        if self.choice is not None:
            return optuna.distributions.CategoricalDistribution([json.dumps(value) for value in self.choice])
        low, high = self.values
        return optuna.distributions.FloatDistribution(low, high, log=self.log is not None)

    def to_optuna(self, value: Any) -> Any:
        """A value as `distribution` has it."""
        return value if self.choice is None else json.dumps(value)

    def from_optuna(self, value: Any) -> Any:
        """A value that Optuna suggests."""
        return value if self.choice is None else json.loads(value)


class Tuning(pydantic.BaseModel):
    """What is tried, on which images, and what decides; `tune:` of a grid.

    Attributes:
        space: the parameters by key: `loss.alpha` as in YAML, `train.lr` for the training configuration.
        trials: how many settings are tried.
        metric: to maximise, on the validation images.
        rungs: how often a trial is compared with the others; behind, it is stopped.
        reduction: one in this many trials continues at each rung, with this many times the training.
        share: of the normal training images, what validates: as they are, and once more with planted defects.
        seed: of the suggestions, the split, the weights and the noise.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    space: dict[str, Parameter] = pydantic.Field(min_length=1)
    trials: int = pydantic.Field(20, ge=1)
    metric: str = "image_auroc"
    rungs: int = pydantic.Field(3, ge=1, le=6)
    reduction: int = pydantic.Field(3, ge=2)
    share: float = pydantic.Field(0.2, gt=0, lt=1)
    seed: int = 0

    def budget(self, rung: int) -> float:
        """The part of the whole training after which a trial stands at `rung`, from 0."""
        return float(self.reduction) ** (rung + 1 - self.rungs)

    def probes(self) -> Iterator[tuple[str, Any]]:
        """Each parameter's key with each of its values, or with both ends."""
        for key, parameter in self.space.items():
            for value in parameter.values:
                yield key, value


class TunedRow(pydantic.BaseModel):
    """What a row's search found.

    Attributes:
        label: of the row.
        chosen: the best setting by key; nothing where the row has none of the parameters.
        tried: how many settings were trained, to the end or as far as they were compared.
        score: of the best setting on the validation images, from 0 to 1.
        unchanged: score of the row as its file has it, where the space holds that.
        passed_over: why the row was not tuned; "" where it was.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    label: str
    chosen: dict[str, Any] = {}
    tried: int = 0
    score: float | None = None
    unchanged: float | None = None
    passed_over: str = ""


def shown(value: Any) -> str:
    """A parameter's value for people: 0.0123, gfrb, {name: gfrb, scan: hilbert8}."""
    if isinstance(value, float):
        return f"{value:.4g}"
    text: str = dump_yaml(value, default_flow_style=True, width=1000)
    return text.removesuffix("...\n").strip()
