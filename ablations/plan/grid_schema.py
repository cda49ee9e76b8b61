"""The JSON schema of grid files, with which editors complete and check them."""

from __future__ import annotations

from typing import Any

from dlkd.ablations.plan.grid import TOTAL, Grid
from dlkd.training import METRICS, PRESETS, TrainConfig

WRITTEN_BY_RUNS = ("added_to", "tuned")
"""Fields of a grid that stand in the folders of runs alone."""
TEXT = {"type": ["string", "number", "boolean"]}
"""`label: 16` is the text "16"."""


def grid_schema() -> dict[str, Any]:
    """Schema (draft 2020-12) of a file with `rows:`, or with `factors:` of which rows are made.

    Variants and their arguments are not in it, since a user's own registry files add to them.
    """
    schema = Grid.model_json_schema()
    definitions = schema.pop("$defs")
    known = {key: value for key, value in schema["properties"].items() if key not in WRITTEN_BY_RUNS}
    row = definitions["GridRow"]["properties"]
    metric = {"enum": list(METRICS)}
    figure = {"type": "number", "minimum": 0, "maximum": 100}
    figures = {"anyOf": [figure, {"type": "object", "additionalProperties": figure}]}
    train = _train()
    row |= {
        "label": TEXT,
        "train": {"$ref": "#/$defs/train"},
        "paper": {"type": "object", "propertyNames": metric, "additionalProperties": figures},
        "factors": {"type": "object", "additionalProperties": TEXT},
        "narrowed": {"type": "object", "propertyNames": {"enum": list(PRESETS)}, "additionalProperties": TEXT},
        "host": TEXT,
    }
    known |= {
        "title": TEXT,
        "source": TEXT,
        "variant": {"type": "string", "description": "what the levels of `factors:` are laid on"},
        "factors": {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": "object", "minProperties": 2, "additionalProperties": _level()},
            "description": "factors by name, with levels by name, with what each overrides: {depth: {1: {}, 2: {}}}",
        },
        "exclude": {"type": ["array", "null"], "items": {"$ref": "#/$defs/levels"}},
        "reference": {"anyOf": [TEXT, {"$ref": "#/$defs/levels"}]},
        "segmented": {"type": "array", "items": TEXT},
        "metrics": {"type": "array", "minItems": 1, "items": metric},
        "primary": metric,
        "datasets": {"type": "array", "items": TEXT},
        "categories": {"type": "array", "items": TEXT},
        "groups": {
            "type": "object",
            "propertyNames": {"not": {"const": TOTAL}},
            "additionalProperties": {"type": "array", "minItems": 1, "uniqueItems": True, "items": TEXT},
        },
        "preset": {"enum": list(PRESETS)},
        "train": {"$ref": "#/$defs/train"},
    }
    own = dict.fromkeys(("factors", "variant", "exclude"), False)
    hosts = {"contains": {"required": ["host"]}}
    of_rows = {"required": ["rows", "reference"], "properties": {**own, "rows": {"not": hosts}}}
    of_hosts = {"required": ["rows"], "properties": {**own, "reference": False, "stepwise": False, "rows": hosts}}
    of_factors = {"required": ["factors", "reference"], "properties": {"rows": False}}
    levels = {"type": "object", "minProperties": 1, "additionalProperties": TEXT}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "DLKD grid",
        "type": "object",
        "additionalProperties": False,
        "properties": known,
        "required": ["title"],
        "oneOf": [of_rows, of_hosts, of_factors],
        "$defs": {**definitions, **train.pop("$defs", {}), "train": train, "levels": levels},
    }


def _train() -> dict[str, Any]:
    schema = TrainConfig.model_json_schema()
    schema["properties"]["image_size"]["anyOf"].append({"type": "string", "pattern": "^[0-9]+(x[0-9]+)?$"})
    return schema


def _level() -> dict[str, Any]:
    """What a level overrides: a variant, training, and arguments of the model, of any names."""
    special = {"train": {"$ref": "#/$defs/train"}, "variant": {"type": "string"}}
    return {"type": ["object", "null"], "properties": special}
