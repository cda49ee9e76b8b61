"""Finished trials on any path that fsspec knows, for machines that share no disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from dlkd.ablations.store import FAILURE, PROGRESS
from dlkd.files import atomic_path
from dlkd.training.checkpoint import LAST
from dlkd.training.trial import RESULT

NOT_COPIED = (FAILURE, PROGRESS, LAST)
OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az"}
"""A folder is a part of a name there; to make one would make a bucket."""


class StorageError(ValueError):
    """A storage that cannot be used as asked; names it, what was tried and why it failed."""


class Storage:
    """A folder of finished trials at a URL such as s3://bucket/trials, gs://, file:// or a plain path.

    A trial's files are copied with `result.json` last, in both directions; a folder without one does not count.

    Args:
        url: where the trials lie; the file system's own settings come from its environment variables.

    Attributes:
        url: the same, absolute, so that any working folder means the same place by it.

    Raises:
        StorageError: the protocol is unknown or its package is missing.
    """

    def __init__(self, url: str) -> None:
        with _errors(f"use {url}"):
            self._files, self._root = url_to_fs(url)
        protocol = self._files.protocol
        self._has_folders = OBJECT_STORES.isdisjoint((protocol,) if isinstance(protocol, str) else protocol)
        local = isinstance(self._files, LocalFileSystem)
        self.url = self._files.unstrip_protocol(self._root) if local else url

    def check(self) -> None:
        """Write there and delete it again, before anything is trained. Raises StorageError."""
        with _errors(f"write to {self.url}"):
            if self._has_folders:
                self._files.makedirs(self._root, exist_ok=True)
            self._files.pipe_file(f"{self._root}/.writable", b"")
            self._files.rm_file(f"{self._root}/.writable")

    def push(self, folder: Path) -> None:
        """Copy a finished trial there, in the place of an older one. Raises StorageError."""
        target = f"{self._root}/{folder.name}"
        with _errors(f"copy {folder} to {self.url}"):
            self._forget(folder.name)
            names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
            for name in names:
                if _is_copied(name):
                    if self._has_folders:
                        self._files.makedirs(f"{target}/{name}".rpartition("/")[0], exist_ok=True)
                    self._files.put_file(str(folder / name), f"{target}/{name}")
            # A copy to a disk can be cut short, a move cannot.
            self._files.put_file(str(folder / RESULT), f"{target}/.{RESULT}.tmp")
            self._files.mv(f"{target}/.{RESULT}.tmp", f"{target}/{RESULT}")

    def fetch(self, keys: Iterable[str], store: Path) -> list[str]:
        """Copy those trials into `store` that are finished there and not here; their keys. Raises StorageError."""
        with _errors(f"read {self.url}"):
            self._files.invalidate_cache()
            there = self._names()
            wanted = [key for key in keys if key in there and not (store / key / RESULT).exists()]
            return [key for key in wanted if self._fetch(key, store / key)]

    def has(self, key: str) -> bool:
        """Whether a trial is finished there. Raises StorageError."""
        with _errors(f"read {self.url}"):
            self._files.invalidate_cache()
            return bool(self._files.exists(f"{self._root}/{key}/{RESULT}"))

    def names(self) -> list[str]:
        """Names of the folders there, finished or not. Raises StorageError."""
        with _errors(f"read {self.url}"):
            self._files.invalidate_cache()
            return sorted(self._names())

    def forget(self, key: str) -> None:
        """Make a trial count as unfinished there. Raises StorageError."""
        with _errors(f"change {self.url}"):
            self._forget(key)

    def _names(self) -> set[str]:
        if not self._files.isdir(self._root):
            return set()
        return {str(path).rstrip("/").rpartition("/")[2] for path in self._files.ls(self._root, detail=False)}

    def _fetch(self, key: str, folder: Path) -> bool:
        source = f"{self._root}/{key}"
        if not self._files.exists(f"{source}/{RESULT}"):
            return False
        names = [str(path).split(f"{source}/", 1)[1] for path in self._files.find(source)]
        for name in [*filter(_is_copied, names), RESULT]:
            with atomic_path(folder / name) as temporary:
                self._files.get_file(f"{source}/{name}", str(temporary))
        return True

    def _forget(self, key: str) -> None:
        result = f"{self._root}/{key}/{RESULT}"
        if self._files.exists(result):
            self._files.rm_file(result)


def _is_copied(name: str) -> bool:
    """Whether a file belongs to a finished trial; its result is copied by itself, after the others."""
    last = name.rpartition("/")[2]
    return not last.startswith(".") and name not in (*NOT_COPIED, RESULT)


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # every cloud has errors of its own
        raise StorageError(f"cannot {doing}: {type(error).__name__}: {error}") from error
