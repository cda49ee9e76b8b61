"""Suggestions and early stopping go on from what a resumed search knows."""

from collections.abc import Callable, Mapping
from typing import Any

from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.search.records import Tried
from dlkd.ablations.search.study import Study
from dlkd.ablations.search.suggestions import Suggestions, halving
from dlkd.registry import default_registry

REGISTRY = default_registry()


def test_suggestions_go_on_from_what_is_known(
    usual_setting: Mapping[str, Any], tried: Callable[..., Tried], make_study_of: Callable[..., Study]
) -> None:
    study = make_study_of()
    known = [tried(1, 0.02, 0.5, 0.6, 0.7), tried(2, 0.01, 0.4, status="stopped"), tried(3, 0.05, status="unfinished")]
    fresh, resumed = (Suggestions(study, t, REGISTRY) for t in ([], known))
    first = [fresh.suggest(str(i)) for i in range(4)]
    assert first[0]["parameters"] == {**usual_setting, "decoder.local.split": '"spatial"'}  # the variant as it is
    again = [resumed.suggest(str(i)) for i in range(4)]
    assert again[0]["key"] == known[2].key
    assert not {a["key"] for a in again} & {*(t.key for t in known[:2]), *(f["key"] for f in first)}
    states = [t.state.name for t in resumed._study.trials[:2]]
    assert states == ["COMPLETE", "PRUNED"]

    resumed.on_trial_result("0", {"score": 0.5, "rung": 1})
    resumed.on_trial_complete("0", {"score": 0.6, "rung": 2, "status": ""})
    resumed.on_trial_complete("1", {"score": 0.8, "rung": 3, "status": "done"})
    resumed.on_trial_complete("2", error=True)
    ended = {t.params["loss.alpha"]: t for t in resumed._study.trials}
    live = [ended[a["parameters"]["loss.alpha"]] for a in again[:3]]
    assert [t.state.name for t in live] == ["PRUNED", "COMPLETE", "FAIL"]
    assert live[0].intermediate_values == {1: 0.5, 2: 0.6}
    assert resumed._study.best_value == 0.8


def test_a_small_space_ends(make_study_of: Callable[..., Study]) -> None:
    space = {"decoder.local.split": Parameter(choice=("spatial", "channel"))}
    suggestions = Suggestions(make_study_of(space=space), [], REGISTRY)
    keys = [suggestions.suggest(str(i)) for i in range(3)]
    assert keys[2] == "FINISHED"
    assert {k["parameters"]["decoder.local.split"] for k in keys[:2]} == {'"spatial"', '"channel"'}


def test_halving_knows_the_finished(tried: Callable[..., Tried], make_study_of: Callable[..., Study]) -> None:
    search = make_study_of().search
    known = [tried(i, 0.01 * i, 0.9, 0.9, 0.9) for i in range(1, 4)]
    for finished, decision in (([], "CONTINUE"), (known, "STOP")):
        scheduler = halving(search, finished)
        fresh = type("Trial", (), {"trial_id": "x"})()
        scheduler.on_trial_add(None, fresh)
        assert scheduler.on_trial_result(None, fresh, {"resource": 1, "score": 0.5}) == decision
    assert scheduler.on_trial_result(None, fresh, {"resource": 9, "score": 1.0}) == "STOP"
