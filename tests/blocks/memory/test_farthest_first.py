"""Farthest first against the plain loop over all vectors; where it starts; the random maps before it."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from dlkd.blocks import FarthestFirst
from dlkd.blocks.memory import farthest_first
from dlkd.blocks.memory.random_projection import random_projection, safe_width


def loop(points: Tensor, bounds: Tensor, count: int) -> list[int]:
    """Choose the farthest, update the distances of all, and so on."""
    bounds, chosen = bounds.clone(), []
    for _ in range(count):
        chosen.append(int(bounds.argmax()))
        bounds = torch.minimum(bounds, (points - points[chosen[-1]]).square().sum(dim=1))
        bounds[chosen[-1]] = -torch.inf
    return chosen


@pytest.mark.parametrize(("candidates", "chunk"), [(7, 11), (50, 64), (1000, 1000)])
def test_equals_the_plain_loop(candidates: int, chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(farthest_first, "CANDIDATES", candidates)
    monkeypatch.setattr(farthest_first, "CHUNK", chunk)
    points = torch.randn(400, 3, dtype=torch.float64).cumsum(dim=0)
    for bounds in (torch.rand(400, dtype=torch.float64) * 100, torch.full((400,), math.inf, dtype=torch.float64)):
        found = farthest_first.farthest_first(points, bounds, 390)
        assert found.tolist() == loop(points, bounds, 390)


def test_equal_vectors_are_chosen_once_each() -> None:
    points = torch.tensor([[0.0], [1.0], [0.0], [1.0], [5.0]])
    found = farthest_first.farthest_first(points, points.square().sum(dim=1), 5).tolist()
    assert (found[0], found[1]) == (4, 1)
    assert sorted(found) == [0, 1, 2, 3, 4]


def test_the_start_is_the_farthest_from_random_anchors_whose_distances_stay_bounds() -> None:
    parts = [torch.randn(30, 6, dtype=torch.float64), torch.randn(20, 6, dtype=torch.float64)]
    coreset = FarthestFirst(fraction=0.5, anchors=4, projection="none")
    torch.manual_seed(3)
    found = coreset(parts)
    torch.manual_seed(3)
    points = torch.cat(parts)
    anchors = points[torch.randperm(50)[:4]]
    means = [sum(math.dist(p, a) for a in anchors.tolist()) / 4 for p in points.tolist()]
    assert found.tolist() == loop(points, torch.tensor(means, dtype=torch.float64).square(), 25)


def test_a_random_start_is_kept_and_distances_are_those_of_the_projected() -> None:
    points = torch.randn(40, 20, dtype=torch.float64)
    coreset = FarthestFirst(fraction=0.25, width=5, start="random")
    torch.manual_seed(0)
    found = coreset([points]).tolist()
    torch.manual_seed(0)
    matrix = random_projection(20, 5, "uniform")
    assert matrix is not None
    first = int(torch.randint(40, (1,)))
    few = points @ matrix.double().T
    far = (few - few[first]).square().sum(dim=1)
    far[first] = -math.inf
    assert found == [first, *loop(few, far, 9)]


def test_projections() -> None:
    torch.manual_seed(0)
    uniform, sparse = random_projection(400, 300, "uniform"), random_projection(400, 300, "sparse")
    assert uniform is not None
    assert sparse is not None
    assert uniform.shape == sparse.shape == (300, 400)
    assert 0.049 < uniform.abs().max() <= 0.05  # 1 / sqrt(400)
    assert uniform.std().item() == pytest.approx(0.05 / math.sqrt(3), rel=0.01)
    value = math.sqrt(20 / 300)
    assert sparse.abs().unique().tolist() == pytest.approx([0.0, value])
    assert (sparse > 0).float().mean().item() == pytest.approx(1 / 40, rel=0.05)
    assert (sparse < 0).float().mean().item() == pytest.approx(1 / 40, rel=0.05)
    assert random_projection(400, 300, "none") is None
    assert safe_width(204_800) == 301


def test_the_fraction_is_rounded_down_and_at_least_one() -> None:
    points = torch.randn(19, 4)
    assert [len(FarthestFirst(fraction=f)([points])) for f in (0.01, 0.1, 0.2, 1.0)] == [1, 1, 3, 19]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [({"fraction": 0.0}, "fraction must"), ({"width": 0}, "width must"), ({"anchors": 0}, "anchors must")],
)
def test_what_makes_no_sense_is_refused(arguments: dict[str, float], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        FarthestFirst(**arguments)  # type: ignore[arg-type]
