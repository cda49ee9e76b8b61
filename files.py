"""Atomic writes, locks on folders, and file names that are valid on every file system."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path, PureWindowsPath

from filelock import FileLock, Timeout

from dlkd.machine import open_files

LONGEST_NAME = 100
"""Bytes of a file's name; most disks take 255, and endings are put behind it."""

OWNER = "owner.lock"
"""A scratch folder's file that its process holds while it lives."""


class HeldError(ValueError):
    """Another process works in this folder; the message names the folder and what to do."""


@contextmanager
def errors_name(path: Path, temporary: Path | None = None) -> Iterator[None]:
    """A system's error in the block names `path` where it names no file, or `temporary`: a full disk's does not."""
    try:
        yield
    except OSError as error:
        if error.filename not in (None, str(temporary)):
            raise
        if error.errno is None:
            raise OSError(f"{path}: {error}") from error
        raise OSError(error.errno, error.strerror, str(path)) from error


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """A temporary path beside `path` that takes its place, synced to disk, when the block ends without error.

    A crash at any moment leaves the old file or the new one, never half of one. Raises OSError that names `path`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{bounded_name(path.name)}.{os.getpid()}-{threading.get_ident()}.tmp")
    try:
        with errors_name(path, temporary):
            yield temporary
            with temporary.open("rb+") as file:  # Windows syncs only what is open for writing
                os.fsync(file.fileno())
            os.replace(temporary, path)
        if hasattr(os, "O_DIRECTORY"):  # Windows cannot open a folder, and needs no sync of it
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str, *, errors: str = "backslashreplace") -> None:
    """Write a text file atomically; what UTF-8 does not take is escaped, unless `errors` says else."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=errors)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place when the block ends without error.

    The first process that renames wins: if `path` exists by then, the temporary folder is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}-", dir=path.parent))
    try:
        with errors_name(path):
            yield temporary
        temporary.chmod(0o755)  # mkdtemp's folders are for their maker alone
        try:
            temporary.rename(path)
        except OSError:
            if not path.is_dir():
                raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


@contextmanager
def scratch_folder(prefix: str, place: Path) -> Iterator[Path]:
    """A folder in `place` for temporary files, gone when the block ends.

    Folders of that prefix whose owner was killed are deleted first. An owner holds a lock in its folder, which the
    system lets go of when the process dies; a folder of another user, or without a lock, is left alone.
    """
    for folder in place.glob(f"{prefix}*"):
        _delete_ownerless(folder)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=place) as name, FileLock(Path(name) / OWNER):
        yield Path(name)


def _delete_ownerless(folder: Path) -> None:
    with suppress(OSError, Timeout):
        own = not hasattr(os, "getuid") or folder.lstat().st_uid == os.getuid()
        if own and not folder.is_symlink() and (folder / OWNER).is_file():
            with FileLock(folder / OWNER, blocking=False):
                shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def alone(folder: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold `folder` while the block runs; the system lets go of it when the process dies.

    The lock is a hidden file beside the folder, so that it outlives the folder and works on network disks too.

    Args:
        folder: what is held; it is made.
        wait: wait while another process holds it.

    Raises:
        HeldError: another process holds it, and `wait` is false.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(blocking=wait)
    except Timeout:
        raise HeldError(f"another process works in {folder}; wait for it, or stop it first") from None
    try:
        folder.mkdir(exist_ok=True)
        yield
    finally:
        lock.release()


def bounded_name(name: str) -> str:
    """`name`, or a shorter one if it is too long for a prefix and a suffix."""
    return name if len(os.fsencode(name)) <= 2 * LONGEST_NAME else file_name(name)


def delete(path: Path) -> None:
    """Remove a file, a link or a folder with all that is in it; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def empty(folder: Path) -> None:
    """Delete what is in a folder."""
    for path in folder.iterdir():
        delete(path)


@contextmanager
def all_alone(folders: Iterable[Path]) -> Iterator[list[Path]]:
    """Hold those of the folders that are there, all at once, while the block runs; the block gets them in order.

    Raises:
        HeldError: another process works in one of them; none is held then.
        MachineError: the system lets no process hold so many.
    """
    there = sorted(folder for folder in set(folders) if folder.exists())
    open_files(len(there))
    with ExitStack() as held:
        for folder in there:
            held.enter_context(alone(folder, wait=False))
        yield there


def is_name(text: str) -> bool:
    """Whether a name from data is a plain file name on any system: no path, and nothing that points to another
    folder."""
    windows = PureWindowsPath(text)  # knows both separators, and drives
    return bool(text) and text not in (".", "..") and windows.name == text and not windows.anchor and "\0" not in text


def is_inside(text: str) -> bool:
    """Whether a path that came from data, written with "/", stays in the folder that it begins in."""
    return all(map(is_name, text.split("/")))


def file_name(text: str) -> str:
    """A name for a file or folder from any text: two texts never share one, and plain words stay as they are.

    Letters and digits of every script are kept. If other characters were removed, a short hash of the text follows.
    """
    kept = re.sub(r"[^\w-]+", "-", text.lower()).strip("-")
    while len(kept.encode()) > LONGEST_NAME:
        kept = kept[:-1]
    if kept and kept == text:
        return text
    digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()[:8]
    return f"{kept}-{digest}" if kept else digest
