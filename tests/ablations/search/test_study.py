"""A study: where its parameters go, and which searches are the same."""

import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from dlkd.ablations.plan.tuning import Parameter
from dlkd.ablations.search.records import trial_key
from dlkd.ablations.search.study import Study
from dlkd.registry import default_registry, load_registry
from dlkd.training import TrainConfig

REGISTRY = default_registry()


def test_parameters_reach_model_and_training(
    usual_space: Mapping[str, Parameter], usual_setting: Mapping[str, Any], make_study_of: Callable[..., Study]
) -> None:
    study = make_study_of()
    node, train = study.settings({**usual_setting, "decoder.local.split": "channel", "optimizer.lr": 0.07}, REGISTRY)
    assert node["decoder"]["local"]["split"] == "channel"
    assert node["teacher"]["backbone"] == "test_resnet"
    assert node["optimizer"]["lr"] == 0.07
    assert train == TrainConfig(image_size=32, batch_size=2, epochs=6)
    assert study.usual(REGISTRY) == usual_setting
    assert make_study_of(space={**usual_space, "loss.beta": Parameter(log=(1, 2))}).usual(REGISTRY) is None


def test_a_longer_search_is_the_same_and_another_is_not(make_study_of: Callable[..., Study]) -> None:
    same = make_study_of().key(REGISTRY)
    assert make_study_of(trials=50).key(REGISTRY) == same
    for other in ({"seed": 1}, {"metric": "pro"}, {"rungs": 2}, {"space": {"loss.beta": Parameter(log=(1, 2))}}):
        assert make_study_of(**other).key(REGISTRY) != same


@pytest.mark.parametrize(
    ("name", "one", "other"),
    [
        ("train.image_size", (64, [64, 96]), ([64, 64], "64x96")),
        ("train.pro_limit", (0.5, 1), (0.5, 1.0)),
        ("sigma", (2, 4), (2.0, 4.0)),
    ],
)
def test_a_search_is_the_same_however_its_values_are_written(
    make_study_of: Callable[..., Study], name: str, one: tuple[Any, ...], other: tuple[Any, ...]
) -> None:
    studies = [make_study_of(space={name: Parameter(choice=choice)}) for choice in (one, other)]
    assert studies[0].key(REGISTRY) == studies[1].key(REGISTRY)
    firsts, seconds = ([trial_key({name: v}) for v in study.search.space[name].values] for study in studies)
    assert firsts == seconds
    assert firsts[0] != firsts[1]


def test_a_search_is_the_same_by_another_name_of_its_variant(
    make_study_of: Callable[..., Study], tmp_path: Path
) -> None:
    (tmp_path / "mine.yaml").write_text("variants: {mine: {extends: dlkd-lfrb}, other: {extends: mine, sigma: 3}}")
    registry = load_registry(tmp_path / "mine.yaml")
    space = {"optimizer.lr": Parameter(log=(0.001, 0.1))}
    keys = [
        make_study_of(registry=registry, variant=name, space=space).key(registry)
        for name in ("dlkd-lfrb", "mine", "other")
    ]
    assert keys[0] == keys[1] != keys[2]


def test_a_search_is_the_same_where_its_data_are(
    tiny_folder: Path, tmp_path: Path, make_study_of: Callable[..., Study]
) -> None:
    moved = tmp_path / "moved"
    shutil.copytree(tiny_folder, moved)
    weights = [tmp_path / f"{i}.pth" for i in range(3)]
    for path, said in zip(weights, "aab", strict=True):
        path.write_text(said)

    def key(folder: Path, first: int) -> str:
        space = {"teacher.weights": Parameter(choice=(str(weights[first]), "random"))}
        return make_study_of(folder, space=space).key(REGISTRY)

    same = key(tiny_folder, 0)
    assert key(moved, 1) == same
    assert key(moved, 2) != same
    shutil.copy(moved / "disc/train/good/000.png", moved / "disc/train/good/001.png")
    assert key(moved, 1) != same
