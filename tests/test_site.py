"""The documentation site: its pages from the code, its tutorial, its how-to pages, and the version that it names."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

import dlkd
from dlkd import losses
from dlkd.ablations.plan.grid_files import grid_of
from dlkd.blocks import FRFN, GFRB
from dlkd.check import check_row
from dlkd.registry import default_registry, get, load_file, load_registry

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
HOW_TO = sorted((DOCS / "how-to").glob("*.md"))
FENCE = re.compile(r"^```(\w+)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Imports a file of docs/hooks/ as MkDocs does: its folder is on the path."""
    monkeypatch.syspath_prepend(str(DOCS / "hooks"))

    def load(name: str) -> ModuleType:
        return __import__(name)

    return load


def blocks(page: Path) -> list[tuple[str, str]]:
    """Language and text of each block of code of a page."""
    return FENCE.findall(page.read_text(encoding="utf-8"))


# The gallery


def test_a_drawing_shows_what_a_part_takes(hooks: Any) -> None:
    flow = hooks("flow").recorded(GFRB(8, backend="torch").eval(), [torch.zeros(1, 8, 4, 4)], "gfrb")
    assert [(step.name, set(step.before)) for step in flow.steps] == [
        ("x", set()),
        ("GFM", {0}),
        ("FRFN", {1}),
        ("Embed", {2}),
        ("output", {0, 3}),  # eq. 1 adds x
    ]
    assert flow.layers() == [0, 1, 2, 3, 4]
    svg = hooks("flow").drawing(flow, "a < b")
    assert "<title>a &lt; b</title>" in svg
    assert svg.count("<rect") == 5
    assert svg.count("marker-end") == 5


def test_every_argument_has_a_meaning(hooks: Any) -> None:
    gallery, without = hooks("gallery"), []
    for key in default_registry().rows:
        kind, name = key.split("/")
        table = "".join(gallery._arguments(kind, name, get(kind, name), default_registry().row(kind, name)))
        without += [f"{key}: {line}" for line in table.splitlines() if line.endswith("|  |")]
    assert not without


def test_a_drawing_shows_what_is_called_without_a_module(hooks: Any) -> None:
    """FRFN cuts the weights of its first layer in two; its middle is one operator in float32."""
    flow = hooks("flow").recorded(FRFN(8).eval(), [torch.zeros(1, 8, 4, 4)], "frfn")
    assert [(step.name, set(step.before)) for step in flow.steps] == [
        ("x", set()),
        ("3×3 Conv2d", {0}),
        ("1×1 Conv2d", {0, 1}),
        ("1×1 Conv2d", {0, 1}),
        ("GELU", {2}),
        ("3×3 depthwise Conv2d", {4}),
        ("GELU", {5}),
        ("GELU", {3}),
        ("1×1 Conv2d", {6, 7}),
        ("output", {8}),
    ]


