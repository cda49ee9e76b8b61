"""Rows of a grid tuned before its cells: what each row's search varies, what is chosen, and what the report says."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray

from dlkd.ablations.asked import Asked
from dlkd.ablations.plan.cells import make_cells
from dlkd.ablations.plan.grid import Grid
from dlkd.ablations.plan.grid_files import grid_of, load_grid
from dlkd.ablations.report import content
from dlkd.ablations.report.content import make_report
from dlkd.ablations.report.html import html
from dlkd.ablations.report.latex import latex
from dlkd.ablations.report.markdown import markdown
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.search.records import trial_key
from dlkd.ablations.search.rows import Data, RowSearch, row_searches, tune_rows, with_chosen
from dlkd.ablations.search.study import search_folder
from dlkd.ablations.stored.run_folder import read_run, write_run
from dlkd.ablations.stored.run_identity import RunIdentity
from dlkd.ablations.stored.trials import collect
from dlkd.ablations.tuned import as_stored
from dlkd.cli.searches import tuning_forecast
from dlkd.registry import default_registry
from dlkd.registry.problems import ConfigError
from dlkd.text import Terminal
from dlkd.training import Preset, TrainConfig

REGISTRY = default_registry()
TINY = Preset(
    train=TrainConfig(image_size=32, batch_size=2, epochs=6),
    model={"teacher": {"backbone": "test_resnet", "weights": "random"}},
)
ROWS: tuple[dict[str, Any], ...] = (
    {"label": "LFRB", "variant": "dlkd-lfrb"},
    {"label": "own rate", "variant": "dlkd-lfrb", "overrides": {"optimizer": {"lr": 0.1}}},
    {"label": "own all", "variant": "dlkd-lfrb", "overrides": {"optimizer": {"lr": 0.1}, "loss": {"alpha": 0.3}}},
    {"label": "untrained", "variant": "dlkd-lfrb", "train": {"epochs": 0}},
    {"label": "DLKD", "variant": "dlkd"},
)
SPACE = {
    "optimizer.lr": {"choice": [0.001, 0.005, 0.02]},
    "loss.alpha": {"choice": [0.02, 0.1]},
    "refiner.depth": {"choice": [1, 2]},
}


def grid(space: dict[str, Any] = SPACE, rows: tuple[dict[str, Any], ...] = ROWS, **tune: Any) -> Grid:
    data = {"title": "t", "rows": list(rows), "reference": "DLKD", "primary": "pixel_auroc"}
    return grid_of({**data, "tune": {"space": space, "share": 0.34, "rungs": 1, **tune}}, "g")


@pytest.fixture
def data(tiny_folder: Path) -> Data:
    return [(REGISTRY.complete("dataset", {"name": "folder", "root": str(tiny_folder)}), ["disc"])]


@pytest.fixture
def finish_search() -> Callable[[RowSearch, Path, dict[float, float]], None]:
    """Write the results of a row's search, with a score by learning rate, where its trials would have left them."""

    def finish(each: RowSearch, store: Path, scores: dict[float, float]) -> None:
        assert each.study is not None
        for i, (rate, score) in enumerate(scores.items()):
            parameters = {key: p.values[0] for key, p in each.study.search.space.items()} | {"optimizer.lr": rate}
            folder = search_folder(each.study, REGISTRY, store) / trial_key(parameters)
            folder.mkdir(parents=True)
            (folder / "parameters.json").write_text(json.dumps({"number": i + 1, "parameters": parameters}))
            rung = {"score": score, "scores": {}, "steps": {}, "seconds": 1.0, "note": ""}
            (folder / "result.json").write_text(json.dumps({"status": "done", "rungs": [rung], "reason": ""}))

    return finish


