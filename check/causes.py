"""Explains failed laws: one text per cause, with the expected behaviour, the sizes and the fix."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import torch

from dlkd.check import sizes
from dlkd.check.component import Case, Component
from dlkd.check.law import BrokenContract, Law
from dlkd.contract import ContractError, Rule

NOT_ITS_OWN = tuple(str(Path(f).parent) for f in (__file__, torch.__file__, hypothesis.__file__))
"""Folders of code whose lines do not show where a component fails."""

STARTS = (8, 16, 32, 64, 12, 48, 15, 7, 5)
"""Sizes of all axes among which one is looked for at which a law holds."""


@dataclass(frozen=True)
class Failure:
    """A law that a component breaks.

    Attributes:
        law: the law.
        sizes: sizes of the axes at which it is broken.
        error: what was raised.
        cause: equal for failures that one fix removes.
    """

    law: Law
    sizes: dict[str, int]
    error: Exception
    cause: str


def cause_of(error: Exception) -> str:
    """The cause of a failure: the component's lines that raised, or what the law saw."""
    if isinstance(error, BrokenContract):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(NOT_ITS_OWN)] or list(frames)
    return f"{type(error).__name__} at {', '.join(f'{f.filename}:{f.lineno}' for f in own)}"


def grouped(failures: Sequence[Failure]) -> list[list[Failure]]:
    """The failures by their cause, in order."""
    groups: dict[str, list[Failure]] = {}
    for failure in failures:
        groups.setdefault(failure.cause, []).append(failure)
    return list(groups.values())


def explain(component: Component, group: Sequence[Failure]) -> str:
    """Text on failures of one cause: the laws, the observed and expected behaviour, the sizes and the fix."""
    first = group[0]
    laws = ", ".join(f.law.name for f in group)
    told = seen(first.error)
    lines = [
        f"{laws}{f' ({len(group)} laws, one cause)' if len(group) > 1 else ''}: {told}",
        f"expected: {first.law.says}, at every size that the row allows",
        f"seen at: {_told(first.sizes)}",
        *(_advice(component, first) if first.law.drawn else []),
    ]
    return "\n    ".join(lines)


def seen(error: Exception) -> str:
    """What a law saw, or what was raised, without the lines that PyTorch adds for its own developers."""
    text = str(error).strip() or "no message"
    return text if isinstance(error, BrokenContract) else f"{type(error).__name__}: {text.splitlines()[0]}"


def _advice(component: Component, failure: Failure) -> list[str]:
    good = next((s for s in _starts(component) if _holds(component, failure.law, s)), None)
    if good is None:
        return ["it fails at all sizes tried"]
    found = _rules(component, failure, good)
    if not found:
        return [f"it holds at: {_told(good)}"]
    rules, tried = {axis: rule for axis, (rule, _) in found.items()}, {a: t for a, (_, t) in found.items()}
    where = " and ".join(f"{axis} is {rule} ({_range(tried[axis])} tried)" for axis, rule in rules.items())
    fix = "fix: write `requires: {" + ", ".join(f"{a}: {_yaml(r)}" for a, r in rules.items()) + "}` in its row"
    if not isinstance(failure.error, ContractError):
        calls = [f'`require("{component.own_name}", "{a}", {_value(component, a)}, "{r}")`' for a, r in rules.items()]
        fix += f", and {' and '.join(calls)} in the component, so that the error names the rule"
    return [f"it holds where {where}", fix]


def _rules(component: Component, failure: Failure, good: dict[str, int]) -> dict[str, tuple[str, list[int]]]:
    """By axis, the missing rule with which the law would hold, and the sizes tried, starting from `good` ones."""
    found = {}
    for axis in component.axes():
        if _holds(component, failure.law, {**good, axis: failure.sizes[axis]}):
            continue
        for count in (16, 64):  # "multiple of 16" needs more than 16
            tried = sizes.allowed(component, axis)[:count]
            holds = {v for v in tried if _holds(component, failure.law, {**good, axis: v})}
            if len(holds) > 1:
                break
        rule = _fit(list(range(1, tried[-1] + 1)), holds) or _joined(component, axis, _fit(tried, holds))
        if rule is not None:
            found[axis] = (rule, tried)
    return found


def _fit(tried: Sequence[int], holds: set[int]) -> str | None:
    """The simplest rule that selects, of the sizes tried, those at which the law holds."""
    if not holds:
        return None
    multiples = [f"multiple of {n}" for n in range(2, 65)]
    least, most = f">= {min(holds)}", f"<= {max(holds)}"
    rules = (
        [f"== {min(holds)}"] if len(holds) == 1 else [least, most, *multiples, *(f"{least} and {m}" for m in multiples)]
    )
    return next((r for r in rules if {v for v in tried if Rule(r).holds(v)} == holds), None)


def _joined(component: Component, axis: str, rule: str | None) -> str | None:
    present = component.row.requires.get(axis)
    return rule if rule is None or present is None else f"{present} and {rule}"


def _starts(component: Component) -> list[dict[str, int]]:
    """Sets of sizes that the row allows, for one at which the law holds."""
    found = [sizes.typical(component)]
    for least in STARTS:
        start = {}
        for axis in component.axes():
            allowed = sizes.allowed(component, axis)
            start[axis] = 2 if axis == "b" else next((v for v in allowed if v >= least), allowed[-1])
        found.append(start)
    return found


def _holds(component: Component, law: Law, at: dict[str, int]) -> bool:
    try:
        law.test(Case(component, at))
    except Exception:  # whatever a component raises
        return False
    return True


def _value(component: Component, axis: str) -> str:
    """The name of an axis' size in a component: the argument that receives it, or a side of its input."""
    given = next((argument for argument, value in component.row.given.items() if value == axis), None)
    if given is not None:
        return given
    first = component.shape.inputs[0]
    places = [] if isinstance(first, list) else [i for i, a in enumerate(first) if a.text == axis]
    return f"x.shape[{places[0]}]" if places else "size"


def _told(at: dict[str, int]) -> str:
    return ", ".join(f"{axis} = {size}" for axis, size in at.items())


def _range(tried: Sequence[int]) -> str:
    return f"{tried[0]} to {tried[-1]}"


def _yaml(rule: str) -> str:
    return f'"{rule}"' if rule[0] in "<>=" else rule
