"""Models of other kinds than DLKD: several optimisers and stages, no gradient, no maps."""

import functools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import PropertyMock, patch

import lightning as L
import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dlkd.models import Detection, Detector
from dlkd.models.optimizers.optimizer import SGD, Adam
from dlkd.models.optimizers.schedule import Drops
from dlkd.models.optimizers.together import Together
from dlkd.registry import ConfigError, Registry, default_registry, load_registry, register, rows
from dlkd.training import PRESETS, TrainConfig, TrialSpec, load_model, run_trial
from dlkd.training.data_module import CategoryData
from dlkd.training.module import DetectorTask
from dlkd.training.seeds import derive_seed
from dlkd.training.trials.trial_spec import load_category

RATE = SGD(lr=0.1, weight_decay=0.01, schedule=functools.partial(Drops, at=[0.7], by=0.1))


class Staged(Detector):
    """First one part, then the other, each with an optimiser of its own, on images that it spoils itself."""

    paced = True

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
        self.stage = 0

    def forward(self, images: Tensor) -> Tensor:
        made: Tensor = self.second(self.first(images))
        return (made - images).square().mean(dim=1)

    def optimizers(self) -> list[torch.optim.Optimizer]:
        return [RATE(first=self.first.parameters()), Adam(lr=0.01)(second=self.second.parameters())]

    def begin_step(self, step: int, steps: int, optimizers: Any) -> None:
        RATE.begin_step(step, steps, optimizers[:1])
        self.stage = int(step >= steps // 2)

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        spoilt = images + torch.randn(images.shape, generator=generator)
        hidden = self.first(spoilt)
        made = self.second(hidden.detach()) if self.stage else hidden[:, :3]
        return {"total": (made - images).square().mean(), "stage": torch.tensor(float(self.stage))}


class Bank(Detector):
    """Distance to the nearest normal colour: scores of its own, and maps at half the size; or no maps."""

    bank: Tensor

    def __init__(self, *, maps: bool = True) -> None:
        super().__init__()
        self.maps = maps
        self.memory = nn.Module()
        self.memory.register_buffer("colours", torch.empty(0, 3))

    def fit(self, batches: Any) -> None:
        assert not torch.is_grad_enabled()
        assert not self.training
        assert len(list(batches)) in (1, 2)  # of half the images, or of all; and once more
        colours = torch.cat([x[:, :, ::7, ::7].movedim(1, -1).flatten(0, 2) for x in batches])
        self.memory.colours = colours[torch.randperm(len(colours))[:40]]

    def detect(self, images: Tensor) -> Detection:
        small = images[:, :, ::2, ::2].movedim(1, -1)
        maps = torch.cdist(small.flatten(1, 2), self.memory.colours).amin(dim=2).unflatten(1, small.shape[1:3])
        return Detection(maps.flatten(1).mean(dim=1), maps if self.maps else None)


@pytest.fixture
def registry(components: None, tmp_path: Path) -> Registry:
    register("model", "staged")(Staged)
    register("model", "bank")(Bank)
    (tmp_path / "rows.yaml").write_text("variants: {staged: {model: staged}, bank: {model: bank}}")
    return load_registry(tmp_path / "rows.yaml")


@pytest.fixture
def spec_of(make_spec: Callable[..., TrialSpec], registry: Registry) -> Callable[..., TrialSpec]:
    def make(variant: str, overrides: dict[str, Any] | None = None, **train: Any) -> TrialSpec:
        own = {"variant": variant, "model": registry.resolve(variant, overrides)}
        return make_spec(**train).model_copy(update=own)

    return make


def weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "weights.safetensors")


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


@pytest.mark.parametrize("cut", [0.25, 0.75])
def test_several_optimisers_and_stages_resume_to_the_same_bits(
    spec_of: Callable[..., TrialSpec], registry: Registry, tmp_path: Path, cut: float
) -> None:
    spec = spec_of("staged", epochs=4)
    whole = run_trial(spec, tmp_path / "whole", registry)

    def pull_plug(fraction: float) -> None:
        if fraction >= cut:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        run_trial(spec, tmp_path / "cut", registry, on_epoch=pull_plug)
    resumed = run_trial(spec, tmp_path / "cut", registry, resume=True)
    assert same(weights(tmp_path / "cut"), weights(tmp_path / "whole"))
    assert resumed.curve == whole.curve
    # As many steps as batches, not as optimisers.
    assert [(epoch["step"], epoch["stage"]) for epoch in whole.curve] == [(2, 0), (4, 0), (6, 1), (8, 1)]


def test_normal_images_are_scored_by_a_memory_without_them(
    spec_of: Callable[..., TrialSpec], registry: Registry, tmp_path: Path
) -> None:
    spec = spec_of("bank")
    result = run_trial(spec, tmp_path / "t", registry)
    data = CategoryData(load_category(spec, registry), spec.train, Bank(), spec.trial_seed)
    images = [data.train_set[i]["image"] for i in range(len(data.train_set))]
    scores: list[float] = []
    for half in (0, 1):
        model = Bank().eval()
        own, others = torch.stack(images[half::2]), data.train_batches(torch.device("cpu"), range(1 - half, 6, 2))
        assert torch.equal(torch.cat(list(others)), torch.stack(images[1 - half :: 2]))
        L.seed_everything(derive_seed(spec.trial_seed, "fit"), verbose=False)  # a DataLoader draws a number too
        with torch.no_grad():
            model.fit(others)
            scores += [x for part in own.split(spec.train.batch_size) for x in model.detect(part).scores.tolist()]
    every = np.array(scores)
    assert len(every) == len(images) == 6
    assert np.isclose(result.normal.threshold, every.mean() + 3 * every.std(), rtol=1e-4)


