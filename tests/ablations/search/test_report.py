"""The report of a search, from the trials that it left."""

import io
import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from dlkd import cli
from dlkd.ablations.plan.cells import make_cells
from dlkd.ablations.plan.grid_files import load_grid
from dlkd.ablations.search.records import Tried, trial_key
from dlkd.ablations.search.report import SearchReport
from dlkd.ablations.search.results import read_found, search_trials, write_found
from dlkd.ablations.search.search_files import find_search
from dlkd.ablations.search.study import Study, make_study, search_folder
from dlkd.registry import default_registry, load_registry
from dlkd.training import PRESETS

REGISTRY = default_registry()
EXAMPLE = Path(__file__).parents[3] / "examples" / "my_search.yaml"


def test_the_report_says_how_to_go_on(
    usual_setting: Mapping[str, Any], tried: Callable[..., Tried], tmp_path: Path, make_study_of: Callable[..., Study]
) -> None:
    file = find_search(str(EXAMPLE), REGISTRY)
    assert file is not None
    file = file.model_copy(
        update={"search": make_study_of().search, "datasets": ("textures",), "categories": ("brick",)}
    )
    file = file.settle("demo", None, None, PRESETS["demo"].train.model_copy(update={"max_steps": 50}))
    trials = [
        tried(1, 0.02, 0.5, 0.6, 0.7),
        tried(2, 0.013, 0.6, 0.7, 0.8),
        tried(3, 0.01, 0.9, status="stopped"),
        Tried(
            4, {**usual_setting, "optimizer.lr": 0.1}, "diverged", trials_rung(0.0), "the loss is not finite at step 3"
        ),
        Tried(5, {**usual_setting, "optimizer.lr": 0.05}, "failed", (), "OSError: no | space"),
    ]
    write_found(SearchReport(search_trials(trials, file), file, trial_key(usual_setting), "--import mine.py"), tmp_path)
    report = read_found(tmp_path)
    assert list(report.trials["number"]) == [2, 1, 3, 4, 5]
    assert math.isnan(report.trials["rung_2"][2])
    assert {p.name for p in report.write(tmp_path)} == {"search.png", "search.md", "best.yaml", "best_grid.yaml"}

    registry = load_registry(tmp_path / "best.yaml")
    assert registry.resolve("best")["loss"]["alpha"] == 0.013
    grid = load_grid(str(tmp_path / "best_grid.yaml"))
    cells = make_cells(grid, REGISTRY, [(REGISTRY.complete("dataset", "textures"), ["brick"])], [0], PRESETS["demo"])
    usual = (0.02, 0.002)
    assert [(c.spec.model["loss"]["alpha"], c.spec.model["optimizer"]["lr"]) for c in cells] == [usual, (0.013, 0.005)]
    assert (grid.datasets, grid.categories, grid.train) == (("textures",), ("brick",), {"max_steps": 50})
    assert report.commands(Path("out")) == [
        "dlkd ablate out/best_grid.yaml --seeds 3 --import mine.py",
        "dlkd train best --registry out/best.yaml --import mine.py --preset demo --dataset textures --category brick "
        "--set train.max_steps=50",
    ]
    assert report.in_short() == (
        "Points: Image-AUROC on validation images against each parameter. The best of 2 trained to their end: 80.00 "
        "with loss.alpha 0.013, decoder.local.split spatial and optimizer.lr 0.005; the lowest: 70.00."
    )
    assert f"\n![{report.in_short()}](search.png)\n" in (tmp_path / "search.md").read_text()
    text = io.StringIO()
    Console(file=text, width=200).print(report)
    for said in (text.getvalue(), (tmp_path / "search.md").read_text()):
        assert "2 trained to the end, 1 stopped behind the others, 1 diverged and 1 failed" in said
        assert "Trial 1 is dlkd-lfrb without changes" in said
        assert "no test image" in said.lower()
    assert r"failed: OSError: no \| space" in (tmp_path / "search.md").read_text()


def trials_rung(score: float) -> tuple[dict[str, Any], ...]:
    return ({"score": score, "scores": {}, "steps": {}, "seconds": 1.0, "note": ""},)


def test_a_report_without_a_winner_has_no_best(
    tried: Callable[..., Tried], tmp_path: Path, make_study_of: Callable[..., Study]
) -> None:
    file = find_search(str(EXAMPLE), REGISTRY)
    assert file is not None
    file = file.model_copy(update={"search": make_study_of().search})
    report = SearchReport(search_trials([tried(1, 0.02, 0.5, status="stopped")], file), file)
    assert {p.name for p in report.write(tmp_path)} == {"search.png", "search.md"}
    assert report.commands(tmp_path) == []
    alternative = "Points: Image-AUROC on validation images against each parameter."
    assert f"\n![{alternative}](search.png)\n" in (tmp_path / "search.md").read_text()


def test_the_command_line_reports_what_is_finished(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """All trials stand in the store already, so nothing runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    space = {"loss.alpha": {"log": [0.001, 0.1]}, "optimizer.lr": {"log": [0.001, 0.1]}}
    said = {"title": "t", "datasets": [str(tiny_folder)], "search": {"variant": "dlkd", "space": space, "trials": 2}}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(said))

    def type_in(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["dlkd", *words])
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        return code, *capfd.readouterr()

    code, out, err = type_in("ablate", "s.yaml", "--steps", "5", "--dry-run")
    assert code == 0, err
    assert "2 trials, 0 of them done; compared after 11%, 33%, 100% of the training" in out
    assert f"{tiny_folder.name}/disc" in out

    file = find_search("s.yaml", REGISTRY)
    assert file is not None
    demo = PRESETS["demo"]
    chosen = demo.model_copy(update={"train": demo.train.model_copy(update={"max_steps": 5})})
    node = REGISTRY.complete("dataset", {"name": "folder", "root": str(tiny_folder)})
    study = make_study(file.search, REGISTRY, [(node, ["disc"])], chosen)
    for i, alpha in enumerate((0.002, 0.004)):
        parameters = {"loss.alpha": alpha, "optimizer.lr": 0.005}
        own = search_folder(study, REGISTRY, tmp_path / "runs" / "trials") / trial_key(parameters)
        own.mkdir(parents=True)
        (own / "parameters.json").write_text(json.dumps({"number": i + 1, "parameters": parameters}))
        rungs = [{"score": 0.5 + alpha, "scores": {}, "steps": {}, "seconds": 1.0, "note": ""}] * 3
        (own / "result.json").write_text(json.dumps({"status": "done", "rungs": rungs, "reason": ""}))
    code, out, err = type_in("ablate", "s.yaml", "--steps", "5", "--out", "found")
    assert code == 0, err
    assert "2 already done, 0 to run" in err
    assert "next: dlkd train best --registry found/best.yaml" in err
    assert yaml.safe_load(Path("found/best.yaml").read_text())["variants"]["best"]["loss"] == {"alpha": 0.004}

    Path("found/search.md").unlink()
    code, again, err = type_in("report", "found")
    assert code == 0, err
    assert again == out
    assert Path("found/search.md").exists()
    for wrong in (["s.yaml", "table4"], ["s.yaml", "--seeds", "2"]):
        code, _, err = type_in("ablate", *wrong)
        assert code == 2
        assert "a search runs by itself" in err
