"""Finished trials on any path that fsspec knows, for machines that share no disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from fsspec.core import url_to_fs
from fsspec.implementations.local import LocalFileSystem

from dlkd.ablations.stored.store import FAILURE, PROGRESS
from dlkd.files import atomic_path, is_inside, is_name
from dlkd.training.trials.trial_folder import LAST, RESULT

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
            if self._has_folders:
                self._files.makedirs(target, exist_ok=True)
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
        missing = [key for key in keys if not (store / self._inside(key) / RESULT).exists()]
        if not missing:
            return []
        with _errors(f"read {self.url}"):
            self._files.invalidate_cache()
            there = {key for key in missing if self._is_finished(key)} if len(missing) == 1 else self._finished()
            found = [key for key in missing if key in there]
            for key in found:
                self._fetch(key, store / key)
            return found

    def names(self) -> list[str]:
        """Names of the trials that are finished there, by one listing. Raises StorageError."""
        with _errors(f"read {self.url}"):
            self._files.invalidate_cache()
            return sorted(self._finished())

    def forget(self, key: str) -> None:
        """Make a trial count as unfinished there. Raises StorageError."""
        with _errors(f"change {self.url}"):
            self._forget(self._inside(key))

    def _finished(self) -> set[str]:
        if not self._files.isdir(self._root):
            return set()
        paths = (str(path)[len(self._root) :].strip("/") for path in self._files.find(self._root, maxdepth=2))
        return {path.removesuffix(f"/{RESULT}") for path in paths if path.endswith(f"/{RESULT}")}

    def _is_finished(self, key: str) -> bool:
        return bool(self._files.isfile(f"{self._root}/{key}/{RESULT}"))

    def _fetch(self, key: str, folder: Path) -> None:
        source = f"{self._root}/{key}"
        names = [self._inside(str(path).split(f"{source}/", 1)[1], key) for path in self._files.find(source)]
        for name in [*filter(_is_copied, names), RESULT]:
            target = folder / name
            if not target.parent.resolve().is_relative_to(folder.resolve()):
                raise StorageError(f"{target.parent} is a link that leads out of {folder}; delete it")
            with atomic_path(target) as temporary:
                self._files.get_file(f"{source}/{name}", str(temporary))

    def _forget(self, key: str) -> None:
        result = f"{self._root}/{key}/{RESULT}"
        if self._files.exists(result):
            self._files.rm(result, recursive=True)

    def _inside(self, name: str, key: str = "") -> str:
        """A name from the storage, of a trial or of a file in one. Raises StorageError where it leads elsewhere."""
        if not (is_inside(name) if key else is_name(name)):
            of = f"trial {key!r} has a file {name!r}" if key else f"a trial is named {name!r}"
            raise StorageError(f"{self.url}: {of}, which leads out of its folder; delete it there")
        return name


def _is_copied(name: str) -> bool:
    """Whether a file belongs to a finished trial; its result is copied by itself, after the others."""
    last = name.rpartition("/")[2]
    return not last.startswith(".") and name not in (*NOT_COPIED, RESULT)


@contextmanager
def _errors(doing: str) -> Iterator[None]:
    try:
        yield
    except StorageError:
        raise
    except Exception as error:  # every cloud has errors of its own
        raise StorageError(f"cannot {doing}: {type(error).__name__}: {error}") from error
