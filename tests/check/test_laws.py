"""Each law notices a block that breaks it, and is kept by one that does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dlkd import contract
from dlkd.check import LAWS, BrokenContract, Component, check_law
from dlkd.registry import Registry, load_registry, register

Load = Callable[..., Registry]


class Good(nn.Module):
    """Keeps every law; the blocks below break one each."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        contract.require("good", "c", channels, "multiple of 2")
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Halves(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)[:, :, ::2]


class Unused(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.unused = nn.Parameter(torch.ones(1))


class Frozen(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.requires_grad_(False)


class Detached(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).detach()


class Draws(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + torch.rand(1)


class BatchMean(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) - x.mean(dim=0)


class Forgets(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.scale = torch.rand(1).item()

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.scale


class Single(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).float()


class OneType(Good):
    def forward(self, x: Tensor) -> Tensor:
        return x.scatter(1, torch.zeros_like(x, dtype=torch.long), self.conv(x))


class Roots(Good):
    def forward(self, x: Tensor) -> Tensor:
        return (self.conv(x) * 0).sqrt() if self.training else self.conv(x)


class TakesAll(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class Views(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x.view(-1).view(x.shape))


class Turns(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)


class Lambda(Good):
    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = lambda x: x


class Compiles(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + float(torch.compiler.is_dynamo_compiling())


class Decides(Good):
    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if x.sum() > 0 else -self.conv(x)


BREAKS = [
    ("shape", Halves, "the contract says b c h w -> b c h w"),
    ("gradient", Unused, "no gradient reaches unused"),
    ("gradient", Frozen, "no parameter is trainable"),
    ("gradient", Detached, "no gradient reaches conv.bias, conv.weight"),
    ("repeatable", Draws, "the same input gives two outputs"),
    ("batch_independence", BatchMean, "an image's output depends on its batch"),
    ("state_dict", Forgets, "the state dict lacks a part"),
    ("float64", Single, "float64 comes out as torch.float32"),
    ("autocast", OneType, "dtype"),
    ("training", Roots, "a gradient is not finite in train mode"),
    ("requires", TakesAll, "c = 1 breaks 'multiple of 2' and is accepted anyway"),
    ("channels_last", Views, "view"),
    ("contiguous", Turns, "contiguous inputs give a map that is not"),
    ("pickle", Lambda, "pickle"),
    ("compile", Compiles, "torch.compile gives different values"),
    ("export", Decides, "Could not guard on data-dependent expression"),
]


@pytest.fixture
def load(components: None, tmp_path: Path) -> Load:
    """A registry with a class as `block/good`."""

    def load(block: type[nn.Module]) -> Registry:
        register("block", "good")(block)
        file = tmp_path / "good.yaml"
        row = '{shape: "b c h w -> b c h w", requires: {c: multiple of 2}, given: {channels: c}}'
        file.write_text(f"components:\n  block/good: {row}")
        return load_registry(file)

    return load


@pytest.mark.parametrize(("law", "block", "told"), BREAKS, ids=[f"{law}-{b.__name__}" for law, b, _ in BREAKS])
def test_a_law_notices_what_breaks_it(load: Load, law: str, block: type[nn.Module], told: str) -> None:
    with pytest.raises(BrokenContract, match=told):
        check_law(load(block), "block/good", law, examples=5)


@pytest.mark.parametrize("law", [law.name for law in LAWS.values() if not law.kinds])
def test_a_good_block_keeps_every_law(load: Load, law: str) -> None:
    check_law(load(Good), "block/good", law, examples=2)


def test_every_law_is_broken_above_and_known_to_rows() -> None:
    assert list(dict.fromkeys(law for law, *_ in BREAKS)) == [law.name for law in LAWS.values() if not law.kinds]
    assert list(LAWS) == list(contract.LAWS)


def test_a_row_without_a_shape_or_without_a_name_has_no_contract() -> None:
    with pytest.raises(ValueError, match="dataset/btad: its row has no `shape:`"):
        Component.of(load_registry(), "dataset/btad")
    with pytest.raises(ValueError, match="no row is called 'block/gfbr'; did you mean 'block/gfrb'"):
        Component.of(load_registry(), "block/gfbr")
