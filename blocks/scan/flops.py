"""FLOPs of a selective scan, for PyTorch's counter: the same for every backend.

PyTorch's counter adds up a formula per operator. Two backends are operators, one is many small ones without a formula,
one is none at all. So each scan first calls an operator that computes nothing and has the formula.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import torch

from dlkd.blocks.kernels.traced import why_not_traced
from dlkd.blocks.scan.inputs import ScanInputs

_library: Any = torch.library.Library("dlkd", "FRAGMENT")  # type: ignore[no-untyped-call]
_library.define("counted_scan(SymInt rows, SymInt steps, SymInt states, bool skip) -> ()")
_library.impl("counted_scan", lambda rows, steps, states, skip: None, "CompositeExplicitAutograd")


def announce(inputs: ScanInputs) -> None:
    """Tell PyTorch's counter, if one counts, of a scan of these prepared inputs."""
    if not torch.compiler.is_compiling() and why_not_traced() is None:  # a graph holds only what computes
        b, channels, length = inputs.dt.shape
        torch.ops.dlkd.counted_scan(b * channels, length, inputs.A.shape[1], inputs.D is not None)


def scan_flops(rows: int, steps: int, states: int, skip: bool, *, out_shape: object = None) -> int:
    """Multiplications and additions of a scan, as the definition in `selective_scan` has them.

    Per row, step and state 6: one for dt A and one for B (dt u) (discretisation), two for the recurrence, two for the
    sum C h (output). Per row and step one for dt u, and two for D u where there is a D. A row is a channel of a
    direction of a sample. Exponentials, softplus, the bias of dt and the gate are not counted, as PyTorch counts no
    activation and no bias.

    >>> scan_flops(1, 100, 16, True)
    9900
    """
    del out_shape
    return rows * steps * (6 * states + 1 + 2 * skip)


@cache
def register_formula() -> None:
    """Give the formula to PyTorch's counter; a counter that is made later counts scans.

    Not done on import, since the counter imports Triton, a tenth of the time of `import torch`.
    """
    from torch.utils.flop_counter import register_flop_formula

    register_flop_formula(torch.ops.dlkd.counted_scan)(scan_flops)
