"""A law: a test of one component at one set of sizes, and the components to which it applies."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dlkd.check.component import Case, Component


class BrokenContract(AssertionError):  # noqa: N818  # reads as the verdict that it is
    """A law that a component breaks: the observed and expected behaviour, the sizes, and the fix."""


@dataclass(frozen=True)
class Law:
    """One law of the contract.

    Attributes:
        name: as `expected_failures:` of a row says it.
        test: raises `BrokenContract`, or anything else, where the law is broken; its docstring is the law in words.
        applies: whether the law applies to a component.
        needs: what a component has to which the law applies, in words.
        kinds: kinds of the components to which the law applies; empty for all.
        drawn: tested at several drawn sets of sizes; otherwise at one, because the law is slow or draws sizes itself.
    """

    name: str
    test: Callable[[Case], None]
    applies: Callable[[Component], bool] = lambda component: True
    needs: str = ""
    drawn: bool = True
    kinds: tuple[str, ...] = ()

    def concerns(self, component: Component) -> bool:
        """Whether the law applies to components of this kind."""
        return not self.kinds or component.kind in self.kinds

    @property
    def says(self) -> str:
        """The law in words."""
        return (self.test.__doc__ or "").strip().splitlines()[0].rstrip(".")


def broken(message: str) -> None:
    """Raise `BrokenContract`; a law calls this if it sees something else than it expects."""
    raise BrokenContract(message)
