"""Tests laws on a component: whether each holds, and all problems of a row."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import HealthCheck, Phase, given, settings

from dlkd.check import sizes
from dlkd.check.causes import Failure, cause_of, explain, grouped
from dlkd.check.component import Case, Component
from dlkd.check.law import BrokenContract, Law
from dlkd.check.laws import LAWS
from dlkd.registry import Registry

EXAMPLES = 10
"""Sets of sizes at which a law is tried."""


@dataclass(frozen=True)
class Findings:
    """What the laws say of a row.

    Attributes:
        problems: one text per cause.
        notes: laws that fail as the row expects, and laws that do not apply.
    """

    problems: list[str]
    notes: list[str]


def try_law(component: Component, law: Law, *, examples: int = EXAMPLES, smallest: bool = True) -> Failure | None:
    """How a component breaks a law, or None if it keeps the law.

    Args:
        component: of a row with a shape.
        law: one of `LAWS` that applies to it.
        examples: how many sets of sizes are drawn; always the same ones.
        smallest: look for the smallest sizes at which the law is broken.
    """
    last = sizes.typical(component)

    def test(names: dict[str, int]) -> None:
        last.clear()
        last.update(names)
        law.test(Case(component, dict(names)))

    try:
        if law.drawn:
            options = settings(
                max_examples=examples,
                deadline=None,
                derandomize=True,
                database=None,
                print_blob=False,
                report_multiple_bugs=False,
                suppress_health_check=list(HealthCheck),
                phases=[Phase.generate, Phase.shrink] if smallest else [Phase.generate],
            )
            options(given(sizes.drawn(component))(test))()
        else:
            test(dict(last))
    except Exception as error:
        return Failure(law, dict(last), error, cause_of(error))
    return None


def check_law(registry: Registry, name: str, law: str, *, examples: int = EXAMPLES) -> None:
    """Test one law of one component at drawn sizes; a law that does not apply to it is kept.

    Args:
        registry: holds the component's row.
        name: "block/gfrb".
        law: a key of `LAWS`.
        examples: how many sets of sizes are drawn; always the same ones.

    Raises:
        BrokenContract: the law is broken; names the smallest such sizes found, and the fix.
    """
    component = Component.of(registry, name)
    if not LAWS[law].applies(component):
        return
    failure = try_law(component, LAWS[law], examples=examples)
    if failure is not None:
        raise BrokenContract(explain(component, [failure])) from failure.error


def check_row(registry: Registry, name: str, *, examples: int = EXAMPLES) -> Findings:
    """Every law of one component; laws that fail for one cause are one problem.

    Args:
        registry: holds the component's row.
        name: "block/gfrb".
        examples: how many sets of sizes are drawn for a law.

    Raises:
        ValueError: there is no such row, or it has no shape.
    """
    component = Component.of(registry, name)
    problems: list[str] = []
    notes: list[str] = []
    failures: list[Failure] = []
    for law in LAWS.values():
        expected = component.row.expected_failures.get(law.name)
        if not law.concerns(component) and not expected:
            continue
        if not law.applies(component):
            told = f"{law.name}: does not apply, as it needs {law.needs}"
            notes += [] if expected else [told]
            problems += [f"{told}: remove it from `expected_failures:`"] if expected else []
            continue
        failure = try_law(component, law, examples=examples, smallest=expected is None)
        if failure is None and expected is not None:
            told = f"{law.name}: holds, though the row expects it to fail ({expected})"
            problems.append(f"{told}: remove it from `expected_failures:`")
        elif failure is not None and expected is not None:
            notes.append(f"{law.name}: fails as the row expects: {expected}")
        elif failure is not None:
            failures.append(failure)
    return Findings([*problems, *(explain(component, group) for group in grouped(failures))], notes)
