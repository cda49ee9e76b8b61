"""The Lightning module: parameter groups and seeds."""

from collections.abc import Callable
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch

from dlkd.registry import create_model, default_registry
from dlkd.training import TrainConfig, TrialSpec
from dlkd.training.data_module import CategoryData
from dlkd.training.fit import train_by_gradient
from dlkd.training.module import DetectorTask
from dlkd.training.seeds import derive_seed
from dlkd.training.trials import costs
from dlkd.training.trials.trial import load_category

TEACHER = {"backbone": "test_resnet", "weights": "random"}


def test_learning_rates_and_decay_of_the_paper() -> None:
    model = create_model("dlkd", teacher=TEACHER)
    optimizer = DetectorTask(model, TrainConfig(), 0).configure_optimizers()
    assert isinstance(optimizer, torch.optim.Adam)
    rate = {id(p): g["lr"] for g in optimizer.param_groups for p in g["params"]}
    decay = {id(p): g["weight_decay"] for g in optimizer.param_groups for p in g["params"]}
    for name, parameter in model.named_parameters():
        if name.startswith("teacher."):
            assert id(parameter) not in rate
            continue
        assert rate[id(parameter)] == (0.002 if name.startswith("refiners.") else 0.005), name
        state_space = name.endswith(("A_logs", "Ds"))
        assert decay[id(parameter)] == (0.0 if state_space else 1e-4), name
    assert all(g["betas"] == (0.5, 0.999) for g in optimizer.param_groups)


def test_without_a_refiner_there_is_no_empty_group() -> None:
    model = create_model("dlkd-lfrb", teacher=TEACHER)
    groups = DetectorTask(model, TrainConfig(), 0).configure_optimizers().param_groups
    assert [g["name"] for g in groups] == ["student"]


def test_seeds_depend_on_every_part_and_on_nothing_else() -> None:
    assert derive_seed(0, "textures", "brick") == derive_seed(0, "textures", "brick")
    seeds = {derive_seed(s, d, c) for s in range(5) for d in ("textures", "elpv") for c in ("brick", "mono")}
    assert len(seeds) == 20
    assert all(0 <= s < 2**31 for s in seeds)


def test_rows_of_a_table_share_draws(make_spec: Callable[..., TrialSpec]) -> None:
    assert make_spec("dlkd").trial_seed == make_spec("dlkd-lfrb").trial_seed
    assert make_spec(seed=1).trial_seed != make_spec(seed=0).trial_seed


@pytest.mark.filterwarnings("ignore")
def test_a_model_that_was_scored_before_trains_in_train_mode(
    make_spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    """Lightning would train it in eval mode: norms then divide by 1 and not by the batch's spread."""
    spec = make_spec(epochs=1)
    model = create_model("dlkd-lfrb", teacher=TEACHER).eval()
    data = CategoryData(load_category(spec, default_registry()), spec.train, model, 0)
    norms = {name: b.clone() for name, b in model.named_buffers() if "running_var" in name and "teacher" not in name}
    train_by_gradient(DetectorTask(model, spec.train, 0), data, tmp_path)
    after = dict(model.named_buffers())
    assert norms
    assert all(not torch.equal(after[name], before) for name, before in norms.items())


def test_numbers_of_images_stay_on_the_cpu_where_they_are_read() -> None:
    task = DetectorTask(create_model("dlkd-lfrb", teacher=TEACHER), TrainConfig(), 0)
    batch = {"image": torch.zeros(2, 3, 32, 32), "index": torch.arange(2), "label": torch.zeros(2)}
    moved = task.transfer_batch_to_device(batch, torch.device("meta"), 0)
    assert {name: x.device.type for name, x in moved.items()} == {"image": "meta", "index": "cpu", "label": "meta"}


def test_a_trial_says_the_versions_of_what_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name == "ray":
            raise PackageNotFoundError(name)
        return "1.0"

    monkeypatch.setattr(costs, "version", version)
    found = costs.versions()
    assert "ray" not in found
    assert found["torch"] == "1.0"