class Hidden(nn.Module):
    """Nobody sees what its part takes."""

    def __init__(self) -> None:
        super().__init__()
        self.part = nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, c, h, w) -> the same."""
        return self.part(torch.from_numpy(x.numpy().copy()))


def test_what_cannot_be_followed_is_one_box(hooks: Any) -> None:
    flow = hooks("flow").recorded(Hidden(), [torch.zeros(1, 2, 3, 4)], "hidden")
    assert [(step.name, step.shape) for step in flow.steps] == [
        ("x", "2 × 3 × 4"),
        ("hidden", ""),
        ("output", "2 × 3 × 4"),
    ]


def test_a_section_says_what_the_row_and_the_docstring_say(hooks: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    gallery, users = hooks("gallery"), hooks("users")
    monkeypatch.setattr(users, "_variants", lambda: {key: {"block/gfrb": []} for key in default_registry().variants})
    monkeypatch.setattr(users, "_direct_parts", lambda: {"block/gfrb": {"block/embed"}, "block/frm": {"block/lfrb"}})
    monkeypatch.setattr(users, "grids_that_vary", lambda: {"table4": {"block/embed"}, "noise": set()})
    section = gallery.section("block/embed")
    assert "**Contract**: `b c h w -> b c h w`; `c` multiple of 4." in section
    assert "| `norm` | `batch` (norm) |" in section
    count = sum(p.numel() for p in default_registry().build("block", {"name": "embed"}, channels=64).parameters())
    assert f"**Parameters** at c = 64: {count:,}." in section
    assert "**Used by** the variants `dlkd`, " in section  # by way of gfrb
    assert "`vt_adl`. Part of `gfrb`. The rows of the grids `table4` differ in it." in section
    assert "results](../results.md) of `table4`" in section


def test_held_components_are_those_of_all_slots(hooks: Any) -> None:
    node = {
        "name": "prl",
        "depth": 1,
        "local": {"name": "embed", "ratio": 0.5, "norm": {"name": "batch"}, "act": "relu"},
    }
    assert dict(hooks("users").held("block", node)) == {
        "block/prl": {"name": "prl", "depth": 1},
        "block/embed": {"name": "embed", "ratio": 0.5},
        "norm/batch": {"name": "batch"},
        "act/relu": {},
    }


def test_every_kind_has_a_page_and_every_measured_row_exists(hooks: Any) -> None:
    gallery = hooks("gallery")
    rows = default_registry().rows
    assert {key.split("/")[0] for key in rows} == set(gallery.KINDS)
    assert set(re.findall(r"gallery/(\w+)\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))) == {
        *gallery.KINDS,
        "index",
    }
    text = (DOCS / "performance.md").read_text(encoding="utf-8")
    parts = dict(re.findall(r"^##+ ([^\n]+)\n(.*?)(?=^##|\Z)", text, re.MULTILINE | re.DOTALL))
    sections = {re.sub(r"[^\w -]", "", head.lower()).replace(" ", "-"): part for head, part in parts.items()}
    for key, (anchor, measured) in gallery.MEASURED.items():
        assert key in rows
        for row in measured:
            assert f"| {row} |" in sections[anchor], f"{key}: docs/performance.md#{anchor} has no row '{row}'"


# Pages of other files, and the reference


def test_links_out_of_the_pages_lead_to_pages_of_their_files(hooks: Any, tmp_path: Path) -> None:
    repository = hooks("repository")
    for name, text in {
        "docs/how-to/a.md": "",
        "docs/b.md": "",
        "examples/x.py": "x = 1",
        "NOTES.md": "[b](docs/b.md#top) [x](examples/x.py)",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    page = "[notes](../../NOTES.md) [b](../b.md) [web](https://a.b/c.md)\n\n```text\n[x](../../examples/x.py)\n```\n"
    made = repository.pages(tmp_path, {"how-to/a.md": page})
    assert sorted(made) == ["repository/NOTES.md", "repository/examples/x.py.md"]
    assert "````python\nx = 1\n````" in made["repository/examples/x.py.md"]
    assert repository.inside(tmp_path, "how-to/a.md", page) == page.replace("../../NOTES.md", "../repository/NOTES.md")
    turned = repository.inside(tmp_path, "repository/NOTES.md", made["repository/NOTES.md"])
    assert turned == "[b](../b.md#top) [x](examples/x.py.md)"


def test_the_reference_names_where_things_are_defined(hooks: Any) -> None:
    reference = hooks("reference")
    assert "dlkd.losses.distillation.CKD" in reference.homes("losses")
    assert len(reference.homes("losses")) == len(losses.__all__)
    assert set(re.findall(r"reference/(\w+)\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"))) == {
        *reference.PACKAGES,
        "index",
    }


def test_examples_in_docstrings_are_blocks_of_code(hooks: Any) -> None:
    source = 'def f():\n    """Say.\n\n    >>> f()\n    [1, 2]\n    >>> 3\n    """\n    return 4\n'
    shown = '"""Say.\n\n    ```pycon\n    >>> f()\n    [1, 2]\n    >>> 3\n    ```\n    """\n    return 4\n'
    assert hooks("reference").with_examples_as_code(source) == "def f():\n    " + shown


def test_every_page_is_in_the_navigation() -> None:
    named = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    pages = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    assert pages <= named, "name new pages under `nav:` in mkdocs.yml"


# Tutorial and how-to pages


def test_examples_of_how_to_pages_hold(components: None, tmp_path: Path) -> None:
    """Rows and variants are read with the classes that the page defines; grids are read; a contract is kept."""
    seen = 0
    for page in HOW_TO:
        registers = [code for language, code in blocks(page) if language == "python" and "@register(" in code]
        for i, code in enumerate(registers):
            file = tmp_path / f"{page.stem.replace('-', '_')}_{i}.py"
            file.write_text(code)
            load_file(file)
        for i, (language, code) in enumerate(blocks(page)):
            if language != "yaml":
                continue
            seen += 1
            data = yaml.safe_load(code)
            if "variants" not in data:
                grid_of(data)
                continue
            file = tmp_path / f"{page.stem}_{i}.yaml"
            file.write_text(code)
            registry = load_registry(file)
            for name in data.get("components", {}):
                assert check_row(registry, name, examples=1).problems == []
    assert seen >= 5


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Its commands, files and scripts in order, word for word, in an empty folder."""
    said = ""
    for i, (language, code) in enumerate(blocks(DOCS / "tutorial.md")):
        if language == "yaml":
            (tmp_path / code.split("\n")[0].removeprefix("# ")).write_text(code)
            continue
        if language == "python":
            (tmp_path / f"script_{i}.py").write_text(code)
        lines = code.splitlines() if language == "bash" else [f"python script_{i}.py"]
        for line in lines:
            program, *rest = shlex.split(line)
            words = ["-m", program, *rest] if program == "dlkd" else rest
            done = subprocess.run([sys.executable, *words], cwd=tmp_path, capture_output=True, text=True)
            assert done.returncode == 0, f"{line}\n{done.stderr}"
            said += done.stdout
    pictures = list((tmp_path / "textures/brick/test/hole").rglob("*.png"))
    assert len((tmp_path / "predictions/scores.csv").read_text().splitlines()) == len(pictures) + 1
    assert (tmp_path / "runs/mine/report.html").exists()
    assert re.search(r"untrained +DLKD +these +-0\.[1-9]", said)  # the page says that training helps


# The version


def test_one_version_is_named() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    project = re.search(r'^version = "(.*)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    newest = re.search(r"^## ([\d.]+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert project is not None
    assert newest is not None
    assert citation["version"] == dlkd.__version__ == project[1] == newest[1]
    assert citation["cff-version"] == "1.2.0"
    assert {"title", "message", "authors"} <= set(citation)
