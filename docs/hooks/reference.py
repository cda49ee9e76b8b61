"""The reference: a page per package, with the docstring of each name that the package exports."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

PACKAGES = {
    "dlkd": "What a script or a notebook calls first.",
    "blocks": "Blocks, each of which works in another model too.",
    "losses": "Losses, and their weighted sum.",
    "pseudo_anomalies": "Defects that are drawn into normal images.",
    "models": "Models, teachers, optimisers and their parts.",
    "data": "Datasets and their checks.",
    "metrics": "Metrics of images and of pixels.",
    "training": "Training, trained models and predictions.",
    "runtime": "Exported detectors without PyTorch.",
    "registry": "From YAML to objects.",
    "contract": "The grammar of shapes and rules.",
    "check": "The contract as tests.",
}
"""Packages in the order of the reference, each with a sentence."""

_CONTRACT = ["Shape", "Rule", "Axis", "ContractError", "require", "require_map", "sizes", "matches"]
"""`contract.py` lists no exports."""


def sources(root: Path) -> Iterator[Path]:
    """The Python files of the package, which is the repository's root."""
    yield from sorted(root.glob("*.py"))
    for package in sorted(root.glob("*/__init__.py")):
        yield from sorted(path for path in package.parent.rglob("*.py") if (path.parent / "__init__.py").exists())


def with_examples_as_code(source: str) -> str:
    """A Python file whose examples in docstrings (`>>>`) are blocks of code in Markdown."""
    lines: list[str] = []
    inside = ""
    for line in source.splitlines():
        indent = line[: len(line) - len(line.lstrip())]
        starts, ends = line.lstrip().startswith(">>> "), not line.strip() or line.strip().endswith('"""')
        if inside and ends:
            lines.append(inside)
            inside = ""
        elif starts and not inside:
            inside = f"{indent}```"
            lines.append(f"{inside}pycon")
        lines.append(line)
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Text of each page by its place in docs/. A name that several packages export is on the page of the first."""
    rows = "\n".join(f"- [{_module(name)}]({name}.md): {told}" for name, told in PACKAGES.items())
    head = "# Reference\n\nPublic classes and functions with shapes, arguments, errors and sources.\n\n"
    made, seen = {"reference/index.md": head + rows + "\n"}, set[str]()
    for name, told in PACKAGES.items():
        new = [place for place in homes(name) if place not in seen]
        seen |= set(new)
        directives = "\n\n".join(f"::: {place}" for place in new)
        made[f"reference/{name}.md"] = (
            f"# {_module(name)}\n\n{told} Import each name with `from {_module(name)} import NAME`.\n\n{directives}\n"
        )
    return made


def homes(name: str) -> list[str]:
    """Where each name is defined that a package exports, which is where its docstring is read."""
    module = _module(name)
    exported = _CONTRACT if name == "contract" else importlib.import_module(module).__all__
    return [_home(module, each) for each in exported]


def _home(module: str, name: str) -> str:
    value = getattr(importlib.import_module(module), name)
    made_in = getattr(value, "__module__", None)
    defined = made_in if isinstance(made_in, str) and made_in.startswith("dlkd") else module
    return f"{defined}.{name}"


def _module(name: str) -> str:
    return name if name == "dlkd" else f"dlkd.{name}"
