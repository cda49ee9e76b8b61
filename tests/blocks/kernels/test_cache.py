"""Compiled kernels never outlive their source, and a cache that is broken costs time only."""

from __future__ import annotations

import ast
import importlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from numba.core import caching

from dlkd.blocks.gated_depthwise import kernels as gate_kernels
from dlkd.blocks.kernels import cache
from dlkd.blocks.kernels.cache import SourceCache, kernel, source_digest
from dlkd.blocks.scan.numba import kernels as scan_kernels

HELPER = "from numba import njit\n\n@njit\ndef change(x):\n    return x + 1\n"
KERNEL = """from numba import njit
from dlkd.blocks.kernels.cache import SourceCache
from numba_helper import change

@njit
def kernel(x):
    return change(x)

kernel._cache = SourceCache(kernel.py_func)
"""

Load = Callable[[], Any]


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Load:
    """The kernel of two files in `tmp_path`, as a new process would load it."""
    (tmp_path / "numba_helper.py").write_text(HELPER, encoding="utf-8")
    (tmp_path / "numba_main.py").write_text(KERNEL, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # Python's own cache looks at time stamps too

    def fresh() -> Any:
        for name in ("numba_main", "numba_helper"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        importlib.invalidate_caches()
        return importlib.import_module("numba_main").kernel

    return fresh


def hits(kernel: Any) -> int:
    return sum(kernel.stats.cache_hits.values())


def edit(path: Path, old: str, new: str) -> None:
    """An edit that changes neither the size nor the time stamp of the file."""
    stat = path.stat()
    assert len(old) == len(new)
    path.write_text(path.read_text(encoding="utf-8").replace(old, new), encoding="utf-8")
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_unchanged_sources_find_their_code(load: Load) -> None:
    first, second = load(), load()
    assert (first(2), second(2)) == (3, 3)
    assert (hits(first), hits(second)) == (0, 1)


@pytest.mark.parametrize(
    ("file", "old", "new", "expected"),
    [
        ("numba_helper.py", "x + 1", "x + 5", 7),
        ("numba_main.py", "change(x)", "x * 7 + 0", 14),
    ],
)
def test_an_edit_of_either_file_compiles_anew_whatever_its_time_stamp_says(
    load: Load, tmp_path: Path, file: str, old: str, new: str, expected: int
) -> None:
    assert load()(2) == 3
    edit(tmp_path / file, old, new)
    kernel = load()
    assert kernel(2) == expected
    assert hits(kernel) == 0
    again = load()
    assert again(2) == kernel(2)
    assert hits(again) == 1


@pytest.mark.parametrize("ending", [".nbi", ".nbc"])
@pytest.mark.parametrize("content", [b"", b"\x80\x04no pickle"])
def test_a_broken_cache_costs_time_only(load: Load, tmp_path: Path, ending: str, content: bytes) -> None:
    load()(2)
    for path in (tmp_path / "__pycache__").glob(f"*{ending}"):
        path.write_bytes(content)
    kernel = load()
    assert kernel(2) == 3
    assert hits(kernel) == 0


def test_a_full_disk_costs_time_only(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(cache.IndexDataCacheFile, "save", full)
    assert load()(2) == 3


def test_the_digest_changes_with_any_file_its_name_and_the_compiler(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digests = [source_digest(tmp_path)]
    edit(tmp_path / "numba_helper.py", "x + 1", "x + 2")
    digests.append(source_digest(tmp_path))
    (tmp_path / "numba_helper.py").rename(tmp_path / "numba_other.py")
    digests.append(source_digest(tmp_path))
    monkeypatch.setattr(cache.llvmlite, "__version__", "0")
    digests.append(source_digest(tmp_path))
    assert len(set(digests)) == len(digests)


@pytest.mark.parametrize("module", [scan_kernels, gate_kernels])
def test_the_kernels_are_made_of_files_that_the_digest_reads(module: ModuleType) -> None:
    kernels = [value for value in vars(module).values() if isinstance(getattr(value, "_cache", None), SourceCache)]
    assert len(kernels) == 2
    own, shared = Path(str(module.__file__)).parent, Path(str(cache.__file__)).parent
    for path in (Path(str(module.__file__)), *shared.glob("*.py")):
        if path.name == "threads.py":  # it calls the kernels and is no part of them
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("dlkd"):
                folder = Path(str(importlib.import_module(str(node.module)).__file__)).parent
                assert folder in (own, shared), f"{path.name} imports {node.module}"


def test_nowhere_to_keep_compiled_code_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(caching.CompileResultCacheImpl, "_locator_classes", [])
    with pytest.warns(UserWarning, match="set NUMBA_CACHE_DIR"):
        twice = kernel(lambda x: 2 * x)
    assert twice(3) == 6
