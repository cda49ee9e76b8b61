"""The estimate of a grid's time counts each part as often as a run does it."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from dlkd.ablations.forecast import forecast as forecast_module
from dlkd.ablations.forecast.forecast import forecast
from dlkd.ablations.forecast.parts import Parts, time_parts
from dlkd.ablations.forecast.schedule import makespan, trial_seconds
from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run.pool import Pool
from dlkd.models.teachers.weights import TeacherWeightsError
from dlkd.registry import default_registry
from dlkd.training import Preset, TrainConfig, TrialSpec
from dlkd.training.trials.trial_spec import load_category

MakeCells = Callable[..., list[Cell]]
PARTS = Parts(fixed=1e6, first=1e5, step=1e4, fit=0.0, feature=1e3, frozen="t", picture=100.0, score=10.0, metric=1.0)


@pytest.fixture
def timed(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Nothing is timed: threads of each timing of a model."""
    seen: list[int] = []

    def time(spec: object, category: object, registry: object, folder: Path) -> Parts:
        folder.mkdir()
        seen.append(torch.get_num_threads())
        return PARTS

    monkeypatch.setattr(forecast_module, "time_parts", time)
    monkeypatch.setattr(forecast_module, "_start_up", lambda cells, pool: 30.0)
    monkeypatch.setattr(forecast_module, "_report", lambda cells, grids, store: 5.0)
    clock = iter(range(0, 100, 3))
    monkeypatch.setattr(forecast_module, "perf_counter", lambda: next(clock))
    return seen


def test_each_part_is_counted_as_often_as_a_run_does_it(make_tiny_cells: MakeCells, timed: list[int]) -> None:
    cells = make_tiny_cells([("A", {}), ("B", {"sigma": 1.0})], seeds=2)
    found = forecast(cells, [], default_registry(), Pool(workers=2), begun=4.0)
    # 6 images in batches of 3, 2 epochs; 7 test images, and 6 for the normal range
    trial = 1e6 + 4 * 1e4 + 13 * 10 + 7 * 1
    assert found.trials == {cell.key: trial for cell in cells}
    # the first trial reads 13 pictures and makes the features of 6; each of two workers meets two models
    assert found.training == 2 * trial + 2 * 1e5 + 13 * 100 + 6 * 1e3
    assert (found.start, found.report) == (34.0, 5.0)
    assert found.costs == 2 * 3.0  # two models, of which one took three seconds
    assert found.total == found.start + found.training + found.report + found.costs
    assert timed == [1, 1]  # seeds share a model
    lengths = make_tiny_cells([("A", {}), ("B", {}, {"max_steps": 3})])
    assert list(forecast(lengths, [], default_registry(), Pool()).trials.values()) == [trial, trial - 1e4]
    assert len(timed) == 3  # however long it trains
    assert forecast([], [], default_registry(), Pool()).training == 0


def test_a_forecast_needs_no_pretrained_weights(
    make_tiny_cells: MakeCells, timed: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def time(spec: TrialSpec, category: object, registry: object, folder: Path) -> Parts:
        folder.mkdir()
        asked.append(spec.model["teacher"]["weights"])
        if asked[-1] != "random":
            raise TeacherWeightsError("no network")
        return PARTS

    monkeypatch.setattr(forecast_module, "time_parts", time)
    preset = Preset(train=TrainConfig(image_size=32, epochs=1), model={"teacher": {"backbone": "test_resnet"}})
    cells = make_tiny_cells([("A", {}), ("B", {"sigma": 1.0})], preset=preset)
    assert forecast(cells, [], default_registry(), Pool()).random_weights
    assert asked == ["timm", "random", "random"]  # a download that failed is not tried again
    assert cells[0].spec.model["teacher"]["weights"] == "timm"
    missing = make_tiny_cells([("A", {"teacher": {"weights": "none.pth"}})], preset=preset)
    with pytest.raises(TeacherWeightsError):
        forecast(missing, [], default_registry(), Pool())


def test_jobs_go_to_the_first_worker_that_is_free() -> None:
    jobs = [("a", 10.0, 1.0), ("a", 2.0, 1.0), ("a", 3.0, 1.0), ("b", 4.0, 5.0)]
    assert makespan(jobs, 1) == 10 + 2 + 3 + 4 + 1 + 5
    assert makespan(jobs, 2) == 15  # 11 beside 3 + 3 + 9
    assert makespan(jobs, 4) == 11
    assert makespan([], 1) == 0


@pytest.mark.parametrize(("epochs", "max_steps", "expected"), [(2, -1, 6), (2, 4, 4), (2, 9, 6), (0, -1, 0), (5, 0, 0)])
def test_steps(epochs: int, max_steps: int, expected: int) -> None:
    train = TrainConfig(image_size=32, batch_size=2, epochs=epochs, max_steps=max_steps)
    assert train.steps(3) == expected


def test_many_training_images_are_not_all_scored(make_tiny_cells: MakeCells) -> None:
    spec = make_tiny_cells()[0].spec.model_copy(update={"train": TrainConfig(epochs=0)})
    many = SimpleNamespace(train=[0] * 500, test=[0] * 7)
    assert trial_seconds(PARTS, spec, many) == 1e6 + (64 + 7) * 10 + 7 * 1  # type: ignore[arg-type]


def test_timed_on_the_threads_of_a_trial(make_tiny_cells: MakeCells, timed: list[int]) -> None:
    forecast(make_tiny_cells()[:1], [], default_registry(), Pool(threads=2))
    assert timed == [2]
    assert torch.get_num_threads() == 1


def test_every_part_takes_time(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    spec = make_tiny_cells()[0].spec
    category = load_category(spec, default_registry())
    parts = time_parts(spec, category, default_registry(), tmp_path / "t")
    assert 0 < parts.feature < parts.step < 30
    assert 0 < parts.picture < parts.fixed < 30
    assert parts.score > 0
    assert parts.metric > 0
    assert parts.first >= 0
    assert sorted(p.name for p in (tmp_path / "t").iterdir()) == ["examples.npz", "result.json"]  # what reports read


@pytest.mark.parametrize("left", ["no test images", "no masks", "one image"])
def test_categories_of_any_kind_are_timed(make_tiny_cells: MakeCells, tmp_path: Path, left: str) -> None:
    spec = make_tiny_cells()[0].spec
    whole = load_category(spec, default_registry())
    test = () if left == "no test images" else whole.test[:3] if left == "no masks" else whole.test
    train = whole.train[:2] if left == "one image" else whole.train
    some = type(whole)(whole.dataset, whole.name, train, test)
    assert time_parts(spec, some, default_registry(), tmp_path / "t").step > 0


@pytest.mark.slow
def test_a_start_that_trains_nothing_takes_time(make_tiny_cells: MakeCells) -> None:
    cells = make_tiny_cells()
    assert 1 < forecast_module._start_up(cells, Pool(workers=2)) < 300
