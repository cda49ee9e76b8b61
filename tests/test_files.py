"""Files and folders that survive crashes, other processes and odd names."""

from __future__ import annotations

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from dlkd.files import (
    HeldError,
    all_alone,
    alone,
    atomic_path,
    empty,
    file_name,
    is_inside,
    is_name,
    new_folder,
    scratch_folder,
    write_text,
)


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.txt"
    write_text(path, "old")
    with pytest.raises(FileNotFoundError), atomic_path(path) as temporary:
        temporary.with_name("half").rename(temporary)
    assert path.read_text() == "old"
    assert list(path.parent.iterdir()) == [path]


def test_errors_of_a_full_disk_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    full = OSError(errno.ENOSPC, "No space left on device")
    for error in (full, OSError("Error writing bytes to file")):
        with pytest.raises(OSError, match=rf"{error.strerror or error.args[0]}|{path}") as caught, atomic_path(path):
            raise error
        assert str(path) in str(caught.value)
        assert caught.value.errno == error.errno
    with pytest.raises(OSError, match=r"No space left on device: '.*new'"), new_folder(tmp_path / "new"):
        raise full
    with pytest.raises(OSError, match=r"/nowhere") as caught, atomic_path(path):
        Path("/nowhere/b").read_bytes()
    assert list(tmp_path.iterdir()) == []


def test_what_killed_processes_left_of_scratch_folders_goes_at_the_next_start(tmp_path: Path) -> None:
    code = f"""
from pathlib import Path
from dlkd.files import scratch_folder
with scratch_folder("ray-", Path({str(tmp_path)!r})) as folder:
    (folder / "socket").mkdir()
    print(folder, flush=True)
    input()
"""
    (tmp_path / "ray-of-somebody").mkdir()
    (tmp_path / "ray-link").symlink_to(tmp_path / "ray-of-somebody")
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        left = Path(other.stdout.readline().strip())
        with scratch_folder("ray-", tmp_path) as own:
            assert own.is_dir()
            assert (left / "socket").is_dir()
        assert not own.exists()
        other.kill()
    assert left.is_dir()
    with scratch_folder("ray-", tmp_path):
        assert not left.exists()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ray-link", "ray-of-somebody"]


def test_a_folder_that_another_process_holds_is_refused_or_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "trial"
    code = f"""
from pathlib import Path
from dlkd.files import alone
with alone(Path({str(folder)!r})):
    print("held", flush=True)
    input()
"""
    with subprocess.Popen([sys.executable, "-c", code], stdin=-1, stdout=-1, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(HeldError, match=r"another process works in .*trial"), alone(folder, wait=False):
            pass
        other.kill()  # the lock dies with its process
    with alone(folder, wait=False):
        folder.rmdir()  # and outlives its folder
        with pytest.raises(HeldError), alone(folder, wait=False):
            pass


def test_folders_are_held_all_at_once_or_not_at_all(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("c", "none", "a", "b")]
    for name in "abc":
        (tmp_path / name).mkdir()
    with alone(tmp_path / "b"), pytest.raises(HeldError, match=r"works in .*b;"), all_alone(folders):
        pass
    with all_alone(folders) as held:
        assert held == [tmp_path / name for name in "abc"]
        for folder in held:
            with pytest.raises(HeldError), alone(folder, wait=False):
                pass
    with all_alone(folders), pytest.raises(HeldError), all_alone(folders):
        pass
    assert not (tmp_path / "none").exists()


def test_a_folder_is_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    (folder / "b").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path)
    empty(folder)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/a", "a\\b", "..\\a", "C:a", "a\0"])
def test_names_that_lead_elsewhere(name: str) -> None:
    assert not is_name(name)
    assert is_inside(name) == (name == "a/b")


def test_a_new_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    target = tmp_path / "a" / "made"
    with pytest.raises(RuntimeError), new_folder(target) as folder:
        raise RuntimeError
    assert list(target.parent.iterdir()) == []
    with new_folder(target) as folder:
        (folder / "x").write_text("first")
    with new_folder(target) as folder:
        (folder / "x").write_text("second")
    assert (target / "x").read_text() == "first"
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.parametrize("name", ["table4", "my_grid", "表格"])
def test_plain_names_stay(name: str) -> None:
    assert file_name(name) == name


def test_two_texts_never_share_a_name() -> None:
    texts = [
        "PRL [w/o gate]",
        "PRL w/o gate",
        "prl w/o gate",
        "../up",
        "a.b",
        "a b",
        "$x$",
        "",
        "\udcff",
        "x" * 300,
        "y" * 300,
    ]
    names = [file_name(text) for text in texts]
    assert len(set(names)) == len(names)
    assert all(0 < len(name.encode()) < 200 and "/" not in name and "." not in name for name in names)
    # Of names that differ in case alone a Mac has one file.
    assert file_name("Grid").lower() != file_name("grid").lower()


def test_long_names_leave_room_for_what_stands_around_them(tmp_path: Path) -> None:
    write_text(tmp_path / ("x" * 250), "text")
    assert [path.name for path in tmp_path.iterdir()] == ["x" * 250]


def test_what_utf_8_does_not_take_is_escaped(tmp_path: Path) -> None:
    write_text(tmp_path / "a", "\udcff")
    assert (tmp_path / "a").read_text() == "\\udcff"
