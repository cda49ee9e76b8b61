"""A search runs, goes on after a loss, and is found elsewhere."""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from rich.console import Console

from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.search.records import RUNGS, Tried, read_tried
from dlkd.ablations.search.runner import run_search
from dlkd.ablations.search.study import Study, search_folder
from dlkd.registry import default_registry

REGISTRY = default_registry()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # Ray's own: unclosed sockets and files of its processes
def test_a_search_runs_goes_on_and_is_found_elsewhere(
    usual_space: Mapping[str, Parameter],
    usual_setting: Mapping[str, Any],
    tmp_path: Path,
    make_study_of: Callable[..., Study],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    space = {**usual_space, "optimizer.lr": Parameter(choice=(0.005, 1e30))}
    pool = Pool(workers=2, storage=str(tmp_path / "there"))
    study = make_study_of(trials=4, space=space)

    def run(study: Study, store: Path) -> tuple[str, list[Tried]]:
        text = io.StringIO()
        run_search(study, REGISTRY, store, pool, Console(file=text, width=300))
        return text.getvalue(), read_tried(search_folder(study, REGISTRY, store))

    said, found = run(study, tmp_path / "store")
    assert len(found) == 4
    assert all(t.finished for t in found)
    assert usual_setting in [t.parameters for t in found[:2]]  # the variant as it is is among the first
    assert "of 4, rung 3 of 3: Image-AUROC" in said
    for t in found:
        own = search_folder(study, REGISTRY, tmp_path / "store") / t.key
        assert {p.name for p in own.iterdir()} == {"parameters.json", RUNGS, "result.json"}  # no checkpoint is left
        assert (t.status == "diverged") == (t.parameters["optimizer.lr"] == 1e30)

    # One that lost its result and its later rungs is taken up again, before anything new is tried.
    lost = next(t for t in found if t.status == "done")
    own = search_folder(study, REGISTRY, tmp_path / "store") / lost.key
    (own / "result.json").unlink()
    (own / RUNGS).write_text(json.dumps(json.loads((own / RUNGS).read_text())[:1]))
    (tmp_path / "there" / own.parent.name / lost.key / "result.json").unlink()
    said, longer = run(make_study_of(trials=5, space=space), tmp_path / "store")
    assert "3 already done, 2 to run" in said
    assert len(longer) == 5
    again = next(t for t in longer if t.key == lost.key)
    assert [r["score"] for r in again.rungs] == [r["score"] for r in lost.rungs[: len(again.rungs)]]

    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    said, elsewhere = run(make_study_of(trials=5, space=space), tmp_path / "another store")
    assert "5 already done, 0 to run" in said
    assert elsewhere == longer
    assert yaml.safe_load((tmp_path / "another store" / own.parent.name / lost.key / "result.json").read_text())
