"""PyYAML's nodes: read with YAML 1.2's numbers, their plain values, and mappings that `<<:` merges."""

from __future__ import annotations

import re
from typing import Any

import yaml

MERGE = "tag:yaml.org,2002:merge"

_NUMBERS = {
    "int": r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|(0|[1-9][0-9]*)(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}


def _resolvers() -> dict[str, list[tuple[str, re.Pattern[str]]]]:
    kept = {
        first: [(tag, rule) for tag, rule in rules if tag.rpartition(":")[2] in ("bool", "null", "merge")]
        for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }
    for name, rule in _NUMBERS.items():
        for first in "-+.0123456789":
            kept.setdefault(first, []).append((f"tag:yaml.org,2002:{name}", re.compile(f"^(?:{rule})$")))
    return kept


class Loader(yaml.SafeLoader):
    """PyYAML's safe loader with YAML 1.2's numbers: 1e-2 is one; 012, 1_000, 12:30 and dates are text."""

    yaml_implicit_resolvers = _resolvers()


class OwnLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The same on libyaml, ten times as fast; a user's file is not read by it, as its messages say less."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers


class Dumper(yaml.SafeDumper):
    """Quotes text that `Loader` would read as another type."""

    yaml_implicit_resolvers = Loader.yaml_implicit_resolvers


def merged(node: yaml.Node, chain: tuple[int, ...] = ()) -> list[tuple[str, yaml.ScalarNode, yaml.Node]]:
    """Keys of the mappings that `<<:` names; if several have a key, the first one wins, as in YAML."""
    if id(node) in chain:
        raise RecursionError
    chain = (*chain, id(node))
    if isinstance(node, yaml.SequenceNode):
        found: dict[str, tuple[str, yaml.ScalarNode, yaml.Node]] = {}
        for child in node.value:
            if not isinstance(child, yaml.MappingNode):
                raise _no_mapping(child)
            for entry in merged(child, chain):
                found.setdefault(entry[0], entry)
        return list(found.values())
    if not isinstance(node, yaml.MappingNode):
        raise _no_mapping(node)
    entries: dict[str, tuple[str, yaml.ScalarNode, yaml.Node]] = {}
    for key_node, value_node in node.value:
        if not isinstance(key_node, yaml.ScalarNode):
            raise yaml.constructor.ConstructorError(None, None, "a key must be a name", key_node.start_mark)
        if key_node.tag == MERGE:
            for entry in merged(value_node, chain):
                entries.setdefault(entry[0], entry)
    for key_node, value_node in node.value:
        if key_node.tag != MERGE:
            entries[key_node.value] = (key_node.value, key_node, value_node)
    return list(entries.values())


def _no_mapping(node: yaml.Node) -> yaml.MarkedYAMLError:
    message = "'<<' merges a mapping or a list of mappings, such as `<<: *base`"
    return yaml.constructor.ConstructorError(None, None, message, node.start_mark)


def refuse_tag(node: yaml.Node, kind: str) -> None:
    """Refuse a mapping or sequence with a tag, such as the tags of Python objects."""
    if node.tag != f"tag:yaml.org,2002:{kind}":
        message = f"could not determine a constructor for the tag {node.tag!r}"
        raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)


def scalar(node: yaml.Node) -> Any:
    """The plain value of a scalar, through PyYAML's safe constructors."""
    constructor = Loader("")
    try:
        value = node.value if node.tag == MERGE else constructor.construct_document(node)
    except yaml.YAMLError:
        raise
    except Exception as error:  # what a tag calls a date or a number and is none: PyYAML checks little
        kind = node.tag.rpartition(":")[2]
        said = f"{node.value!r}: {error}" if isinstance(error, ValueError) else f"{node.value!r} is no {kind}"
        raise yaml.constructor.ConstructorError(None, None, said, node.start_mark) from error
    finally:
        constructor.dispose()
    if value is not None and not isinstance(value, str | int | float):
        message = f"a value is text, a number, true, false or null, not {node.tag.rpartition(':')[2]}"
        raise yaml.constructor.ConstructorError(None, None, message, node.start_mark)
    return value
