"""Kernels compiled by Numba, kept on disk under the contents of all files that the kernels are made of.

Numba's own cache looks at the time stamp and size of the one file in which a kernel stands. A kernel here is made of
functions of several files, so the code of an edited file would never run. These files are in the folder of the kernel
and in this one.
"""

from __future__ import annotations

import contextlib
import hashlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite  # type: ignore[import-untyped]
from numba import njit
from numba.core.caching import FunctionCache, IndexDataCacheFile

inlined: Any = njit(nogil=True, error_model="numpy")
"""Decorator of a function that kernels call."""


def kernel(function: Callable[..., Any]) -> Any:
    """Compiled, and kept on disk for the next process where there is a place to write."""
    compiled = inlined(function)
    try:
        compiled._cache = SourceCache(function)
    except RuntimeError as error:
        warnings.warn(
            f"Numba cannot keep compiled code, so every process compiles anew; set NUMBA_CACHE_DIR ({error})",
            stacklevel=2,
        )
    return compiled


def source_digest(*folders: Path) -> str:
    """Hash of the contents of all Python files in `folders`, and of the version of the compiler behind Numba."""
    digest = hashlib.sha256(llvmlite.__version__.encode())
    for path in sorted(path for folder in folders for path in folder.glob("*.py")):
        content = path.read_bytes()
        digest.update(f"\0{path.name}\0{len(content)}\0".encode() + content)
    return digest.hexdigest()[:16]


class SourceCache(FunctionCache):
    """Numba's cache of one function, with the digest of the sources in the names of its files.

    In the names, and not in the index alone: an index is written before the code it points to, so that another
    process could find the old code under the new index. A cache that cannot be read or written costs time only.

    Raises:
        RuntimeError: there is no folder to write to.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        digest = source_digest(*{Path(function.__code__.co_filename).parent, Path(__file__).parent})
        name = f"{self._impl.filename_base}.{digest}"
        self._cache_file = IndexDataCacheFile(self._cache_path, name, digest)  # type: ignore[no-untyped-call]

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The compiled code for the argument types `sig`; None where it is not there or cannot be read."""
        try:
            return super().load_overload(sig, target_context)  # type: ignore[no-untyped-call]
        except Exception:  # a truncated pickle raises nearly anything
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep the compiled code `data` for the argument types `sig`, where the disk has room for it."""
        with contextlib.suppress(Exception):  # a broken index is read first, and raises nearly anything
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
