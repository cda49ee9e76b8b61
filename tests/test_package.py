"""The repository root is the package: what that needs to go on working."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import shutil
import subprocess
import sys
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOT_OURS = {"build", "dist", "runs", "node_modules"}
TOP_LEVEL = {p.stem for p in ROOT.glob("*.py")} | {p.parent.name for p in ROOT.glob("*/__init__.py")}
SHOWN = (
    *("blocks.GFRB", "blocks.LFRB", "blocks.MFFM", "blocks.PRL", "blocks.SS2D", "losses.CKD", "losses.TotalLoss"),
    *("models.cosine_map", "models.image_map", "models.image_score", "metrics.image_auroc", "metrics.pro"),
    *("registry.load_registry", "registry.create_model", "registry.Registry.resolve", "registry.Registry.build"),
    *("contract.require", "contract.require_map", "contract.Shape", "check.parametrize_with_contracts"),
    *("data.Folder", "data.made.defects.plant", "ablations.statistics.verdict.verdicts", "load_ablation"),
)
"""Where users look first: each has an example in its docstring."""


def folders() -> Iterator[Path]:
    """Folders of the repository, without hidden ones, environments, build outputs and packages of their own."""
    stack = [ROOT]
    while stack:
        folder = stack.pop()
        yield folder
        stack += [p for p in folder.iterdir() if p.is_dir() and not _foreign(p)]


def _foreign(folder: Path) -> bool:
    named = folder.name[0] in "._" or folder.name in NOT_OURS
    return named or (folder / "pyvenv.cfg").exists() or (folder / "pyproject.toml").exists()


def sources() -> list[Path]:
    return sorted(p for folder in folders() for p in folder.glob("*.py"))


def modules() -> dict[str, Path]:
    """The file of every module of dlkd, found without importing anything, so that none is passed over."""
    inside = [p for p in sources() if (p.parent / "__init__.py").exists() and p.name != "__main__.py"]
    parts = {p: ("dlkd", *p.relative_to(ROOT).with_suffix("").parts) for p in inside}
    return {".".join(parts[p]).removesuffix(".__init__"): p for p in inside}


def test_every_package_is_in_the_wheel() -> None:
    found = {".".join(("dlkd", *f.relative_to(ROOT).parts)) for f in folders() if (f / "__init__.py").exists()}
    tomllib = pytest.importorskip("tomllib")  # Python 3.11
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert found == set(settings["tool"]["setuptools"]["packages"])


def test_tests_are_no_package() -> None:
    assert not list((ROOT / "tests").rglob("__init__.py"))


@pytest.mark.parametrize("source", sources(), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_are_absolute_and_go_through_the_package(source: Path) -> None:
    """`import blocks` works by accident in the repository root, and registers every block a second time."""
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"), str(source))):
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: a relative import; write dlkd...."
            names = [node.module or ""]
        else:
            continue
        wrong = {n for n in names if n.split(".")[0] in TOP_LEVEL}
        assert not wrong, f"line {node.lineno}: import dlkd.{wrong.pop()} instead"


@pytest.mark.parametrize("package", ["blocks", "data", "losses", "models"])
def test_every_component_file_is_imported_by_its_package(package: str) -> None:
    """Components register when their file is imported, which the package does and nobody else has to."""
    tree = ast.parse((ROOT / package / "__init__.py").read_text(encoding="utf-8"))
    imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    for path in (ROOT / package).rglob("*.py"):
        # Every file of blocks/, since each is a component (scans are imported by SS2D); elsewhere those that register.
        blocks = package == "blocks" and path.parent.name == package and path.stem != "__init__"
        if blocks or (package != "blocks" and "\n@register(" in path.read_text(encoding="utf-8")):
            module = ".".join(("dlkd", *path.relative_to(ROOT).with_suffix("").parts))
            assert module in imported, f"{path.name} is not imported by {package}/__init__.py"


def examples_in(path: Path) -> list[doctest.Example]:
    """The examples of all docstrings of a file that are not marked `+SKIP`, as they stand in its text."""
    tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
    holders = [n for n in ast.walk(tree) if isinstance(n, ast.Module | ast.ClassDef | ast.FunctionDef)]
    texts = [text for node in holders if (text := ast.get_docstring(node))]
    return [e for text in texts for e in doctest.DocTestParser().get_examples(text) if doctest.SKIP not in e.options]


@pytest.mark.parametrize("module", modules())
def test_doctests(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every module can be imported, and every example in its docstrings runs, in an empty folder.

    The checkout's own folder may hold `runs/`, which examples name. Not by --doctest-modules, which imports the
    checkout a second time under the name of its folder.
    """
    monkeypatch.chdir(tmp_path)
    with warnings.catch_warnings():
        if module.startswith("dlkd.integrations."):  # named after the library that it needs, which is an extra
            warnings.simplefilter("ignore")
            pytest.importorskip(module.rpartition(".")[2])
        imported = importlib.import_module(module)
    failed, run = doctest.testmod(imported)
    assert failed == 0, "the report above says which example gave something else"
    assert run == len(examples_in(modules()[module])), "doctest does not find, or skips, an example of this module"


def test_what_users_look_up_first_has_an_example() -> None:
    for name in SHOWN:
        doc = pkgutil.resolve_name(f"dlkd.{name}").__doc__
        assert doctest.DocTestParser().get_examples(doc or ""), f"the docstring of dlkd.{name} has no example"
    assert sum(len(examples_in(path)) for path in modules().values()) >= 60


@pytest.mark.slow
def test_the_wheel_works_from_another_folder(tmp_path: Path) -> None:
    """Built as a user would, and put first on the path of a fresh process."""
    # Of a copy: building leaves build/ and an egg-info beside the sources.
    ignored = shutil.ignore_patterns(".*", "runs", "build", "*.egg-info", "__pycache__")
    source = shutil.copytree(ROOT, tmp_path / "source", ignore=ignored)
    pip = [sys.executable, "-m", "pip", "wheel", str(source), "--no-deps", "--wheel-dir", str(tmp_path)]
    done = subprocess.run(pip, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    expected = {str(p.relative_to(ROOT)) for f in folders() for p in f.glob("*.py") if (f / "__init__.py").exists()}
    expected |= {
        "registry.yaml",
        "py.typed",
        "cli/train.py",
        "ablations/grids/table4.yaml",
        "ablations/report/report.html.j2",
    }
    missing = {name for name in expected if not (site / "dlkd" / name).is_file()}
    assert not missing
    assert not any((site / "dlkd" / name).exists() for name in ("tests", "benchmarks", "examples", "docs"))
    code = f"""
import sys
sys.meta_path = [f for f in sys.meta_path if "editable" not in repr(f)]
sys.path.insert(0, {str(site)!r})
import dlkd, dlkd.ablations.report.write, dlkd.ablations.run.runner
from dlkd.blocks import GFRB
from dlkd.ablations.plan.shipped import shipped_grids
assert dlkd.__file__.startswith({str(site)!r}), dlkd.__file__
assert "dlkd" in dlkd.list_variants() and "table5" in shipped_grids()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
