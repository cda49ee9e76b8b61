"""`dlkd check` and `dlkd schema`: the user's own files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from dlkd.cli.console import out
from dlkd.cli.options import Imports, PresetName


def check(
    file: Annotated[Path, typer.Argument(help="A registry file; all its rows and variants are checked.")],
    preset: PresetName = "demo",
    imports: Imports = None,
    examples: Annotated[int, typer.Option(min=1, help="Number of shapes drawn for each component.")] = 10,
) -> None:
    """Run the shape contract of every component in a registry file, and build its variants."""
    from dlkd.check import check_row
    from dlkd.registry import read_registry
    from dlkd.registry.files import names_of
    from dlkd.training.config import named_preset

    registry = read_registry([file], imports)
    chosen = named_preset(preset)
    rows, variants = names_of(registry, file)  # not read again: a pipe can be read once only
    failures: list[str] = []
    for name in rows:
        if registry.rows[name].shape is None:
            out.print(f"no contract: {name}, as its row has no shape")
            continue
        findings = check_row(registry, name, examples=examples)
        failures += [f"{name}: {p}" for p in findings.problems]
        out.print(f"failed: {name}" if findings.problems else f"ok: {name}", style="red" if findings.problems else None)
        for note in findings.notes:
            out.print(f"    {note}")
    for name in variants:
        chosen.settle(registry, name)
        out.print(f"ok: variant {name}")
    if failures:
        raise ValueError("the contract is broken:\n" + "\n".join(failures))


def schema(
    of: Annotated[Literal["registry", "grid"], typer.Argument(help="Registry files or grids.")] = "registry",
    to: Annotated[Path | None, typer.Option("--out", help="File; default standard output.")] = None,
) -> None:
    """Print the JSON schema of registry files or of grids, with which editors complete and check them."""
    from dlkd.ablations.plan.grid_schema import grid_schema
    from dlkd.files import write_text
    from dlkd.registry import default_registry
    from dlkd.registry.schema import registry_schema

    text = json.dumps(registry_schema(default_registry()) if of == "registry" else grid_schema(), indent=2)
    if to is None:
        print(text)
    else:
        write_text(to, text + "\n")