def test_each_row_is_tuned_on_what_it_has_with_one_budget(data: Data) -> None:
    found = {each.row.label: each for each in row_searches(grid(trials=5), REGISTRY, data, TINY)}
    space = {label: list(each.study.search.space) for label, each in found.items() if each.study is not None}
    assert space == {
        "LFRB": ["optimizer.lr", "loss.alpha"],
        "own rate": ["loss.alpha"],
        "DLKD": ["optimizer.lr", "loss.alpha", "refiner.depth"],
    }
    assert "not trained" in found["untrained"].passed_over
    assert "sets them itself" in found["own all"].passed_over
    searches = [each.study.search for each in found.values() if each.study is not None]
    assert [s.trials for s in searches] == [5, 2, 5]  # of one parameter with two choices there are two settings
    assert {(s.metric, s.share, s.rungs, s.seed) for s in searches} == {("pixel_auroc", 0.34, 1, 0)}
    own = found["own rate"].study
    assert own is not None
    assert own.settings({"loss.alpha": 0.1}, REGISTRY)[0]["optimizer"]["lr"] == 0.1  # what the row says stays


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"optimizer.lrr": {"choice": [1, 2]}}, "g: tune.space.optimizer.lrr: optimizer/adam has no argument 'lrr'"),
        ({"refiner.depth": {"choice": [1, 0]}}, "g: tune.space.refiner.depth.choice[1]: "),
        ({"train.epochs": {"choice": [1, 2]}}, "g: tune.space.train.epochs: 'epochs' is not to be varied"),
        ({"loss": {"choice": ["total", "none"]}}, "g: tune.space.loss.alpha: 'loss' is varied as a whole already"),
        ({"sigma": {"choice": [2, 2.0]}}, "g: tune.space.sigma.choice: a value stands twice, written in two ways"),
    ],
)  # fmt: skip
def test_wrong_parameters_are_told_with_file_and_key(data: Data, change: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        row_searches(grid({**SPACE, **change}), REGISTRY, data, TINY)
    assert [says in line for line in str(caught.value).splitlines()] == [True]


def test_a_parameter_that_each_row_sets_itself_is_told(data: Data) -> None:
    rows = tuple({**row, "overrides": {"optimizer": {"lr": 0.1}}} for row in ROWS)
    with pytest.raises(ConfigError, match=r"g: tune.space.optimizer.lr: no row has this setting without setting it"):
        row_searches(grid(rows=rows), REGISTRY, data, TINY)


@pytest.mark.parametrize(
    ("tune", "says"),
    [
        ("{space: {loss.alpha: {log: [1, 2]}}, trails: 3}", ":5: tune.trails: unknown key; did you mean 'trials'?"),
        ("{space: {loss.alpha: {lug: [1, 2]}}}", ":5: tune.space.loss.alpha.lug: unknown key; did you mean 'log'?"),
        ("{space: {loss.alpha: {log: [1, 2]}}, metric: x}", ":5: tune.metric: unknown metric 'x'"),
        ("{space: {loss.alpha: {log: [1, 2]}}, metric: seg_f1}", ":5: tune.metric: seg_f1 needs an alarm threshold"),
        ("{trials: 3}", ":5: tune.space: Field required"),
        ("{space: {loss.alpha: {log: [1, 2]}}}\ntuned: []", ":6: tuned: a run fills it in"),
    ],
)
def test_a_wrong_form_is_told_with_its_line(tmp_path: Path, tune: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(f"title: t\nrows:\n  - {{label: a, variant: dlkd}}\nreference: a\ntune: {tune}\n")
    with pytest.raises(ConfigError) as caught:
        load_grid(str(file))
    assert f"{file}{says}" in str(caught.value)
    assert len(caught.value.problems) == 1


def test_the_best_setting_of_each_row_is_in_its_cells_and_in_the_report(
    tmp_path: Path, data: Data, finish_search: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = grid(trials=2)
    searches = row_searches(asked, REGISTRY, data, TINY)
    best = {"LFRB": 0.02, "DLKD": 0.001}
    for each in searches:
        if each.row.label in best:
            finish_search(each, tmp_path, {0.005: 0.6, best[each.row.label]: 0.7})
    own = next(each for each in searches if each.row.label == "own rate")
    assert [each.left(REGISTRY, tmp_path) for each in searches] == [0, 2, 0, 0, 0]
    searches = [each for each in searches if each is not own]
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    tuned = tune_rows(asked, searches, REGISTRY, tmp_path, Pool(), Terminal())

    before, after = (
        {cell.rows[0][1]: cell for cell in make_cells(g, REGISTRY, data, [0], TINY)} for g in (asked, tuned)
    )
    for label, rate in best.items():
        assert after[label].spec.model["optimizer"]["lr"] == rate
        assert after[label].key != before[label].key
    assert after["own all"].key == before["own all"].key
    found = {row.label: row for row in tuned.tuned}
    assert found["LFRB"].chosen == {"optimizer.lr": 0.02, "loss.alpha": 0.02}
    assert (found["LFRB"].tried, found["LFRB"].score, found["LFRB"].unchanged) == (2, 0.7, 0.6)

    # The choice stands in the run's folder, and in the report that is made of it.
    write_run(tmp_path, collect(list(after.values()), tmp_path), [tuned], tmp_path, RunIdentity())
    trials, grids, _ = read_run(tmp_path)
    assert grids[0].tuned == tuned.tuned
    monkeypatch.setattr(content, "captions", lambda _: {})  # no pictures, which take seconds
    report = make_report(trials, grids, tmp_path)
    for text in (markdown(report), html(report), latex(report)):
        assert "tuned with the same budget: at most 2 settings" in text
        assert "was not tuned: it is not trained" in text
        assert "What each row was tuned to" in text
    assert "| LFRB | 2 | 70.00 | 60.00 | 0.02 | 0.02 | – |" in markdown(report)
    assert r"LFRB & 2 & 70.00 & 60.00 & 0.02 & 0.02 & \textendash{} \\" in latex(report)


def test_a_row_without_a_finished_setting_ends_the_run(tmp_path: Path, data: Data) -> None:
    searches = row_searches(grid(), REGISTRY, data, TINY)
    with pytest.raises(ValueError, match=r"tune: no setting of the row 'LFRB' was trained to its end; .*search-"):
        with_chosen(grid(), searches, REGISTRY, tmp_path)


def test_a_forecast_counts_the_settings(tmp_path: Path, data: Data, finish_search: Callable[..., None]) -> None:
    asked = grid(trials=2)
    searches = row_searches(asked, REGISTRY, data, TINY)
    finish_search(searches[0], tmp_path, {0.005: 0.6})
    cells = make_cells(asked, REGISTRY, data, [0, 1], TINY)
    run = Asked(REGISTRY, Pool(), store=tmp_path)
    *passed_over, left = tuning_forecast({"g": searches}, cells, {cell.key: 30.0 for cell in cells}, run)
    assert passed_over == [
        "g: 'own all' is not tuned: it has none of these settings, or sets them itself",
        "g: 'untrained' is not tuned: it is not trained",
    ]
    assert left.startswith(
        "g: before the cells, 5 of 6 settings of 3 rows are tried on validation pictures, in 1 category"
    )
    assert left.endswith("each; at most about 2 min 30 s one at a time")
    assert as_stored([asked], {"g": searches}, run) == [asked]

    for each in searches:
        if each.study is not None:
            finish_search(each, tmp_path, {0.02: 0.5, 0.001: 0.6})
    *_, left = tuning_forecast({"g": searches}, cells, {}, run)
    assert left == "g: all 6 settings of 3 rows were tried; the cells have what was chosen"
    assert as_stored([asked], {"g": searches}, run)[0].rows[0].overrides == {
        "optimizer": {"lr": 0.005},
        "loss": {"alpha": 0.02},
    }
