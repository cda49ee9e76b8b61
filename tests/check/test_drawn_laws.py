"""Each law of what is drawn for images notices what breaks it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from dlkd.check import LAWS, BrokenContract, Findings, check_law, check_row
from dlkd.check.drawn_laws import DRAWN_KINDS
from dlkd.registry import Registry, load_registry, register

Load = Callable[[type[nn.Module]], Registry]


class Good(nn.Module):
    """Some pixels are white."""

    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        masks = (torch.rand(images[:, :1].shape, generator=generator) < 0.5).to(images)
        return torch.where(masks > 0, 1.0, images), masks


class Soft(Good):
    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        spoiled, masks = super().forward(images, generator)
        return spoiled, 0.5 * masks


class Bright(Good):
    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        spoiled, masks = super().forward(images, generator)
        return 2 * spoiled, masks


class Elsewhere(Good):
    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(images)


class Neighbours(Good):
    def forward(self, images: Tensor, generator: torch.Generator | None = None) -> tuple[Tensor, Tensor]:
        spoiled, masks = super().forward(images, generator)
        return torch.where(masks > 0, images.mean(), spoiled), masks


BREAKS = [
    ("in_range", Soft, "a mask has other values than 0 and 1"),
    ("in_range", Bright, r"images outside of \[0, 1\] come out"),
    ("seeded", Elsewhere, "one state of the generator gives two outputs; fix: pass `generator`"),
    ("each_image", Neighbours, "an image's output depends on its batch"),
]


@pytest.fixture
def load(components: None, tmp_path: Path) -> Load:
    """A registry with a class as `pseudo_anomaly/good`."""

    def load(made: type[nn.Module]) -> Registry:
        register("pseudo_anomaly", "good")(made)
        file = tmp_path / "good.yaml"
        file.write_text('components: {pseudo_anomaly/good: {shape: "b 3 h w -> [b 3 h w, b 1 h w]"}}')
        return load_registry(file)

    return load


@pytest.mark.parametrize(("law", "made", "told"), BREAKS, ids=[f"{law}-{b.__name__}" for law, b, _ in BREAKS])
def test_a_law_notices_what_breaks_it(load: Load, law: str, made: type[nn.Module], told: str) -> None:
    with pytest.raises(BrokenContract, match=told):
        check_law(load(made), "pseudo_anomaly/good", law, examples=3)


def test_every_law_of_what_is_drawn_is_broken_above() -> None:
    assert list(dict.fromkeys(law for law, *_ in BREAKS)) == [n for n, x in LAWS.items() if x.kinds == DRAWN_KINDS]


def test_what_is_good_keeps_every_law_and_needs_no_fixed_output(load: Load) -> None:
    found = check_row(load(Good), "pseudo_anomaly/good", examples=2)
    assert isinstance(found, Findings)
    assert found.problems == []
    assert "repeatable: does not apply, as it needs an output without random numbers" in found.notes