def test_a_term_named_loss_does_not_take_the_place_of_the_total() -> None:
    model = Staged()
    task = DetectorTask(model, TrainConfig(), 0, None)
    task.made = tuple(model.optimizers())
    terms = {"total": torch.ones((), requires_grad=True), "loss": torch.zeros(())}
    step = patch.object(DetectorTask, "global_step", new_callable=PropertyMock, return_value=0)
    with patch.object(model, "losses", return_value=terms), patch.object(task, "log"), step:
        found = task.training_step({"image": torch.rand(2, 3, 8, 8)}, 0)
    assert found["loss"] is terms["total"]


def test_a_paced_training_that_is_made_longer_begins_anew(
    spec_of: Callable[..., TrialSpec], registry: Registry, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run_trial(spec_of("staged", epochs=2), tmp_path / "t", registry, keep_state=True)
    run_trial(spec_of("staged", epochs=4), tmp_path / "t", registry, resume=True)
    assert "starts from the beginning" in caplog.text
    run_trial(spec_of("staged", epochs=4), tmp_path / "whole", registry)
    assert same(weights(tmp_path / "t"), weights(tmp_path / "whole"))


def test_each_stage_trains_its_own_part_at_the_rates_of_the_schedule() -> None:
    torch.manual_seed(0)
    model = Staged()
    first, second = model.optimizers()
    for step, moved in ((0, "first"), (8, "second")):
        before = {k: v.clone() for k, v in model.state_dict().items()}
        model.begin_step(step, 10, (first, second))
        together = Together((first, second))
        together.zero_grad()
        model.losses(torch.rand(2, 3, 8, 8), torch.Generator().manual_seed(1))["total"].backward()
        together.step()
        changed = {k.split(".")[0] for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
        assert changed == {moved}
    assert math.isclose(first.param_groups[0]["lr"], 0.01)
    assert second.param_groups[0]["lr"] == 0.01
    with pytest.raises(ValueError, match="more than one parameter group"):
        Together((first, first))


def test_a_model_without_gradient_is_fitted_saved_and_loaded(
    spec_of: Callable[..., TrialSpec], registry: Registry, tmp_path: Path
) -> None:
    spec = spec_of("bank")
    result = run_trial(spec, tmp_path / "t", registry)
    assert result.curve == []
    assert result.metrics["image_auroc"] == 1.0  # the defect is far from all that was seen
    assert result.metrics["pixel_auroc"] > 0.9  # maps of 16 pixels, brought to 32
    assert not (tmp_path / "t" / "last.ckpt").exists()
    model = load_model(tmp_path / "t", registry).detector
    assert model.memory.colours.shape == (40, 3)
    run_trial(spec, tmp_path / "again", registry)
    assert same(weights(tmp_path / "t"), weights(tmp_path / "again"))


def test_a_model_without_maps_has_image_metrics_alone(
    spec_of: Callable[..., TrialSpec],
    registry: Registry,
    tmp_path: Path,
    tiny_folder: Path,
    predict_images: Callable[..., Any],
) -> None:
    result = run_trial(spec_of("bank", {"maps": False}), tmp_path / "t", registry)
    assert result.metrics["image_auroc"] == 1.0
    assert result.undefined["pro"] == "the model gives no anomaly maps"
    assert math.isnan(result.metrics["pro"])
    assert math.isnan(result.normal.level)
    trained = load_model(tmp_path / "t", registry)
    pictures = tiny_folder / "disc" / "test" / "square"
    done = predict_images(trained, pictures, tmp_path / "out")
    assert (done.scored, done.anomalous, done.undrawn) == (4, 4, 0)
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["scores.csv"]
    with pytest.raises(ValueError, match="no anomaly maps"):
        predict_images(trained, pictures, tmp_path / "out", maps="npy")


def test_what_a_row_says_of_a_preset_lies_under_what_is_said(components: None, tmp_path: Path) -> None:
    register("model", "bank")(Bank)
    row = "{presets: {demo: {model: {maps: false}, train: {epochs: 7, image_size: 64}}}}"
    (tmp_path / "rows.yaml").write_text(
        f"components: {{model/bank: {row}}}\nvariants: {{bank: {{model: bank}}, mapped: {{extends: bank, maps: true}}}}"
    )
    registry = load_registry(tmp_path / "rows.yaml")
    demo, paper = PRESETS["demo"], PRESETS["paper"]
    node, train = demo.settle(registry, "bank")
    assert (node["maps"], train.epochs, train.max_steps, train.image_size) == (False, 7, -1, 64)
    assert demo.settle(registry, "mapped")[0]["maps"] is True
    typed = demo.trained({"image_size": 96, "max_steps": 3}).settle(registry, "bank")[1]
    assert (typed.image_size, typed.max_steps, typed.epochs) == (96, 3, 7)
    assert paper.settle(registry, "bank") == ({"model": "bank", "maps": True}, TrainConfig())
    assert default_registry().resolve("dlkd", preset="demo")["lr_refiner"] == 0.001


def test_a_wrong_training_argument_of_a_rows_preset_says_where_it_stands(components: None, tmp_path: Path) -> None:
    register("model", "bank")(Bank)
    file = tmp_path / "rows.yaml"
    file.write_text(
        "components:\n  model/bank:\n    presets:\n      demo: {train: {epocs: 7}}\nvariants: {b: {model: bank}}"
    )
    with pytest.raises(ConfigError) as caught:
        PRESETS["demo"].settle(load_registry(file), "b")
    place = f"{file}:4: components.model/bank.presets.demo.train.epocs"
    assert str(caught.value) == f"{place}: unknown key; did you mean 'epochs'?"


def test_rows_know_the_presets_that_there_are() -> None:
    assert list(PRESETS) == list(rows.PRESETS)
