"""The laws as pytest tests: one decorator in any test suite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from dlkd.check.causes import explain, seen
from dlkd.check.component import Component
from dlkd.check.law import BrokenContract, Law
from dlkd.check.laws import LAWS
from dlkd.check.verdicts import try_law
from dlkd.registry import Registry, default_registry, load_registry
from dlkd.registry.problems import nearest

if TYPE_CHECKING:
    import pytest


@dataclass(frozen=True)
class Contract:
    """One law of one component, to be called by a test."""

    component: Component
    law: Law
    examples: int
    expected: str | None
    told: dict[tuple[str, str], str] = field(repr=False)
    """Causes that another law of a component has told at length, with the name of that law."""

    def __call__(self) -> None:
        """Test the law. Raises BrokenContract, with the full text for the first law that fails for a cause."""
        if not self.law.applies(self.component):
            raise BrokenContract(f"{self.law.name} does not apply to {self.component.name}: expect no failure of it")
        failure = try_law(self.component, self.law, examples=self.examples, smallest=self.expected is None)
        if failure is None:
            return
        told = self.told.setdefault((self.component.name, failure.cause), self.law.name)
        if self.expected is not None:
            raise BrokenContract(seen(failure.error)) from failure.error
        if told != self.law.name:
            raise BrokenContract(f"{self.law.name}: the cause that '{told}' tells: {seen(failure.error)}")
        raise BrokenContract(explain(self.component, [failure])) from failure.error


def parametrize_with_contracts(
    *files: str | PathLike[str],
    names: Sequence[str] | None = None,
    laws: Sequence[str] | None = None,
    examples: int = 5,
    expected_failures: Mapping[str, str] | None = None,
) -> pytest.MarkDecorator:
    """Decorator of a pytest test that runs every law on every row of registry files.

    The test takes an argument `contract` and calls it. Its ids are "block/my_block-shape". A law that a row, or this
    call, expects to fail is a strict `xfail`: the test fails once the law holds. A law that does not apply to a
    component is skipped, with the reason.

    >>> @parametrize_with_contracts("my_block.yaml")  # doctest: +SKIP
    ... def test_contract(contract):
    ...     contract()
    >>> mark = parametrize_with_contracts(names=["block/gfrb"], laws=["shape", "gradient"])
    >>> [parameter.id for parameter in mark.args[1]]
    ['block/gfrb-shape', 'block/gfrb-gradient']

    Args:
        files: registry files; their components are registered by an entry point, or imported before this call.
            Without any, the rows of dlkd itself.
        names: rows to test, as "block/my_block"; default all of the files that have a shape.
        laws: laws to test; default all.
        examples: how many sets of sizes are drawn for a law.
        expected_failures: laws that these rows cannot keep, with the reasons, beside those that the rows declare.

    Raises:
        ConfigError: a file is wrong.
        ValueError: a name or law is unknown, or there is no row with a shape.
    """
    import pytest

    registry = load_registry(*map(Path, files))
    expected = dict(expected_failures or {})
    for law in [*(laws or ()), *expected]:
        if law not in LAWS:
            raise ValueError(f"unknown law '{law}'{nearest(law, LAWS)}")
    told: dict[tuple[str, str], str] = {}
    parameters = []
    for name in names or _rows(registry, files):
        component = Component.of(registry, name)
        for law in laws or LAWS:
            reason = {**component.row.expected_failures, **expected}.get(law)
            if not LAWS[law].concerns(component) and reason is None:
                continue
            marks = []
            if not LAWS[law].applies(component) and reason is None:
                marks = [pytest.mark.skip(reason=f"does not apply: it needs {LAWS[law].needs}")]
            elif LAWS[law].applies(component) and reason is not None:
                marks = [pytest.mark.xfail(strict=True, raises=BrokenContract, reason=reason)]
            contract = Contract(component, LAWS[law], examples, reason, told)
            parameters.append(pytest.param(contract, id=f"{name}-{law}", marks=marks))
    return pytest.mark.parametrize("contract", parameters)


def _rows(registry: Registry, files: Sequence[str | PathLike[str]]) -> list[str]:
    """Rows with a shape: those that the files add, or dlkd's own."""
    others = set(default_registry().rows) if files else set()
    found = [name for name, row in registry.rows.items() if name not in others and row.shape is not None]
    if not found:
        raise ValueError(f"no row of {', '.join(map(str, files))} has a `shape:`, so there is no contract to test")
    return found
