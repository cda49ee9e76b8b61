"""The estimate of a grid's cost follows steps and images."""

from collections.abc import Callable

import pytest
import torch

from dlkd.ablations import cost
from dlkd.ablations.cost import estimate_seconds, steps
from dlkd.ablations.grid import Cell
from dlkd.registry import default_registry
from dlkd.training import Preset, TrainConfig

MakeCells = Callable[..., list[Cell]]


def test_seconds_are_steps_and_images_at_the_timed_speed(
    make_tiny_cells: MakeCells, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(cost, "_time", lambda spec, registry: calls.append(spec) or (10.0, 1.0))
    cells = make_tiny_cells([("A", {}), ("B", {"sigma": 1.0})], seeds=2)
    # 6 images in batches of 3, 2 epochs; 7 test images
    assert set(estimate_seconds(cells, default_registry()).values()) == {2 * 2 * 10.0 + 7 * 1.0}
    assert len(calls) == 2  # seeds share a model
    lengths = make_tiny_cells([("A", {}), ("B", {}, {"max_steps": 3})])
    assert list(estimate_seconds(lengths, default_registry()).values()) == [2 * 2 * 10.0 + 7 * 1.0, 3 * 10.0 + 7 * 1.0]
    assert len(calls) == 3  # however long it trains


@pytest.mark.parametrize(("epochs", "max_steps", "expected"), [(2, -1, 6), (2, 4, 4), (2, 9, 6), (0, -1, 0), (5, 0, 0)])
def test_steps(make_tiny_cells: MakeCells, epochs: int, max_steps: int, expected: int) -> None:
    train = TrainConfig(image_size=32, batch_size=2, epochs=epochs, max_steps=max_steps)
    model = {"teacher": {"backbone": "test_resnet", "weights": "random"}}
    cell = make_tiny_cells([("A", {})], preset=Preset(train=train, model=model))[0]
    assert steps(cell.spec, 6) == expected


def test_timed_on_the_threads_of_a_trial(make_tiny_cells: MakeCells, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(cost, "_time", lambda spec, registry: seen.append(torch.get_num_threads()) or (1.0, 1.0))
    estimate_seconds(make_tiny_cells()[:1], default_registry(), threads=2)
    assert seen == [2]
    assert torch.get_num_threads() == 1


def test_a_step_and_an_image_take_time(make_tiny_cells: MakeCells) -> None:
    step, image = cost._time(make_tiny_cells()[0].spec, default_registry())
    assert 0 < image < step < 30
