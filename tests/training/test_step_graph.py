"""A training step that is replayed. What a CPU cannot capture runs again here, on the tensors that a graph reads."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dlkd.check import Case, Component, sizes
from dlkd.check.graphed import graphed
from dlkd.machine import MachineError
from dlkd.models import Detector
from dlkd.registry import ConfigError, default_registry
from dlkd.training import PRESETS, TrainConfig, TrialSpec, run_trial, step_graph
from dlkd.training.step_graph import WARM, StepGraph
from dlkd.training.trials.trial_folder import WEIGHTS
from dlkd.training.trials.trial_spec import TrialError

MakeSpec = Callable[..., TrialSpec]
REGISTRY = default_registry()
TEACHER = {"backbone": "test_resnet", "weights": "random"}
EXACT = {"optimizer": {"lr": 2**-8}}
"""A learning rate that float32 holds as it is."""


@pytest.fixture
def again(monkeypatch: pytest.MonkeyPatch) -> list[torch.Generator]:
    """Steps that are captured run again in place of a replay; the generators of those that were captured."""
    captured: list[torch.Generator] = []

    def run_again(step: Callable[[], Tensor], generator: torch.Generator) -> Callable[[], Tensor]:
        captured.append(generator)
        return step

    monkeypatch.setattr(step_graph, "capture", run_again)
    monkeypatch.setattr(TrainConfig, "check_device", lambda config, gpu: None)
    monkeypatch.setattr(torch, "compile", lambda function, **how: function)
    return captured


@pytest.mark.parametrize(
    ("variant", "overrides"),
    [
        ("dlkd", {**EXACT, "lr_refiner": 2**-9}),
        ("stfpm", {"optimizer": {"lr": 2**-2}}),
        (
            "reverse_distillation",
            {"optimizer": {"schedule": {"name": "drops", "at": [0.3, 0.6], "by": 0.5}, "lr": 0.25}},
        ),
    ],
)
def test_replayed_steps_are_those_of_a_training(
    make_spec: MakeSpec, tmp_path: Path, again: list[torch.Generator], variant: str, overrides: dict[str, Any]
) -> None:
    """The same bits: images, features, numbers and learning rates of each step, for two sizes of a batch."""
    arguments: dict[str, Any] = {"epochs": WARM + 3, "batch_size": 4, "overrides": overrides}
    plain = run_trial(make_spec(variant, **arguments), tmp_path / "plain", REGISTRY)
    assert not again
    same = run_trial(make_spec(variant, **arguments, compile="graphs"), tmp_path / "graphs", REGISTRY)
    assert len(again) == 2
    assert same.curve == plain.curve
    assert same.metrics == plain.metrics
    mine, theirs = load_file(tmp_path / "graphs" / WEIGHTS), load_file(tmp_path / "plain" / WEIGHTS)
    assert all(torch.equal(mine[name], theirs[name]) for name in theirs)


def test_a_resumed_training_has_the_same_bits(
    make_spec: MakeSpec, tmp_path: Path, again: list[torch.Generator]
) -> None:
    whole = run_trial(make_spec("stfpm", epochs=8, compile="graphs"), tmp_path / "whole", REGISTRY)
    run_trial(make_spec("stfpm", epochs=5, compile="graphs"), tmp_path / "parts", REGISTRY, keep_state=True)
    parts = run_trial(make_spec("stfpm", epochs=8, compile="graphs"), tmp_path / "parts", REGISTRY, resume=True)
    assert parts.curve == whole.curve
    assert parts.metrics == whole.metrics


class Counted(Detector):
    """Learns a number; a step that cannot be captured says so as CUDA does."""

    def __init__(self) -> None:
        super().__init__()
        self.number = nn.Parameter(torch.ones(2))

    def losses(self, images: Tensor, generator: torch.Generator | None = None, clean: Any = None) -> dict[str, Tensor]:
        noise = torch.rand(images.shape, generator=generator)
        return {"images": images.mean(), "noise": noise.mean(), "total": ((images + noise).mean() * self.number).sum()}


def test_learning_rates_are_read_at_each_replay(again: list[torch.Generator]) -> None:
    model = Counted()
    optimizer = torch.optim.SGD([{"params": [model.number], "lr": 1.0}])
    graph = StepGraph(model, [optimizer], torch.device("cpu"))
    for step in range(WARM + 3):
        optimizer.param_groups[0]["lr"] = rate = 2.0**-step
        before = model.number.detach().clone()
        terms = graph.step(torch.full((1, 3, 2, 2), float(step)), None, seed=step)
        assert optimizer.param_groups[0]["lr"] == rate  # a checkpoint holds numbers
        assert terms["images"] == step
        drawn = torch.rand((1, 3, 2, 2), generator=torch.Generator().manual_seed(step))
        assert terms["noise"] == drawn.mean()
        torch.testing.assert_close(before - model.number.detach(), rate * (step + drawn.mean()).expand(2))
    assert len(again) == 1


def test_a_step_that_cannot_be_captured_is_one_clear_error(
    again: list[torch.Generator], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(step: Any, generator: Any) -> Any:
        raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nCompile with ...")

    monkeypatch.setattr(step_graph, "capture", refuse)
    model = Counted()
    graph = StepGraph(model, [torch.optim.SGD([model.number], lr=1.0)], torch.device("cpu"))
    images = torch.zeros(1, 3, 2, 2)
    for step in range(WARM):
        graph.step(images, None, step)
    said = r"train\.compile: .*\(CUDA error: operation not permitted when stream is capturing\); say `compile: true`"
    with pytest.raises(TrialError, match=said):
        graph.step(images, None, WARM)


def test_the_models_whose_steps_are_replayed() -> None:
    """Of others the law `graphed` has nothing to say."""
    rows = [name for name, row in REGISTRY.rows.items() if name.startswith("model/") and row.shape is not None]
    components = [Component.of(REGISTRY, name) for name in rows]
    built = {each.own_name: Case(each, sizes.typical(each)).build(fitted=False) for each in components}
    replayed = {name for name, model in built.items() if model.graphed}
    assert replayed == {"dlkd", "mb_pfm", "noco", "reverse_distillation", "stfpm", "vt_adl"}


@pytest.mark.parametrize("overrides", [{"noise_place": "every"}, {"noise": None}])
def test_a_step_of_a_variant_of_dlkd_waits_for_nothing(overrides: dict[str, Any]) -> None:
    """Every row of a model keeps this law; these are no rows."""
    component = Component.of(REGISTRY, "model/dlkd")
    case = Case(replace(component, node={**component.node, **overrides}), sizes.typical(component))
    assert case.build().graphed
    graphed(case)


PASTES = {"pseudo_anomaly": {"name": "pasted_texture"}}


@pytest.mark.parametrize(
    ("variant", "overrides", "how", "said"),
    [
        ("dlkd", PASTES, "graphs", "model/dlkd: its training step cannot be one CUDA graph"),
        ("draem", {}, "graphs", "model/draem: its training step cannot be one CUDA graph"),
        ("patchcore", {}, True, "model/patchcore: it names nothing that is to be compiled"),
    ],
)
def test_a_model_that_cannot_is_refused_at_the_plan(
    variant: str, overrides: dict[str, Any], how: bool | str, said: str
) -> None:
    teacher = {} if variant == "draem" else {"teacher": TEACHER}
    preset = PRESETS["demo"].trained({"compile": how})
    with pytest.raises(ConfigError, match=f"train.compile: {re.escape(said)}"):
        preset.settle(REGISTRY, variant, {**teacher, **overrides})


def test_a_mistyped_way_to_compile_is_refused(make_spec: MakeSpec) -> None:
    with pytest.raises(ValueError, match="graphs"):
        make_spec("dlkd", compile="graph")


def test_without_a_gpu_a_trial_is_refused_before_its_data_are_read(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec("dlkd", compile="graphs").model_copy(update={"category": "none"})
    with pytest.raises(MachineError, match=r"train\.compile: CUDA graphs need a GPU"):
        run_trial(spec, tmp_path / "t", REGISTRY)
    assert not (tmp_path / "t").exists()
