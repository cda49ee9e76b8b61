"""Farthest first: a coreset of which no vector is far."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, TypeAlias

import torch
from torch import Tensor

from dlkd.blocks.memory.random_projection import Projection, random_projection, safe_width
from dlkd.registry import register

Start: TypeAlias = Literal["mean", "random"]
"""What is chosen first: the vector with the largest mean distance to a few random ones, which are not chosen by that;
or a random one."""

CANDIDATES = 1024
"""Vectors among which the next ones are looked for: few enough for a processor's cache."""
CHUNK = 4096
"""Vectors whose distances are computed at a time."""


@register("coreset", "farthest_first")
class FarthestFirst:
    """Greedy k-center (Gonzalez, 1985) as in PatchCore: each vector that is chosen is the farthest from those before.

    Defaults are those of amazon-science/patchcore-inspection; docs/systems.md says where anomalib differs.

    Args:
        fraction: of the vectors that is chosen, rounded down; at least one is.
        projection: random linear map before distances are taken, see `dlkd.blocks.memory.random_projection.Projection`.
        width: dimensions after it; None for those of `dlkd.blocks.memory.random_projection.safe_width`.
        start: see `Start`.
        anchors: random vectors of the start "mean". The mean distance to them stays an upper bound of a vector's
            distance to what is chosen, as in the authors' code.

    Raises:
        ValueError: `fraction` is not in (0, 1], or `width` or `anchors` is below 1.
    """

    def __init__(
        self,
        *,
        fraction: float = 0.1,
        projection: Projection = "uniform",
        width: int | None = 128,
        start: Start = "mean",
        anchors: int = 10,
    ) -> None:
        if not 0 < fraction <= 1:
            raise ValueError(f"farthest_first: fraction must be above 0 and at most 1, got {fraction}")
        for name, value in (("width", width), ("anchors", anchors)):
            if value is not None and value < 1:
                raise ValueError(f"farthest_first: {name} must be at least 1, got {value}")
        self.fraction = fraction
        self.projection: Projection = projection
        self.width = width
        self.start: Start = start
        self.anchors = anchors

    def __call__(self, parts: Sequence[Tensor]) -> Tensor:
        """Numbers (k,) of the chosen vectors in the order of choice; `parts` are vectors [(n_i, c), ...].

        Random numbers come from PyTorch's own generator.
        """
        n = sum(len(part) for part in parts)
        count = max(1, int(n * self.fraction))
        points = self._projected(parts, n)
        if self.start == "random":
            first = int(torch.randint(n, (1,)))
            bounds = (points - points[first]).square().sum(dim=1)
            bounds[first] = -torch.inf
            return torch.cat([torch.tensor([first]), farthest_first(points, bounds, count - 1)])
        anchors = points[torch.randperm(n)[: self.anchors].to(points.device)]
        means = torch.cat([torch.cdist(points[i : i + CHUNK], anchors).mean(dim=1) for i in range(0, n, CHUNK)])
        return farthest_first(points, means.square(), count)

    def _projected(self, parts: Sequence[Tensor], n: int) -> Tensor:
        channels = parts[0].shape[1]
        width = safe_width(n) if self.width is None else self.width
        matrix = None if width == channels else random_projection(channels, width, self.projection)
        if matrix is None:
            return torch.cat(list(parts))
        matrix = matrix.to(parts[0])
        return torch.cat([part @ matrix.T for part in parts])


def farthest_first(points: Tensor, bounds: Tensor, count: int) -> Tensor:
    """Numbers (count,) of the vectors that are chosen one by one, each with the largest squared distance.

    The distance of a vector is the smaller one of its bound and of the distances to the vectors chosen before. The
    result is that of the plain loop, which goes over all vectors at each step. Here most steps go over a few candidates
    only, those that were farthest: bounds only fall, so that the farthest of them is the farthest of all as long as it
    is above the bounds of the others. After that all bounds are renewed by one product of matrices. No vector is
    chosen twice.

    Args:
        points: (n, m).
        bounds: (n,), squared distances; -inf for vectors that are chosen already.
        count: at most the vectors that are left.
    """
    points = points - points.mean(dim=0)  # squared norms near the distances, for the digits of the differences
    norms, bounds = points.square().sum(dim=1), bounds.clone()
    chosen = torch.empty(0, dtype=torch.long, device=points.device)
    while len(chosen) < count:
        new = _next(points, norms, bounds, count - len(chosen))
        for start in range(0, len(points), CHUNK):
            rows = slice(start, start + CHUNK)
            far = torch.addmm(norms[new], points[rows], points[new].T, alpha=-2).amin(dim=1) + norms[rows]
            bounds[rows] = torch.minimum(bounds[rows], far)
        bounds[new] = -torch.inf
        chosen = torch.cat([chosen, new])
    return chosen.cpu()


def _next(points: Tensor, norms: Tensor, bounds: Tensor, most: int) -> Tensor:
    """The next vectors, at least one and at most `most`, while they are sure to be the farthest of all."""
    values, candidates = bounds.topk(min(CANDIDATES + 1, len(bounds)))
    rest = values[-1].item() if len(values) > CANDIDATES else -torch.inf
    if values[0] <= rest:  # more equal ones than candidates
        return bounds.argmax()[None]
    candidates = candidates[:CANDIDATES].sort().values  # of equal ones the first is chosen
    points, norms, bounds = points[candidates], norms[candidates], bounds[candidates]
    found: list[int] = []
    while len(found) < most:
        i = int(bounds.argmax())
        if found and bounds[i] <= rest:
            break
        found.append(i)
        far = torch.mv(points, points[i]).mul_(-2).add_(norms).add_(norms[i])
        torch.minimum(bounds, far, out=bounds)
        bounds[i] = -torch.inf
    return candidates[found]
