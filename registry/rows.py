"""Rows of registry.yaml: each states a component's contract and its defaults."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pydantic

from dlkd.contract import LAWS, Rule, Shape
from dlkd.registry.problems import KeyPath, nearest

PRESETS = ("paper", "demo")
"""Names of the presets; `dlkd.training` holds what each one is."""


class RowPreset(pydantic.BaseModel):
    """The arguments of a preset for a model; they apply unless something else sets them.

    Attributes:
        model: arguments of the model.
        train: arguments of the training.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    model: dict[str, Any] = {}
    train: dict[str, Any] = {}


class Row(pydantic.BaseModel):
    """A component's row in registry.yaml.

    Attributes:
        shape: einops-style contract, see `dlkd.contract.Shape`.
        requires: rule on each axis, see `dlkd.contract.Rule`.
        defaults: arguments that a variant does not set.
        slots: arguments that take another component, with its kind. "loss*" takes any number of losses, under names
            that the user chooses.
        given: arguments that the enclosing component gives, with the axes (or numbers) a check gives them.
        follows: arguments that depend on the value of another one, as weights depend on their backbone: the preset's
            value of an argument is dropped if the user sets the other one to another value.
        check_with: arguments for the contract check only, such as a small backbone.
        presets: what each preset of the training means for this component, where it is a model.
        shown: what reports say that a model was measured with, each with the path of the argument in a variant:
            {teacher: teacher.backbone}.
        expected_failures: laws of the contract that the component cannot keep, each with the reason.
    """

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)

    shape: str | None = None
    requires: dict[str, str] = {}
    defaults: dict[str, Any] = {}
    slots: dict[str, str] = {}
    given: dict[str, Any] = {}
    follows: dict[str, str] = {}
    check_with: dict[str, Any] = {}
    presets: dict[str, RowPreset] = {}
    shown: dict[str, str] = {}
    expected_failures: dict[str, str] = {}

    @pydantic.field_validator("shape")
    @classmethod
    def _shape_parses(cls, text: str | None) -> str | None:
        if text is not None:
            Shape.parse(text)
        return text

    @pydantic.field_validator("requires")
    @classmethod
    def _rules_parse(cls, rules: dict[str, str]) -> dict[str, str]:
        for rule in rules.values():
            Rule(rule)
        return rules

    @pydantic.field_validator("presets")
    @classmethod
    def _presets_exist(cls, presets: dict[str, RowPreset]) -> dict[str, RowPreset]:
        for name in presets:
            if name not in PRESETS:
                raise ValueError(f"unknown preset '{name}'{nearest(name, PRESETS)}")
        return presets

    @pydantic.field_validator("expected_failures")
    @classmethod
    def _laws_exist(cls, expected: dict[str, str]) -> dict[str, str]:
        for law, reason in expected.items():
            if law not in LAWS:
                raise ValueError(f"unknown law '{law}'{nearest(law, LAWS)}")
            if not reason.strip():
                raise ValueError(f"'{law}' needs the reason why it is expected to fail")
        return expected


MANY = "*"
"""Ends the kind of a slot that takes several components by name."""


def inner_nodes(row: Row, node: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any], KeyPath]]:
    """Kind, node and path of each component in the slots of a complete node."""
    for key, slot in row.slots.items():
        inside = node.get(key)
        if isinstance(inside, dict) and slot.endswith(MANY):
            yield from ((slot.removesuffix(MANY), each, (key, name)) for name, each in inside.items())
        elif isinstance(inside, dict):
            yield slot, inside, (key,)


def words(value: Any) -> list[str]:
    """Every text in nested lists: the axes that a `given:` entry names."""
    if isinstance(value, list):
        return [word for item in value for word in words(item)]
    return [value] if isinstance(value, str) else []


def at(node: Any, path: str) -> Any:
    """The value of a node at a path such as "teacher.backbone". Raises KeyError if there is none."""
    for key in path.split("."):
        if not isinstance(node, Mapping):
            raise KeyError(path)
        node = node[key]
    return node


def row_of(rows: Mapping[str, Row], kind: str, name: str) -> Row:
    """The row of `kind/name`; an empty one for a component that no file describes."""
    return rows.get(f"{kind}/{name}", Row())


def example_value(spec: Any, row: Row, names: Mapping[str, int] | None = None) -> Any:
    """A number for a `given:` entry: an axis' size in `names` (default: a size its rule allows), or itself."""
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        return [example_value(s, row, names) for s in spec]
    if isinstance(spec, str):
        if names is not None:
            return names[spec]
        return next((c for c in (64, 48, 3, 1) if Rule(row.requires.get(spec, ">= 1")).holds(c)), 64)
    return spec
