"""What the pages say exists; what they link to is there; what they show compiles and runs."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest
import torch
import typer
import yaml
from torch import nn

from dlkd.ablations.plan.grid_files import load_grid
from dlkd.check.component import Component
from dlkd.cli import app
from dlkd.registry import default_registry, get, list_components, merge
from dlkd.registry.problems import ConfigError
from dlkd.training import PRESETS, TrainConfig

ROOT = Path(__file__).parents[1]
PAPER = (ROOT / "docs" / "paper.md").read_text(encoding="utf-8")
SYSTEMS = (ROOT / "docs" / "systems.md").read_text(encoding="utf-8")
TRANSFER = (ROOT / "docs" / "transfer.md").read_text(encoding="utf-8")
FOLDERS = (".", "docs", "docs/how-to", "examples", "benchmarks")
PAGES = sorted(p for folder in FOLDERS for p in (ROOT / folder).glob("*.md"))
MADE = set(re.findall(r"(?:gallery|reference)/\w+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
"""Pages that are made when the site is built, which `make docs` checks."""
EXAMPLES = sorted(p for p in (ROOT / "examples").iterdir() if p.suffix in (".py", ".yaml"))

CODE = re.compile(r"`([^`\n]+)`")
FILE = re.compile(r"[\w/]+\.(py|yaml)")
CALL = re.compile(r"([A-Za-z_]\w*)\(((?:\w+(?:, \w+)*)?)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def page_ids(pages: list[Path]) -> list[str]:
    return [str(p.relative_to(ROOT)) for p in pages]


# docs/paper.md


def paper_rows() -> list[str]:
    lines = (PAPER + SYSTEMS + TRANSFER).splitlines()
    return [line for line in lines if line.startswith("| ") and not line.startswith("| ---")]


def paper_tables(page: str = PAPER) -> Iterator[dict[str, str]]:
    """Each row of each table, by the heading of its column."""
    for block in re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip("|\n").split("|")] for line in block.splitlines()]
        for row in rows:
            assert len(row) == len(head), f"a row of {len(row)} cells under {len(head)} headings: {row}"
            yield dict(zip(head, row, strict=True))


def files_in(text: str) -> list[str]:
    return [code for code in CODE.findall(text) if FILE.fullmatch(code)]


def calls_in(text: str) -> list[tuple[str, list[str]]]:
    found = [CALL.fullmatch(code) for code in CODE.findall(text)]
    return [(m[1], m[2].split(", ") if m[2] else []) for m in found if m]


def module_of(path: str) -> ModuleType:
    return importlib.import_module("dlkd." + path.removesuffix(".py").replace("/", "."))


def test_paper_names_every_equation_and_table() -> None:
    rows = list(paper_tables())
    assert [row["eq."] for row in rows if "eq." in row] == [str(i) for i in range(1, 11)]
    tables = " ".join(row["table"] for row in rows if "table" in row)
    assert re.findall(r"\d", tables) == list("12345")


@pytest.mark.parametrize("row", [r for r in paper_rows() if files_in(r)])
def test_paper_names_what_exists(row: str) -> None:
    for path in files_in(row):
        assert (ROOT / path).is_file(), f"{path} does not exist"
    modules = [module_of(path) for path in files_in(row) if path.endswith(".py")]
    for name, arguments in calls_in(row):
        homes = [m for m in modules if getattr(getattr(m, name, None), "__module__", None) == m.__name__]
        assert homes, f"{name} is defined in none of {files_in(row)}"
        known = inspect.signature(getattr(homes[0], name)).parameters
        assert not set(arguments) - set(known), f"{name} has no argument {set(arguments) - set(known)}"


def test_paper_names_what_exists_outside_its_tables() -> None:
    prose = "\n".join(line for line in PAPER.splitlines() if not line.startswith("|"))
    modules = [module_of(path) for path in files_in(PAPER) if path.endswith(".py")]
    for path in files_in(prose):
        assert (ROOT / path).is_file(), f"{path} does not exist"
    for name, arguments in calls_in(prose):
        found = next((getattr(m, name) for m in modules if hasattr(m, name)), None)
        assert found is not None, f"{name} is in no file of docs/paper.md"
        assert set(arguments) <= set(inspect.signature(found).parameters), f"{name}({arguments})"


def test_paper_mentions_the_file_of_every_component() -> None:
    for key in list_components():
        module = get(*key.split("/", 1)).__module__
        if module.startswith("dlkd."):  # norms and activations of torch are registered in blocks/norm.py
            path = module.removeprefix("dlkd.").replace(".", "/") + ".py"
            pages = "docs/paper.md, docs/systems.md and docs/transfer.md"
            assert f"`{path}`" in PAPER + SYSTEMS + TRANSFER, f"{key} comes from {path}, which {pages} do not mention"


def keyed_rows() -> list[tuple[str, Any, list[Any]]]:
    """(key, default, alternatives) of every row that has a key."""
    found = []
    for row in paper_tables():
        if keys := CODE.findall(row.get("key", "")):
            [default] = CODE.findall(row["default"] if "default" in row else row["here"])
            others = CODE.findall(row.get("alternatives", ""))
            found += [(key, yaml.safe_load(default), [yaml.safe_load(o) for o in others]) for key in keys]
    return found


def nested(key: str, value: Any) -> dict[str, Any]:
    for part in reversed(key.split(".")):
        value = {part: value}
    return value


def value_at(key: str, node: Any) -> Any:
    for part in key.split("."):
        node = node[part]
    return node["name"] if isinstance(node, dict) else list(node) if isinstance(node, tuple) else node


def settle(key: str, value: Any, variant: str = "dlkd") -> Any:
    """The value that a variant, or the training, has at `key` once it is set."""
    if key.startswith("train."):
        name = key.removeprefix("train.")
        return value_at(name, TrainConfig.model_validate({name: value}).model_dump())
    return value_at(key, default_registry().resolve(variant, nested(key, value)))


@pytest.mark.parametrize(("key", "default", "alternatives"), keyed_rows())
def test_paper_states_defaults_and_alternatives_that_are_so(key: str, default: Any, alternatives: list[Any]) -> None:
    node = {**default_registry().resolve("dlkd"), "train": TrainConfig().model_dump()}
    assert value_at(key, node) == default
    for other in alternatives:
        assert settle(key, other) == other != default


def test_every_literal_choice_of_an_open_point_is_named() -> None:
    """A choice added in the code (another scan order, say) has to be added to the page."""
    for key, default, alternatives in keyed_rows():
        if not isinstance(default, str) or key.startswith(("train.", "teacher.")):
            continue
        with pytest.raises(ConfigError) as raised:
            default_registry().resolve("dlkd", nested(key, "no such choice"))
        # "expected 'all' or 'neighbours', got ..." or "unknown norm '...'; known: batch, layer, none"
        message = str(raised.value).replace("'no such choice'", "")
        told = message.split("known:")[1] if "known:" in message else " ".join(re.findall(r"'(\w+)'", message))
        assert {default, *alternatives} == set(re.findall(r"\w+", told)), key


def test_a_shipped_grid_tries_every_alternative_of_every_open_point() -> None:
    rows = load_grid("open_points").rows
    section = PAPER[PAPER.index("## Open points") :]
    for key, _, alternatives in keyed_rows():
        if f"`{key}`" not in section:
            continue
        set_to = [at for row in rows if (at := value_if(key, {**row.overrides, "train": row.train})) is not None]
        assert all(other in set_to for other in alternatives), f"{key}: {alternatives}, but the grid has {set_to}"


def value_if(key: str, node: Any) -> Any:
    for part in key.split("."):
        node = node.get(part) if isinstance(node, dict) else None
    return node


# docs/systems.md


def system_rows() -> list[tuple[str, str, dict[str, str]]]:
    """(variant, key, row) of every row with a key; a section's heading names the variant."""
    sections = re.findall(r"^## [^\n]*`([^`\n]+)`\n(.*?)(?=^## |\Z)", SYSTEMS, re.MULTILINE | re.DOTALL)
    return [
        (variant, key, row)
        for variant, text in sections
        for row in paper_tables(text)
        for key in CODE.findall(row.get("key", ""))
    ]


