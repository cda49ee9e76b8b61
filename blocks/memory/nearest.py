"""The nearest vectors of a bank, searched in blocks that fit a processor's cache."""

from __future__ import annotations

import torch
from torch import Tensor

QUERIES, BANK = 1024, 2048
"""Vectors of either side whose distances are computed at a time: 8 MiB, however large both are."""


def nearest(queries: Tensor, bank: Tensor, k: int = 1) -> tuple[Tensor, Tensor]:
    """Squared distances and numbers of the `k` nearest vectors of a bank, the nearest first.

    They are searched by products of matrices, whose rounding is as large as the distance of a vector to itself; the
    distances to those that were found are then computed from differences. Float32 or wider, under autocast too.

    Args:
        queries: (n, c).
        bank: (m, c), m >= k.

    Returns:
        Distances (n, k) and numbers (n, k).

    >>> nearest(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 0.0], [1.0, 2.0], [1.0, 0.5]]), k=2)
    (tensor([[0.2500, 1.0000]]), tensor([[2, 0]]))
    """
    wide = torch.promote_types(torch.promote_types(queries.dtype, bank.dtype), torch.float32)
    queries, bank = queries.to(wide), bank.to(wide)
    with torch.autocast(queries.device.type, enabled=False):
        norms = bank.square().sum(dim=1)
        if torch.compiler.is_exporting():  # a program for batches of any size cannot count their blocks
            return _search(queries, bank, norms, k)
        found = [_search(queries[i : i + QUERIES], bank, norms, k) for i in range(0, len(queries), QUERIES)]
    return torch.cat([far for far, _ in found]), torch.cat([numbers for _, numbers in found])


def _search(queries: Tensor, bank: Tensor, norms: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`nearest` of a few queries, with the bank's squared norms (m,)."""
    best: tuple[Tensor, Tensor] | None = None
    for start in range(0, len(bank), BANK):
        part, own = bank[start : start + BANK], norms[start : start + BANK]
        # Without the query's norm, which is the same for the whole bank.
        far = torch.addmm(own, queries, part.T, alpha=-2)
        values, numbers = _smallest(far, min(k, len(part)))
        numbers = numbers + start
        if best is not None:
            values, numbers = torch.cat([best[0], values], dim=1), torch.cat([best[1], numbers], dim=1)
            values, order = _smallest(values, min(k, values.shape[1]))
            numbers = numbers.gather(1, order)
        best = values, numbers
    assert best is not None
    numbers = best[1]
    return (queries.unsqueeze(1) - bank[numbers]).square().sum(dim=2), numbers


def _smallest(values: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k smallest of each row, and where they are; one alone is found faster."""
    if k == 1:
        return tuple(values.min(dim=1, keepdim=True))  # type: ignore[return-value]
    return tuple(values.topk(k, dim=1, largest=False))  # type: ignore[return-value]
