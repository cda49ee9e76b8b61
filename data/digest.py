"""The contents of a category's files as one hash, independent of their path, and different once a pixel changes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from dlkd.data.cache import files_of, stamp
from dlkd.data.category import Category, DataError
from dlkd.files import write_text
from dlkd.machine import cache_folder

Progress = Callable[[int, int], None]

_RACY = 2 * 10**9
"""A file changed less than 2 s ago may change again within the disk's clock: its hash is not kept."""


def category_digest(category: Category, *, progress: Progress | None = None) -> str:
    """Hash of the contents of all images and masks, in their order, with split, label and defect.

    Names and paths of the files are not part of the digest: a dataset that was moved or copied keeps its digest. The
    hash of a file is stored below `cache_folder()` by path, size, mtime, ctime and inode, so that a second call only
    compares these. Several processes may call this at once; a damaged or read-only store costs only time.

    Args:
        category: its files are read.
        progress: called with (files done, files in all).

    Raises:
        DataError: a file that is absent or cannot be read, named.
    """
    samples = [(split, sample) for split in ("train", "test") for sample in getattr(category, split)]
    files = [_files(path) for _, sample in samples for path in (sample.image, sample.mask)]
    total = sum(map(len, files))
    known = KnownFiles(category)
    digest, done = hashlib.sha256(), 0
    for (split, sample), images, masks in zip(samples, files[::2], files[1::2], strict=True):
        parts = [split, str(sample.label), sample.defect]
        for kind, paths in (("image", images), ("mask", masks)):
            parts.append(f"{kind} {len(paths)}")
            for path in paths:
                parts.append(known.digest(path))
                done += 1
                if progress is not None:
                    progress(done, total)
        digest.update(repr(parts).encode("utf-8", "surrogateescape"))
    known.save()
    return digest.hexdigest()


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes. Raises DataError for what cannot be read."""
    try:
        check_plain(path)
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while part := file.read(2**20):
                digest.update(part)
            return digest.hexdigest()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None


def check_plain(path: Path) -> None:
    """Raise DataError for a folder, a device, or a pipe, from which reading might never end."""
    if path.exists() and not path.is_file():
        what = "a folder" if path.is_dir() else "a pipe, a socket or a device"
        raise DataError(f"{path}: is {what} in the place of a file; move it elsewhere")


class KnownFiles:
    """The hashes of one category's files by their stamps, in one file of the cache folder."""

    def __init__(self, category: Category) -> None:
        folders = sorted({str(sample.image.absolute().parent) for sample in (*category.train, *category.test)})
        name = repr((category.dataset, category.name, os.path.commonpath(folders) if folders else ""))
        key = hashlib.sha256(name.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        self._path = cache_folder() / "digests" / f"{key}.txt"
        self._kept: dict[str, str] = {}
        with contextlib.suppress(OSError, ValueError):
            lines = self._path.read_text(encoding="ascii").splitlines()
            self._kept = {line[:64]: line[65:] for line in lines if len(line) == 129}
        self._seen: dict[str, str] = {}
        self._new = False

    def digest(self, path: Path) -> str:
        """`file_digest(path)`, from the store where the file has not changed since."""
        before = stamp(path)
        key = hashlib.sha256(before.encode("utf-8", "surrogateescape")).hexdigest()
        found = self._kept.get(key)
        if found is None:
            now = time.time_ns()
            found = file_digest(path)
            if stamp(path) != before or now - path.stat().st_ctime_ns < _RACY:
                return found
            self._new = True
        self._seen[key] = found
        return found

    def save(self) -> None:
        """Store the new hashes, and as many of the stored hashes of other files of the category."""
        if not self._new:
            return
        others = [(key, value) for key, value in self._kept.items() if key not in self._seen][-len(self._seen) :]
        lines = [f"{key} {value}\n" for key, value in (*others, *self._seen.items())]
        with contextlib.suppress(OSError):
            write_text(self._path, "".join(lines))


def _files(path: Path | None) -> list[Path]:
    try:
        return [] if path is None else files_of(path)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error})") from None
