"""Each law of a model notices a detector that breaks it, and is kept by detectors of several kinds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dlkd.check import LAWS, BrokenContract, Findings, check_law, check_row
from dlkd.models import Detection, Detector
from dlkd.models.optimizers.optimizer import SGD, Adam
from dlkd.registry import Registry, load_registry, register

Load = Callable[..., Registry]


class Backbone(nn.Sequential):
    """Frozen, and in eval mode whatever the caller does."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4))
        self.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> Backbone:
        return super().train(False)


class Good(Detector):
    """Two stages with an optimiser each on noisy features that may be kept, and a centre that is fitted."""

    frozen = ("backbone",)
    paced = True
    centre: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.first, self.second = nn.Conv2d(4, 4, 1), nn.Conv2d(4, 4, 1)
        self.stage = 0
        self.register_buffer("centre", torch.empty(0))

    def made(self, features: Tensor) -> Tensor:
        made: Tensor = self.second(self.first(features))
        return made

    def forward(self, images: Tensor) -> Tensor:
        features = self.backbone(images)
        maps: Tensor = (self.made(features) - features).square().mean(dim=1)
        return maps + (features - self.centre[:, None, None]).square().mean(dim=1)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [SGD(lr=0.1)(first=self.first.parameters()), Adam(lr=0.01)(second=self.second.parameters())]

    def begin_step(self, step: int, steps: int, optimizers: Any) -> None:
        self.stage = int(step >= steps // 2)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        features = self.clean(images) if clean is None else clean
        hidden = self.first(features + torch.randn(features.shape, generator=generator))
        made = self.second(hidden.detach()) if self.stage else hidden
        return {"total": (made - features).square().mean()}

    @torch.no_grad()
    def clean(self, images: Tensor) -> Tensor:
        features: Tensor = self.backbone(images)
        return features

    def fit(self, batches: Any) -> None:
        self.centre = torch.stack([self.backbone(x).mean(dim=(0, 2, 3)) for x in batches]).mean(dim=0)


class KeepsAxis(Good):
    def score(self, maps: Tensor) -> Tensor:
        return maps.amax(dim=(1, 2), keepdim=True)


class Infinite(Good):
    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) / 0


