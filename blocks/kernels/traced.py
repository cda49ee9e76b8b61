"""What PyTorch's tracers (export, compile) make of operators of our own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

Function = TypeVar("Function", bound=Callable[..., Any])


def assumed_constant(function: Function) -> Function:
    """Mark a function whose result a compiled graph may hold as it is.

    `torch.compiler.assume_constant_result` sets the same mark, but it imports torch._dynamo, which takes longer than
    all of PyTorch and is needed only once something is compiled.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


def why_not_traced() -> str | None:
    """Why an operator of our own cannot be in what is being traced, or None where it can."""
    if torch.compiler.is_exporting() or torch.jit.is_tracing():  # type: ignore[attr-defined,no-untyped-call]
        return "an exported model holds PyTorch's own operators only"
    return None
