"""The JSON schema of registry files, made from the constructors' signatures."""

from __future__ import annotations

import inspect
from typing import Any

from dlkd.registry.components import get, list_components
from dlkd.registry.nodes import VARIANT_KIND, name_key, python_name
from dlkd.registry.resolve import Registry
from dlkd.registry.rows import MANY, Row
from dlkd.registry.signatures import PLAIN_KINDS, arguments, optional, type_adapter, type_hints


def registry_schema(registry: Registry) -> dict[str, Any]:
    """Schema (draft 2020-12) of a file with `components:` and `variants:`; names and types are those known here."""
    kinds = sorted({name.split("/")[0] for name in list_components()})
    definitions = {kind: _kind(registry, kind) for kind in kinds}
    variant = {
        "anyOf": [
            {**_node(registry, VARIANT_KIND, name), "description": f"a variant of {VARIANT_KIND}/{name}"}
            for name in list_components(VARIANT_KIND)
        ]
    }
    for option in variant["anyOf"]:
        option["properties"]["extends"] = {
            "type": "string",
            "description": "another variant, laid under this one",
        }
    row = Row.model_json_schema()
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "DLKD registry",
        "type": "object",
        "additionalProperties": False,
        "properties": {
            "default_model": {"type": "string"},
            "components": {
                "type": "object",
                "additionalProperties": False,
                "properties": {name: {"$ref": "#/$defs/row"} for name in list_components()},
            },
            "variants": {"type": "object", "additionalProperties": variant},
        },
        "$defs": {"row": row, **row.pop("$defs", {}), **definitions},
    }


def _kind(registry: Registry, kind: str) -> dict[str, Any]:
    names = list_components(kind)
    used = {slot.removesuffix(MANY) for row in registry.rows.values() for slot in row.slots.values()}
    # Datasets and scan backends stand in no registry file but by name; only slots take arguments there.
    # Inside a slot the name may be left out: the default component's arguments alone are enough.
    nodes = [_node(registry, kind, name) for name in names] if kind in used else []
    return {"anyOf": [{"enum": names}, *nodes]}


def _node(registry: Registry, kind: str, name: str) -> dict[str, Any]:
    """A component as a mapping; its name may be left out unless it asks for arguments that have no default."""
    component, row = get(kind, name), registry.row(kind, name)
    hints = type_hints(component)
    properties: dict[str, Any] = {name_key(kind): {"const": name}}
    known = {} if kind in PLAIN_KINDS else arguments(component, row)
    for key, parameter in known.items():
        if key in row.slots and row.slots[key].endswith(MANY):
            each = {"anyOf": [{"$ref": f"#/$defs/{row.slots[key].removesuffix(MANY)}"}, {"enum": ["none", None]}]}
            named = {"type": "object", "additionalProperties": each}
            properties[key] = {"anyOf": [named, {"enum": ["none", None]}]}
        elif key in row.slots:
            options: list[dict[str, Any]] = [{"$ref": f"#/$defs/{row.slots[key]}"}]
            properties[key] = {"anyOf": options + ([{"enum": ["none", None]}] if optional(parameter) else [])}
        else:
            properties[key] = type_adapter(hints.get(python_name(key), Any)).json_schema()
        if key in row.defaults:
            properties[key]["default"] = row.defaults[key]
    required = [k for k, p in known.items() if p.default is inspect.Parameter.empty and k not in row.defaults]
    schema: dict[str, Any] = {"type": "object", "additionalProperties": False, "properties": properties}
    if required:
        schema["required"] = [name_key(kind), *required]
    return schema
