"""What tables call a dataset: short, and never one name for two."""

from typing import Any

import pytest

from dlkd.data.label import dataset_label, dataset_labels
from dlkd.registry import default_registry


def node(name: str, **arguments: Any) -> dict[str, Any]:
    return default_registry().complete("dataset", {"name": name, **arguments})


@pytest.mark.parametrize(
    ("said", "label"),
    [
        (node("textures"), "textures"),
        (node("textures", seed=0), "textures"),
        (node("textures", seed=1), "textures,seed=1"),
        (node("textures", seed=1, root="/elsewhere"), "textures,seed=1"),
        (node("elpv", uncertain="round", train_limit=9), "elpv,train_limit=9,uncertain=round"),
        (node("mvtec", root="/data/mvtec"), "mvtec"),
        (node("folder", root="/data/my parts"), "my parts"),
        (node("folder", root="/data/my parts/"), "my parts"),
        (node("folder", root="/"), "/"),
    ],
)
def test_a_label_says_what_is_not_the_default(said: dict[str, Any], label: str) -> None:
    assert dataset_label(said) == label


def test_two_datasets_never_share_a_label() -> None:
    nodes = [
        node("folder", root="/a/left/wood"),
        node("folder", root="/a/right/wood"),
        node("folder", root="/a/left/wood"),
        node("folder", root="/b/textures"),
        node("textures"),
        node("mvtec", root="/old/mvtec"),
        node("mvtec", root="/new/mvtec"),
        node("folder", root="/x/y/z"),
        node("folder", root="/w/y/z"),
        node("folder", root="/metal"),
    ]
    assert dataset_labels(nodes) == [
        "left/wood",
        "right/wood",
        "left/wood",
        "b/textures",
        "textures",
        "mvtec:old/mvtec",
        "mvtec:new/mvtec",
        "x/y/z",
        "w/y/z",
        "metal",
    ]
