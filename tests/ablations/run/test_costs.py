"""Costs of rows: measured once each, alone, kept in the run's folder, and tried again where they failed."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run import costs
from dlkd.ablations.run.alone import model_of
from dlkd.ablations.run.costs import COSTS, MeasureError, in_new_process, measure_costs, read_costs
from dlkd.ablations.run.pool import Pool
from dlkd.machine import processor
from dlkd.models import Detector
from dlkd.registry import default_registry
from dlkd.training import TrainConfig, TrialSpec

TEACHER = {"teacher": {"backbone": "test_resnet", "weights": "random"}}
FIGURES = {"latency_1": 0.1, "latency_8": 0.5, "images_per_second": 16.0, "peak_memory_bytes": 1e6, "device": "d"}


def cell(row: str, store: Path, *, finished: bool = True, seed: int = 0, side: int = 64, code: str = "a") -> Cell:
    spec = TrialSpec(
        variant=row, model={"name": row.split()[0]}, dataset={"name": "textures"}, category="brick", seed=seed,
        train=TrainConfig(image_size=side),
    )  # fmt: skip
    key = f"{row}-{seed}-{side}-{code}".replace(" ", "-")
    if finished:
        (store / key).mkdir(parents=True)
        (store / key / "result.json").touch()
    return Cell(key, spec, (("g", row),), contents={"data": "x"}, code={"blocks/a.py": code})


class Stub:
    """Measures without a process; notes what was asked for."""

    def __init__(self, tmp_path: Path) -> None:
        self.store, self.folder = tmp_path / "store", tmp_path / "run"
        self.asked: list[str] = []
        self.fails = ""

    def __call__(self, cell: Cell, store: Path, pool: Pool) -> dict[str, object]:
        self.asked.append(cell.key)
        if cell.spec.variant == self.fails:
            raise MeasureError("out of memory")
        return FIGURES

    def run(self, cells: list[Cell], **pool: int) -> list[str]:
        """Which cells are measured for a run of these."""
        self.asked.clear()
        measure_costs(cells, self.folder, self.store, Pool(**pool), measure=self)
        return list(self.asked)


@pytest.fixture
def stub(tmp_path: Path) -> Stub:
    return Stub(tmp_path)


def test_each_row_is_measured_once_by_its_first_finished_cell(stub: Stub) -> None:
    cells = [
        cell("A", stub.store, finished=False),
        *(cell("A", stub.store, seed=seed) for seed in (1, 2)),
        cell("B", stub.store),
        cell("never finished", stub.store, finished=False),
    ]
    assert stub.run(cells) == ["A-1-64-a", "B-0-64-a"]
    found = read_costs(stub.folder)
    assert list(found) == [("g", "A"), ("g", "B")]
    assert found["g", "A"].latency_8 == 0.5
    assert found["g", "A"].device == "d"


def test_rows_of_one_model_share_a_measurement(stub: Stub) -> None:
    assert stub.run([cell("A", stub.store), cell("A untrained", stub.store)]) == ["A-0-64-a"]
    assert set(read_costs(stub.folder)) == {("g", "A"), ("g", "A untrained")}


def test_rows_that_run_the_same_operations_have_the_median_of_their_figures(stub: Stub) -> None:
    figures = {"A": (0.3, "same"), "B": (0.1, "same"), "C": (0.2, "same"), "D": (0.9, "others"), "E": (0.7, "")}

    def measure(cell: Cell, store: Path, pool: Pool) -> dict[str, object]:
        stub.asked.append(cell.spec.variant)
        latency, operations = figures[cell.spec.variant.split()[0]]
        return FIGURES | {"latency_1": latency, "operations": operations}

    rows = [cell(name, stub.store) for name in ("A", "A untrained", "B", "C", "D", "E")]
    for _ in range(2):  # what is kept is what was measured
        measure_costs(rows, stub.folder, stub.store, Pool(), measure=measure)
        found = {row: one.latency_1 for (_, row), one in read_costs(stub.folder).items()}
        assert found == {"A": 0.2, "A untrained": 0.2, "B": 0.2, "C": 0.2, "D": 0.9, "E": 0.7}
    assert stub.asked == ["A", "B", "C", "D", "E"]


@pytest.mark.parametrize("changed", [{"side": 96}, {"code": "b"}])
def test_what_is_known_is_not_measured_again_and_what_changed_is(stub: Stub, changed: dict[str, Any]) -> None:
    a, b = cell("A", stub.store), cell("B", stub.store)
    assert len(stub.run([a, b])) == 2
    assert stub.run([a, b]) == []
    assert stub.run([a, cell("B", stub.store, **changed)]) == [
        f"B-0-{changed.get('side', 64)}-{changed.get('code', 'a')}"
    ]
    assert len(stub.run([a, b], threads=2)) == 2
    assert [one.threads for one in read_costs(stub.folder).values()] == [2, 2]


def test_another_processor_measures_again(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    a = cell("A", stub.store)
    stub.run([a])
    monkeypatch.setattr(costs, "processor", lambda: "another")
    assert stub.run([a]) == [a.key]


def test_another_gpu_measures_again(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    a = cell("A", stub.store)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    for name, measured in (("one", [a.key]), ("one", []), ("another", [a.key])):
        monkeypatch.setattr("torch.cuda.get_device_name", lambda name=name: name)
        assert stub.run([a], trials_per_gpu=1) == measured


def test_a_failure_is_a_note_and_is_tried_again(stub: Stub) -> None:
    cells = [cell("A", stub.store), cell("B", stub.store)]
    stub.fails = "A"
    assert len(stub.run(cells)) == 2
    found = read_costs(stub.folder)
    assert found["g", "A"].note == "out of memory"
    assert math.isnan(found["g", "A"].latency_1)
    assert found["g", "B"].latency_1 == 0.1
    stub.fails = ""
    assert stub.run(cells) == ["A-0-64-a"]
    assert read_costs(stub.folder)["g", "A"].note == ""


def test_a_broken_off_measurement_keeps_what_it_had_and_shows_nothing_old(stub: Stub) -> None:
    a, b = cell("A", stub.store), cell("B", stub.store)
    stub.run([a, b])
    new = [cell("A", stub.store, code="b"), cell("B", stub.store, code="b")]

    def until_b(asked: Cell, store: Path, pool: Pool) -> dict[str, object]:
        if asked.spec.variant == "B":
            raise KeyboardInterrupt
        return FIGURES | {"latency_1": 0.2}

    with pytest.raises(KeyboardInterrupt):
        measure_costs(new, stub.folder, stub.store, Pool(), measure=until_b)
    assert {row: one.latency_1 for (_, row), one in read_costs(stub.folder).items()} == {"A": 0.2}
    assert stub.run(new) == ["B-0-64-b"]


@pytest.mark.parametrize("text", ["", "{}", '[{"table": "g"}]', "[1]"])
def test_a_file_that_cannot_be_read_is_as_none(stub: Stub, text: str) -> None:
    a = cell("A", stub.store)
    stub.run([a])
    (stub.folder / COSTS).write_text(text)
    assert read_costs(stub.folder) == {}
    assert stub.run([a]) == [a.key]
    assert json.loads((stub.folder / COSTS).read_text())[0]["row"] == "A"


def test_a_new_process_measures_a_model(stub: Stub) -> None:
    model = default_registry().resolve("dlkd-lfrb", TEACHER)
    given = cell("dlkd-lfrb", stub.store)
    given = replace(given, spec=given.spec.model_copy(update={"model": model}))
    found = in_new_process(given, stub.store, Pool())
    assert 0 < found["latency_1"] < 2 * found["latency_8"]
    assert found["images_per_second"] == pytest.approx(8 / found["latency_8"])
    assert found["peak_memory_bytes"] > 8 * 3 * 64 * 64 * 4
    assert found["device"] == processor()


def test_a_process_that_fails_says_why(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs.sys, "executable", "/bin/false")
    with pytest.raises(MeasureError, match="ended with 1"):
        in_new_process(cell("A", stub.store), stub.store, Pool())


def test_a_model_without_what_it_fitted_is_not_measured(stub: Stub, tmp_path: Path) -> None:
    class Fitted(Detector):
        def fit(self, batches: object) -> None:
            raise NotImplementedError

    registry: Any = SimpleNamespace(build=lambda kind, node: Fitted())
    with pytest.raises(ValueError, match="what the model fitted was not kept"):
        model_of(cell("A", stub.store).spec, tmp_path / "weights.safetensors", registry)
