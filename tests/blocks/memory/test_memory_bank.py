"""A memory bank against loops over all pairs; what it keeps, and what it says while it is empty."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from dlkd.blocks import FarthestFirst, MemoryBank
from dlkd.blocks.memory import nearest


def every_distance(query: list[float], bank: Tensor) -> list[tuple[float, int]]:
    """Squared distances of a vector to those of a bank, with their numbers, the nearest first."""
    return sorted((math.dist(query, row) ** 2, i) for i, row in enumerate(bank.tolist()))


@pytest.mark.parametrize("k", [1, 4])
@pytest.mark.parametrize(("queries", "bank"), [(3, 2), (1024, 2048)])
def test_nearest_equals_loops(k: int, queries: int, bank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "QUERIES", queries)
    monkeypatch.setattr(nearest, "BANK", bank)
    x, y = torch.randn(10, 5, dtype=torch.float64), torch.randn(17, 5, dtype=torch.float64)
    far, numbers = nearest.nearest(x, y, k)
    for i, query in enumerate(x.tolist()):
        expected = every_distance(query, y)[:k]
        assert far[i].tolist() == pytest.approx([value for value, _ in expected])
        assert numbers[i].tolist() == [number for _, number in expected]


def test_the_distance_of_a_vector_to_itself_is_zero() -> None:
    far, numbers = nearest.nearest(x := 100 + torch.randn(50, 64), x)
    assert not far.any()
    assert numbers.flatten().tolist() == list(range(50))


@pytest.mark.parametrize(
    ("arguments", "value"),
    [
        ({}, lambda far: far[0]),
        ({"neighbors": 3}, lambda far: sum(far[:3]) / 3),
        ({"neighbors": 3, "distance": "euclidean"}, lambda far: sum(map(math.sqrt, far[:3])) / 3),
        ({"neighbors": 99}, lambda far: sum(far) / len(far)),
    ],
)
def test_a_map_of_distances_equals_loops(arguments: dict[str, Any], value: Any) -> None:
    memory = MemoryBank(4, coreset=None, **arguments).double()
    memory.fit([torch.randn(2, 4, 3, 2, dtype=torch.float64), torch.randn(1, 4, 3, 2, dtype=torch.float64)])
    assert memory.bank.shape == (18, 4)
    maps = torch.randn(2, 4, 2, 5, dtype=torch.float64)
    found = memory(maps)
    assert found.shape == (2, 2, 5)
    for b, y, x in ((0, 0, 0), (0, 1, 3), (1, 0, 4)):
        far = [far for far, _ in every_distance(maps[b, :, y, x].tolist(), memory.bank)]
        assert found[b, y, x].item() == pytest.approx(value(far))


def test_the_bank_holds_what_the_coreset_chooses_in_its_order() -> None:
    maps = [torch.randn(2, 4, 3, 2), torch.randn(1, 4, 3, 2)]
    memory = MemoryBank(4, coreset=lambda: FarthestFirst(fraction=0.5))
    torch.manual_seed(0)
    memory.fit(iter(maps))
    torch.manual_seed(0)
    vectors = torch.cat([x.permute(0, 2, 3, 1).reshape(-1, 4) for x in maps])
    chosen = FarthestFirst(fraction=0.5)([vectors])
    assert len(chosen) == 9
    assert torch.equal(memory.bank, vectors[chosen])


def test_an_empty_bank_says_so_and_takes_the_size_of_what_is_loaded() -> None:
    memory, other = MemoryBank(4, coreset=None), MemoryBank(4)
    with pytest.raises(ValueError, match="memory_bank: the bank is empty"):
        other(torch.zeros(1, 4, 2, 2))
    memory.fit([torch.randn(1, 4, 3, 2)])
    other.load_state_dict(memory.state_dict())
    assert torch.equal(other.bank, memory.bank)


def test_no_neighbor_is_refused() -> None:
    with pytest.raises(ValueError, match="neighbors must be at least 1"):
        MemoryBank(4, neighbors=0)
