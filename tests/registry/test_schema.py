"""The JSON schema of registry files: takes what the registry takes, refuses what it refuses."""

import json

import pytest
import yaml
from jsonschema import Draft202012Validator

from dlkd.registry import ConfigError, default_registry, list_components, list_variants, load_registry
from dlkd.registry.schema import registry_schema


@pytest.fixture(scope="module")
def schema():
    return registry_schema(default_registry())


@pytest.fixture(scope="module")
def validator(schema):
    return Draft202012Validator(schema)


def registry_takes(text, tmp_path) -> bool:
    (tmp_path / "mine.yaml").write_text(text)
    try:
        load_registry(tmp_path / "mine.yaml")
    except ConfigError:
        return False
    return True


def test_it_is_a_schema_and_json(schema):
    Draft202012Validator.check_schema(schema)
    assert json.loads(json.dumps(schema)) == schema


def test_the_packaged_file_is_valid(validator):
    import importlib.resources

    text = importlib.resources.files("dlkd").joinpath("registry.yaml").read_text(encoding="utf-8")
    assert [e.message for e in validator.iter_errors(yaml.safe_load(text))] == []


@pytest.mark.parametrize("variant", list_variants())
def test_resolved_variants_are_valid(validator, variant):
    """What `dlkd show` prints can be put into a file again."""
    validator.validate({"variants": {"mine": default_registry().resolve(variant)}})


VALID = [
    "{}",
    "{extends: dlkd}",
    "{model: dlkd, sigma: 2}",
    "{extends: dlkd, refiner: none}",
    "{extends: dlkd, refiner: null, decoder: {global: none}}",
    "{extends: dlkd, refiner: prl}",
    "{extends: dlkd, refiner: {depth: 3}}",
    "{extends: dlkd, refiner: {name: prl, local: {patches: 16}}}",
    "{extends: dlkd, refiner: {local: gfrb}}",
    "{extends: dlkd, decoder: {local: {name: lfrb, norm: none, act: {name: gelu}}}}",
    "{extends: dlkd, teacher: {backbone: resnet34, stages: [1, 2, 3]}}",
    "{extends: dlkd, loss: {contrast: none, ckd: {}}}",
    "{extends: dlkd, loss: {contrast: {margin: 0.1}}, fusion: {out_channels: null}}",
]

INVALID = [
    "3",
    "{extends: 3}",
    "{extends: dlkd, sigmma: 1.0}",
    "{extends: dlkd, sigma: wide}",
    "{extends: dlkd, map_use: flows}",
    "{extends: dlkd, model: dlkdd}",
    "{extends: dlkd, teacher: none}",
    "{extends: dlkd, teacher: {stages: 3}}",
    "{extends: dlkd, refiner: plr}",
    "{extends: dlkd, refiner: {name: plr}}",
    "{extends: dlkd, refiner: {name: prl, depht: 3}}",
    "{extends: dlkd, refiner: {name: prl, depth: two}}",
    "{extends: dlkd, refiner: {name: prl, channels: 8}}",
    "{extends: dlkd, decoder: {name: coarse, local: {name: lfrb, pathces: 4}}}",
    "{extends: dlkd, loss: {name: total, contrast: ckdd}}",
    # the name left out, so that the default component's arguments hold
    "{extends: dlkd, refiner: {depht: 3}}",
    "{extends: dlkd, refiner: {depth: two}}",
    "{extends: dlkd, decoder: {local: {pathces: 4}}}",
    "{extends: dlkd, loss: {contrast: {margin: wide}}}",
]


@pytest.mark.parametrize("text", VALID)
def test_what_the_registry_takes_is_valid(validator, tmp_path, text):
    assert registry_takes(f"variants: {{mine: {text}}}", tmp_path)
    assert [e.message for e in validator.iter_errors({"variants": {"mine": yaml.safe_load(text)}})] == []


@pytest.mark.parametrize("text", INVALID)
def test_what_the_registry_refuses_is_invalid(validator, tmp_path, text):
    assert not registry_takes(f"variants: {{mine: {text}}}", tmp_path)
    assert not validator.is_valid({"variants": {"mine": yaml.safe_load(text)}})


@pytest.mark.parametrize(
    "text",
    [
        "block/gfrb: {shap: b -> b}",
        "block/gfrb: {shape: 3}",
        "block/gfrb: {requires: {c: 4}}",
        "block/gfrb: {defaults: 3}",
        "block/gfbr: {}",
    ],
)
def test_wrong_rows_are_invalid(validator, text):
    assert not validator.is_valid({"components": yaml.safe_load(text)})


def test_unknown_sections_are_invalid(validator):
    assert not validator.is_valid({"varaints": {}})


def test_editors_can_complete_every_name_and_show_defaults(schema):
    text = json.dumps(schema)
    assert all(f'"{name}"' in text for name in list_components())
    assert all(f'"{name.split("/")[1]}"' in text for name in list_components() if not name.startswith("scan/"))
    variant = json.dumps(schema["properties"]["variants"])
    assert '"default": 4.0' in variant
    assert '"flow"' in variant
