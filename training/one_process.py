"""What trainings in threads of one process share: its random generators, and its precision of float32.

A process that trains alone holds and passes both without waiting.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import Condition, RLock

GENERATORS = RLock()
"""Held by whoever seeds PyTorch's, NumPy's and Python's own generators and draws from them, or saves and restores them.
Taken before the gate where both are."""


class PrecisionGate:
    """Lets steps of trainings in, or sections in exact float32, and never both: the precision is the process's.

    Several steps may run at once, and several sections. A section that waits is let in before later steps.

    Args:
        exact: within this context products of float32 are exact; entered by the first section, left by the last.
    """

    def __init__(self, exact: Callable[[], AbstractContextManager[None]]) -> None:
        self._exact = exact
        self._changed = Condition()
        self._steps = self._sections = self._waiting = 0
        self._entered = ExitStack()

    @contextmanager
    def step(self) -> Iterator[None]:
        """A step of a training, in the precision that PyTorch is set to. It must not stand inside a section."""
        with self._changed:
            self._changed.wait_for(lambda: not self._sections and not self._waiting)
            self._steps += 1
        try:
            yield
        finally:
            with self._changed:
                self._steps -= 1
                self._changed.notify_all()

    @contextmanager
    def section(self) -> Iterator[None]:
        """A section in exact float32. It may stand inside another."""
        with self._changed:
            self._waiting += 1
            try:
                self._changed.wait_for(lambda: not self._steps)
                if not self._sections:
                    self._entered.enter_context(self._exact())
                self._sections += 1
            finally:
                self._waiting -= 1
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._sections -= 1
                if not self._sections:
                    self._entered.close()
                self._changed.notify_all()
