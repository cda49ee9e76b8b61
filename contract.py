"""Shape contracts: a small grammar for the inputs and the output of a component.

A contract is two things, both written in `registry.yaml` and enforced by the component itself:

* a shape, `"b c h w -> b c h w"`: tensors are comma-separated, a list argument stands in brackets, an axis is
  a name, a number, `2*h` (twice h) or `h/2` (h divided by 2, rounded up, as strided convolutions do);
* rules on the axes, `{c: "multiple of 4", h: ">= 2"}`, joined by "and".
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

LAWS = (
    "shape",
    "gradient",
    "repeatable",
    "batch_independence",
    "state_dict",
    "float64",
    "autocast",
    "training",
    "requires",
    "channels_last",
    "contiguous",
    "pickle",
    "compile",
    "export",
    "detect",
    "saved",
    "losses",
    "losses_autocast",
    "generator",
    "clean",
    "frozen",
    "resume",
    "graphed",
    "in_range",
    "seeded",
    "each_image",
)
"""Names of the laws that every component keeps, from "detect" on every model, and from "in_range" on what is drawn for
images; `dlkd.check` says what each is."""

_COMPARISONS: dict[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
}
_AXIS = re.compile(r"(?:(\d+)\*)?([a-z]\w*|\d+)(?:/([1-9]\d*))?")


class ContractError(ValueError):
    """An input outside what a component accepts; names the component, the axis and the rule."""


@dataclass(frozen=True)
class Rule:
    """One rule on an axis, such as "multiple of 4", ">= 2" or ">= 2 and multiple of 2"."""

    text: str

    def __post_init__(self) -> None:
        self.holds(1)  # an unreadable rule fails when it is written, not when it is first broken

    def holds(self, value: int) -> bool:
        """Whether `value` keeps the rule. Raises ValueError where the rule cannot be read."""
        return all(self._holds_one(part.strip(), value) for part in self.text.split(" and "))

    @staticmethod
    def _holds_one(part: str, value: int) -> bool:
        if match := re.fullmatch(r"multiple of ([1-9]\d*)", part):
            return value % int(match[1]) == 0
        if match := re.fullmatch(r"(>=|<=|==) (\d+)", part):
            return _COMPARISONS[match[1]](value, int(match[2]))
        raise ValueError(f'cannot read the rule "{part}"; known: "multiple of 4", ">= 2", "<= 2", "== 3"')


def require(component: str, axis: str, value: int, rule: str) -> None:
    """Raise ContractError unless `value` on `axis` keeps `rule`.

    >>> require("my_block", "c", 6, "multiple of 4")
    Traceback (most recent call last):
    dlkd.contract.ContractError: my_block: axis c must be multiple of 4, got 6
    """
    if not Rule(rule).holds(value):
        raise ContractError(f"{component}: axis {axis} must be {rule}, got {value}")


def require_map(component: str, x: Tensor, channels: int, *, min_side: int = 1) -> None:
    """Raise ContractError unless x is a map (b, channels, h, w) with both sides at least `min_side`.

    >>> import torch
    >>> require_map("my_block", torch.zeros(2, 8, 1, 6), 8, min_side=2)
    Traceback (most recent call last):
    dlkd.contract.ContractError: my_block: axis h must be >= 2, got 1
    """
    if x.dim() != 4:
        raise ContractError(f"{component}: expected a map (b, c, h, w), got shape {tuple(x.shape)}")
    require(component, "c", x.shape[1], f"== {channels}")
    require(component, "h", x.shape[2], f">= {min_side}")
    require(component, "w", x.shape[3], f">= {min_side}")


@dataclass(frozen=True)
class Axis:
    """One axis of a shape: a name or a number, with an optional factor before and divisor after it."""

    text: str

    def size(self, names: Mapping[str, int]) -> int | None:
        """The axis' size under the bindings in `names`, or None where its name is not bound."""
        factor, base, divisor = self._parts()
        value = int(base) if base.isdigit() else names.get(base)
        return None if value is None else -(-value * factor // divisor)

    @property
    def name(self) -> str | None:
        """The name the axis depends on, or None for a number."""
        base = self._parts()[1]
        return None if base.isdigit() else base

    def _parts(self) -> tuple[int, str, int]:
        match = _AXIS.fullmatch(self.text)
        if match is None:
            raise ValueError(f'cannot read the axis "{self.text}"; known: "h", "3", "2*h", "h/2"')
        return int(match[1] or 1), match[2], int(match[3] or 1)


TensorShape = tuple[Axis, ...]
Argument = TensorShape | list[TensorShape]


@dataclass(frozen=True)
class Shape:
    """A parsed contract: the inputs, argument by argument, and the output.

    >>> shape = Shape.parse("b c h w -> b c 2*h 2*w")
    >>> shape.names()
    ['b', 'c', 'h', 'w']
    >>> sizes(shape.output, {"b": 2, "c": 8, "h": 6, "w": 9})
    (2, 8, 12, 18)
    """

    text: str
    inputs: list[Argument]
    output: Argument

    @classmethod
    def parse(cls, text: str) -> Shape:
        """Parse "b c h w -> b c h w". Raises ValueError that quotes what could not be read."""
        left, arrow, right = text.partition("->")
        if not arrow:
            raise ValueError(f'a shape needs "->" between inputs and output, got "{text}"')
        outputs = _arguments(right)
        if len(outputs) != 1:
            raise ValueError(f'a shape has one output (a tensor or a [list]), got "{right.strip()}"')
        return cls(text=text, inputs=_arguments(left), output=outputs[0])

    def names(self) -> list[str]:
        """Names of the input axes, in order of appearance."""
        tensors = [t for a in self.inputs for t in (a if isinstance(a, list) else [a])]
        return list(dict.fromkeys(axis.name for t in tensors for axis in t if axis.name))


def sizes(shape: TensorShape, names: Mapping[str, int]) -> tuple[int, ...]:
    """Sizes of one tensor. Raises ValueError where an axis is not bound."""
    found = [(axis, axis.size(names)) for axis in shape]
    missing = [axis.text for axis, size in found if size is None]
    if missing:
        raise ValueError(f"axes {missing} are not bound by {sorted(names)}")
    return tuple(size for _, size in found if size is not None)


def matches(shape: TensorShape, actual: Sequence[int], names: dict[str, int]) -> bool:
    """Whether `actual` fits `shape`; a plain name seen for the first time is bound in `names`."""
    if len(shape) != len(actual):
        return False
    for axis, size in zip(shape, actual, strict=True):
        expected = axis.size(names)
        if expected is None and axis.text == axis.name:
            names[axis.text] = expected = size
        if expected != size:
            return False
    return True


def _arguments(text: str) -> list[Argument]:
    parts = re.findall(r"\[[^\]]*\]|[^,\[\]]+", text)
    arguments: list[Argument] = []
    for part in (p.strip() for p in parts):
        if part.startswith("["):
            arguments.append([_tensor(t) for t in part[1:-1].split(",")])
        elif part or len(parts) == 1:
            arguments.append(_tensor(part))
    return arguments or [()]


def _tensor(text: str) -> TensorShape:
    axes = tuple(Axis(a) for a in text.split())
    for axis in axes:
        axis.size({})
    return axes
