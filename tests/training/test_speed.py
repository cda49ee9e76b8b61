"""Time and memory of scoring: medians of the timed runs, the weights' bytes and what scoring adds to them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from dlkd.models import Detector
from dlkd.registry import create_model
from dlkd.training import speed

MIB = 2**20


class Held(Detector):
    """Has weights of a MiB, and takes 32 MiB for each image while it scores; its runs are counted by batch size."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("weights", torch.zeros(MIB // 4))
        self.runs = {1: 0, 8: 0}

    def forward(self, images: Tensor) -> Tensor:
        self.runs[len(images)] += 1
        taken = torch.ones(len(images), 8 * MIB, device=images.device)
        return images.mean(dim=1) + taken.sum()


def test_the_peak_is_that_of_the_weights_and_of_eight_images() -> None:
    found = speed.measure(Held().eval(), (8, 8), seconds=0.0)
    assert 250 * MIB <= found["peak_memory_bytes"] <= 300 * MIB  # pages come and go


def test_the_first_runs_are_not_timed_and_the_median_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Held().eval()
    times = {(1, 3): 0.1, (1, 4): 5.0, (1, 5): 0.2, (8, 3): 1.0, (8, 4): 0.8, (8, 5): 0.9}

    def timed(run: object, device: torch.device) -> float:
        before = dict(model.runs)
        run()  # type: ignore[operator]
        [size] = [size for size in before if model.runs[size] != before[size]]
        return times[size, model.runs[size]]

    monkeypatch.setattr(speed, "_seconds", timed)
    found = speed.measure(model, (8, 8), seconds=0.0)
    assert model.runs == {1: 5, 8: 5}
    assert (found["latency_1"], found["latency_8"]) == (0.2, 0.9)
    assert found["images_per_second"] == pytest.approx(8 / 0.9)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")
def test_on_a_gpu_the_peak_is_exact_and_the_time_is_the_events() -> None:
    found = speed.measure(Held().eval().cuda(), (8, 8), seconds=0.1)
    assert 257 * MIB <= found["peak_memory_bytes"] <= 262 * MIB
    assert 0 < found["latency_1"] < found["latency_8"] < 1


def test_models_that_differ_in_a_loss_or_in_weights_run_the_same_operations() -> None:
    def found(variant: str, seed: int = 0, **overrides: object) -> str:
        torch.manual_seed(seed)
        teacher = {"backbone": "test_resnet", "weights": "random"}
        return speed.operations(create_model(variant, teacher=teacher, **overrides).eval(), (64, 64))

    dlkd = found("dlkd")
    for same in (found("dlkd", 1), found("dlkd-distillation"), found("dlkd", noise={"intensity": 0.5})):
        assert same == dlkd
    for other in (found("dlkd-lfrb-gfrb"), found("dlkd", sigma=2.0), found("dlkd", decoder={"global": None})):
        assert other != dlkd