class Forgets(Good):
    """What it fits is no buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.offset = 0.0

    def fit(self, batches: Any) -> None:
        super().fit(batches)
        self.offset = 1.0

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images) + self.offset


class NoTotal(Good):
    def losses(self, *arguments: Any) -> dict[str, Tensor]:
        return {"sum": super().losses(*arguments)["total"]}


class Unreduced(Good):
    def losses(self, *arguments: Any) -> dict[str, Tensor]:
        terms = super().losses(*arguments)
        return {"by image": terms["total"].repeat(2), **terms}


class Detached(Good):
    def losses(self, *arguments: Any) -> dict[str, Tensor]:
        return {"total": super().losses(*arguments)["total"].detach()}


class Unheld(Good):
    def optimizers(self) -> list[torch.optim.Optimizer]:
        return super().optimizers()[:1]


class OneType(Good):
    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        made = self.made(self.clean(images))
        return {"total": images.new_zeros(made.shape).scatter(1, torch.zeros_like(made, dtype=torch.long), made).mean()}


class Drops(Good):
    def made(self, features: Tensor) -> Tensor:
        return nn.functional.dropout(super().made(features), training=self.training)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        return {"total": self.made(self.clean(images) if clean is None else clean).mean()}


class SeedsAll(Good):
    """Repeatable, and yet not in a process of which others draw."""

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        torch.manual_seed(0)
        return super().losses(images + torch.rand(()), generator, clean)


class Restores(Good):
    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            images = images + torch.rand(())
        return super().losses(images, generator, clean)


class SeedsNumpy(Good):
    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        np.random.seed(0)
        return super().losses(images + float(np.random.rand()), generator, clean)


class SaysSo(SeedsAll):
    draws_globally = True


class ByBatch(Good):
    @torch.no_grad()
    def clean(self, images: Tensor) -> Tensor:
        features = super().clean(images)
        return features - features.mean()


class WithGraph(Good):
    def clean(self, images: Tensor) -> Tensor:
        return self.first(self.backbone(images))


class OfTrained(Good):
    @torch.no_grad()
    def clean(self, images: Tensor) -> Tensor:
        return self.first(self.backbone(images))


class Spoils(Good):
    """Takes what was kept for something else than what it makes itself."""

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        return super().losses(images, generator, None if clean is None else 2 * clean)


class MovingStatistics(Good):
    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Sequential(*Backbone())


class Undeclared(MovingStatistics):
    """As above, and does not say that the backbone is frozen."""

    frozen = ()


class Misnamed(Good):
    frozen = ("backbones",)


class Momentum(Good):
    """Steps leave something behind that is saved nowhere."""

    def __init__(self) -> None:
        super().__init__()
        self.mean_loss = 0.0

    def losses(self, *arguments: Any) -> dict[str, Tensor]:
        total = super().losses(*arguments)["total"]
        self.mean_loss += 0.5 * total.item()
        return {"total": total * (1 + self.mean_loss)}


class Replayed(Good):
    """Its constant is put on the device of the images once, and its noise is drawn there."""

    graphed = True
    paced = False

    def __init__(self) -> None:
        super().__init__()
        self.weights: Tensor | None = None

    def begin_step(self, step: int, steps: int, optimizers: Any) -> None:
        pass

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        if self.weights is None or self.weights.device != images.device:
            self.weights = torch.tensor([1.0, 2.0, 3.0]).to(images.device)
        features = self.backbone(images * self.weights[:, None, None])
        noise = torch.randn(features.shape, generator=generator, device=images.device)
        return {"total": (self.made(features + noise) - features).square().mean()}


class ReadsBack(Replayed):
    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        return super().losses(images / images.amax().item(), generator, clean)


class CopiesThere(Replayed):
    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        return super().losses(images * torch.ones(3, 1, 1).to(images.device), generator, clean)


class OnTwoDevices(Replayed):
    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        return super().losses(images * torch.ones(3, 1, 1), generator, clean)


class Fitted(Detector):
    """Nothing is trained by gradient, and scores are no function of the maps; or there are no maps."""

    colours: Tensor

    def __init__(self, *, maps: bool = True) -> None:
        super().__init__()
        self.maps = maps
        self.register_buffer("colours", torch.empty(0, 3))

    def fit(self, batches: Any) -> None:
        colours = torch.cat([x.movedim(1, -1).flatten(0, 2) for x in batches])
        self.colours = colours[torch.randperm(len(colours))[:40]]

    def forward(self, images: Tensor) -> Tensor:
        pixels = images.movedim(1, -1)[:, ::2, ::2]
        far = torch.cdist(pixels.flatten(1, 2), self.colours, compute_mode="donot_use_mm_for_euclid_dist")
        return far.amin(dim=2).unflatten(1, pixels.shape[1:3])

    def detect(self, images: Tensor) -> Detection:
        maps = self(images)
        return Detection(maps.flatten(1).mean(dim=1), maps if self.maps else None)


BREAKS = [
    ("detect", KeepsAxis, r"the scores of 2 images are \(2, 1, 1\), and not \(b,\); fix: drop or add axes"),
    ("detect", Infinite, "the scores are not finite; fix: look for a division by 0"),
    ("saved", Forgets, "a model that was saved and loaded gives different scores; fix: keep what is fitted in buffers"),
    ("losses", NoTotal, "`losses` gives sum and no 'total'"),
    ("losses", Unreduced, r"the loss 'by image' of shape \(2,\) is no finite scalar; fix: take its mean"),
    ("losses", Detached, "no gradient of 'total' reaches a parameter of `optimizers`; fix: look for a `detach`"),
    ("losses", Unheld, "no optimizer holds second.bias, second.weight, which 'total' reaches; fix: give it to one"),
    ("losses_autocast", OneType, "dtype"),
    ("generator", Drops, "the loss 'total' depends on random numbers from outside the generator .*; fix: pass"),
    ("generator", SeedsAll, "`losses` draws from the generator of PyTorch, which trials in one process share; fix:"),
    ("generator", Restores, "`losses` draws from the generator of PyTorch"),
    ("generator", SeedsNumpy, "`losses` draws from the generator of NumPy"),
    ("clean", ByBatch, "`clean` of an image alone is not bit-identical to `clean` of a batch; fix: pass"),
    ("clean", WithGraph, "`clean` gives tensors that take a gradient; fix: write `@torch.no_grad"),
    ("clean", OfTrained, "`clean` gives another result after a training step; fix: it may depend on frozen parts"),
    ("clean", Spoils, "the loss 'total' differs if `losses` receives the output of `clean`; fix: have it call"),
    ("frozen", MovingStatistics, "a training step changes backbone.1.running_mean of a frozen part; fix: `requires"),
    ("frozen", Undeclared, "a training step changes backbone.1.running_mean of a frozen part"),
    ("frozen", Misnamed, "`frozen` names 'backbones', which is no submodule; did you mean 'backbone'?"),
    ("resume", Momentum, "weight of an interrupted training differs .* fix: keep in buffers"),
    ("graphed", ReadsBack, r"`losses` copies .* or reads a number back \(.*_local_scalar_dense.*fix: make constants"),
    ("graphed", CopiesThere, r"`losses` copies .* \(aten._to_copy.default\); fix: make constants"),
    ("graphed", OnTwoDevices, r"`losses` copies .* \(\w+: Expected all tensors to be on the same device"),
]  # fmt: skip


@pytest.fixture
def load(components: None, tmp_path: Path) -> Load:
    """A registry with a class as `model/good`."""

    def load(model: type[Detector], row: str = 'shape: "b 3 h w -> b h w"') -> Registry:
        register("model", "good")(model)
        file = tmp_path / "good.yaml"
        file.write_text(f"components: {{model/good: {{{row}}}}}")
        return load_registry(file)

    return load


@pytest.mark.parametrize(("law", "model", "told"), BREAKS, ids=[f"{law}-{b.__name__}" for law, b, _ in BREAKS])
def test_a_law_notices_what_breaks_it(load: Load, law: str, model: type[Detector], told: str) -> None:
    with pytest.raises(BrokenContract, match=told):
        check_law(load(model), "model/good", law)


def test_every_law_of_models_is_broken_above() -> None:
    assert list(dict.fromkeys(law for law, *_ in BREAKS)) == [
        law.name for law in LAWS.values() if law.kinds == ("model",)
    ]


def test_a_trained_detector_keeps_every_law(load: Load) -> None:
    assert check_row(load(Good), "model/good", examples=2) == Findings(
        [],
        [
            "requires: does not apply, as it needs a rule in `requires:`",
            "contiguous: does not apply, as it needs maps (b, c, h, w) as input and output",
        ],
    )


@pytest.mark.parametrize("model", [SaysSo, Replayed])
def test_what_a_model_says_of_its_steps_holds(load: Load, model: type[Detector]) -> None:
    registry = load(model)
    for law in ("generator", "graphed"):
        check_law(registry, "model/good", law)


@pytest.mark.parametrize("maps", [True, False])
def test_a_fitted_detector_keeps_every_law_that_applies(load: Load, maps: bool) -> None:
    more = f"check_with: {{maps: {str(maps).lower()}}}, expected_failures: {{gradient: nothing is trained by it}}"
    registry = load(Fitted, f'shape: "b 3 h w -> b h/2 w/2", {more}')
    found = check_row(registry, "model/good", examples=2)
    assert found.problems == []
    assert "losses: does not apply, as it needs a Detector with `optimizers` of its own" in found.notes