def test_every_system_has_a_section() -> None:
    variants = default_registry().variants
    assert {variant for variant, _, _ in system_rows()} == {name for name in variants if not name.startswith("dlkd")}


@pytest.mark.parametrize(("variant", "key", "row"), system_rows())
def test_systems_state_values_that_are_so(variant: str, key: str, row: dict[str, str]) -> None:
    """The value here is preset `paper`'s; the one of anomalib can be set, and is another."""
    node, train = PRESETS["paper"].settle(default_registry(), variant)
    [here] = map(yaml.safe_load, CODE.findall(row["here"]))
    assert value_at(key, {**node, "train": train.model_dump()}) == here
    for other in map(yaml.safe_load, CODE.findall(row["anomalib"])):
        assert settle(key, other, variant) == other != here


# docs/transfer.md


def transfer_rows(column: str) -> list[dict[str, str]]:
    return [row for row in paper_tables(TRANSFER) if column in row]


def parts(model: str, overrides: dict[str, Any], names: set[str]) -> set[str]:
    """Those of the named components that are parts of a model, which is built small."""
    registry = default_registry()
    node = merge(Component.of(registry, f"model/{model}").node, overrides)
    with torch.device("meta"):
        made: nn.Module = registry.build("model", registry.complete("model", node))
    classes = {get(*name.split("/")): name for name in names}
    return {classes[type(m)] for m in made.modules() if type(m) in classes}


