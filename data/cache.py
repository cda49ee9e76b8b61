"""Decoded pictures in one file on disk, shared by all processes, so that a picture is decoded once."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zlib
from collections.abc import Sequence
from pathlib import Path
from stat import S_ISDIR
from typing import Any

import numpy as np
import PIL
from numpy.typing import NDArray

from dlkd.data.category import Sample
from dlkd.machine import cache_folder

PIXELS = f"3 pillow {PIL.__version__}"
"""Raised when decoding or resizing changes a pixel; Pillow, which decodes, may change one too."""
TOTAL_BYTES = 16 * 2**30


class PixelCache:
    """Structured values of one type by index, in a sparse file of fixed rows; memory use is one row.

    A row ends in a checksum: rows never written, torn by a crash or damaged count as absent. Writers of the same row
    write the same bytes, so that no lock is needed. Plain reads and writes, not a memory map: a full disk is
    then an error that turns the cache off, where a map would kill the process.

    Args:
        path: the file, or None for no cache.
        row: type of one value.
        limit: size in bytes that the file keeps within; rows beyond it are absent.
    """

    def __init__(self, path: Path | None, *, row: np.dtype[np.void], limit: int) -> None:
        self.path, self.row = path, row
        self._size = row.itemsize
        self._rows = limit // (self._size + 4)
        self._file: int | None = None

    @classmethod
    def for_samples(cls, samples: Sequence[Sample], *, row: np.dtype[np.void], limit: int) -> PixelCache:
        """The cache of these files in their present state: a changed file, list or type has another cache."""
        if limit <= 0 or not samples:
            return cls(None, row=row, limit=0)
        digest = hashlib.sha256(repr((PIXELS, row.descr)).encode())
        for sample in samples:
            for path in (sample.image, sample.mask):
                digest.update(stamp(path).encode("utf-8", "surrogateescape"))
        path = cache_folder() / "pixels" / digest.hexdigest()[:32]
        return cls(path, row=row, limit=min(limit, len(samples) * (row.itemsize + 4)))

    def get(self, index: int) -> NDArray[np.void] | None:
        """The value, writable, or None if it is not cached."""
        file = self._open(index)
        if file is None:
            return None
        row = bytearray(os.pread(file, self._size + 4, index * (self._size + 4)))
        if len(row) < self._size + 4 or _checksum(row[:-4]) != bytes(row[-4:]):
            return None
        value: NDArray[np.void] = np.frombuffer(row, dtype=self.row, count=1)[0]
        return value

    def put(self, index: int, value: NDArray[np.void]) -> None:
        """Store a value; without effect beyond the limit or on a disk that is full or read-only."""
        file = self._open(index)
        if file is None:
            return
        row = value.tobytes()
        try:
            os.pwrite(file, row + _checksum(row), index * (self._size + 4))
        except OSError:
            self._rows = 0

    def _open(self, index: int) -> int | None:
        if self.path is None or index >= self._rows:
            return None
        if self._file is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if not self.path.exists():
                    make_room(self.path.parent, TOTAL_BYTES - self._rows * (self._size + 4))
                self._file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
                os.utime(self._file)  # the time of last use, by which make_room chooses
            except OSError:
                self._rows = 0
        return self._file

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_file": None}  # a worker process opens the file for itself

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            with contextlib.suppress(OSError):
                os.close(self._file)  # type: ignore[arg-type]


def make_room(folder: Path, limit: int) -> None:
    """Delete the files of `folder` used longest ago until the others take at most `limit` bytes of disk.

    A process that still has a deleted file open keeps it until it ends.
    """
    files = sorted(((p.stat().st_mtime_ns, p.stat().st_blocks * 512, p) for p in folder.iterdir()), reverse=True)
    total = 0
    for _, size, path in files:
        total += size
        if total > limit:
            path.unlink(missing_ok=True)


def _checksum(row: bytes | bytearray) -> bytes:
    # Off by one, as the checksum of nothing but zeros must not be what an unwritten row holds.
    return ((zlib.crc32(row) + 1) % 2**32).to_bytes(4, "little")


def stamp(path: Path | None) -> str:
    """What identifies the state of a file without reading it: path, size, times and inode.

    Size and mtime are not enough: they are the same for two BMPs of one camera that were swapped by rename. The system
    sets ctime at every change of contents, name or times, and programs cannot set it. The stamp of a folder of masks
    contains the stamps of its files, since the folder's own stamp does not change with them.
    """
    if path is None:
        return "-;"
    try:
        status = path.stat()
    except OSError:
        return f"{path.absolute()}:absent;"
    own = f"{path.absolute()}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}:{status.st_ino};"
    return own + "".join(map(stamp, files_of(path))) if S_ISDIR(status.st_mode) else own


def files_of(path: Path) -> list[Path]:
    """The file itself, or the files in a folder of masks by name, hidden ones left out."""
    if not path.is_dir():
        return [path]
    return sorted((p for p in path.iterdir() if p.is_file() and not p.name.startswith(".")), key=lambda p: p.name)
