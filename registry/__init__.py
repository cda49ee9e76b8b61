"""The registry: components by name, and the one place that turns YAML into objects.

Components register themselves with `@register(kind, name)`; `registry.yaml` gives each its contract and its defaults,
and composes them into variants. YAML holds names only, never an import path.
"""

from dlkd.registry.components import (
    component_files,
    component_starts,
    get,
    list_components,
    load_components,
    load_file,
    load_same,
    register,
)
from dlkd.registry.files import create_model, default_registry, list_variants, load_registry, read_registry
from dlkd.registry.nodes import Node, merge, name_key, weightless
from dlkd.registry.problems import ConfigError
from dlkd.registry.resolve import Registry
from dlkd.registry.rows import Row, example_value, inner_nodes
from dlkd.registry.signatures import arguments, type_hints

__all__ = [
    "ConfigError",
    "Node",
    "Registry",
    "Row",
    "arguments",
    "component_files",
    "component_starts",
    "create_model",
    "default_registry",
    "example_value",
    "get",
    "inner_nodes",
    "list_components",
    "list_variants",
    "load_components",
    "load_file",
    "load_registry",
    "load_same",
    "merge",
    "name_key",
    "read_registry",
    "register",
    "type_hints",
    "weightless",
]