def test_transfer_says_where_each_component_is_used() -> None:
    rows = {CODE.findall(row["component"])[0]: row for row in transfer_rows("elsewhere")}
    models = [
        key.removeprefix("model/")
        for key, row in default_registry().rows.items()
        if key.startswith("model/") and row.shape
    ]
    own = {model: parts(model, {}, set(rows)) for model in models}
    for name, row in rows.items():
        assert set(CODE.findall(row["part of"])) == {model for model in own if name in own[model]}, name
    told = {(label, name) for name, row in rows.items() for label in row["elsewhere"].split("; ")}
    for row in load_grid("transfer").rows:
        if row.host is not None:
            moved = parts(row.variant, row.overrides, set(rows)) - own[row.variant]
            assert moved == {name for label, name in told if label == row.label}, row.label


def test_transfer_states_the_rows_of_its_grid() -> None:
    stated = [(row["row"], row["host"], yaml.safe_load(CODE.findall(row["set"])[0])) for row in transfer_rows("set")]
    assert stated == [(row.label, row.host, row.overrides) for row in load_grid("transfer").rows if row.host]


# Every page


@pytest.mark.parametrize("page", PAGES, ids=page_ids(PAGES))
def test_links_resolve(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(r'(?:src|href)="([^"]+)"', text):
        if re.match(r"(https?|mailto):", target):
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if file.is_relative_to(ROOT / "docs") and str(file.relative_to(ROOT / "docs")) in MADE:
            continue
        assert file.exists(), f"{page.name} links to {target}, which is not there"
        assert file.is_relative_to(ROOT), f"{page.name} links to {target}, outside the repository"
        if anchor:
            headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", h.lower()).strip().replace(" ", "-") for h in headings}
            assert anchor in slugs, f"{page.name} links to {target}; headings: {sorted(slugs)}"


def has_name(module: str, name: str) -> bool:
    """Whether a module has a name; of an integration, whose library is an extra, its source is asked."""
    if not module.startswith("dlkd.integrations."):
        return hasattr(importlib.import_module(module), name)
    source = ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8")
    return name in {node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef | ast.FunctionDef)}


@pytest.mark.parametrize("page", PAGES, ids=page_ids(PAGES))
def test_python_shown_compiles_and_its_imports_exist(page: Path) -> None:
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language not in ("python", "py"):
            continue
        tree = ast.parse(code, str(page))
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "dlkd":
                missing = [a.name for a in node.names if not has_name(node.module or "", a.name)]
                assert not missing, f"{page.name}: {node.module} has no {missing}"


@pytest.mark.parametrize("page", PAGES, ids=page_ids(PAGES))
def test_yaml_shown_is_yaml(page: Path) -> None:
    for language, code in FENCE.findall(page.read_text(encoding="utf-8")):
        if language in ("yaml", "yml"):
            yaml.safe_load(code)


def commands_in(text: str) -> list[str]:
    """Command lines that start with dlkd: in a block (a comment's too), or in backticks."""
    joined = re.sub(r"\\\n\s*", "", text)
    lines = re.findall(r"^[ #$>]*(dlkd [a-z].*)$", joined, re.MULTILINE)
    return [line.split(" #")[0] for line in lines] + [c for c in CODE.findall(text) if c.startswith("dlkd ")]


@pytest.mark.parametrize("page", PAGES + EXAMPLES, ids=page_ids(PAGES + EXAMPLES))
def test_commands_shown_exist(page: Path) -> None:
    context = click.Context(typer.main.get_command(app))
    for line in commands_in(page.read_text(encoding="utf-8")):
        words = shlex.split(line)[1:]
        command: Any = context.command
        while hasattr(command, "get_command") and words and re.fullmatch("[a-z]+", words[0]):
            found = command.get_command(context, words[0])
            assert found is not None, f"{page.name}: `{line}`: there is no command {words[0]}"
            command, words = found, words[1:]
        known = {o for p in command.params for o in p.opts} | {"--help"}
        for option in (w.split("=")[0] for w in words if w.startswith("--")):
            assert option in known, f"{page.name}: `{line}`: there is no option {option}"
