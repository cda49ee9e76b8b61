from __future__ import annotations

import errno
import os
import pickle
from pathlib import Path

import numpy as np
import pytest

from dlkd.data import Sample
from dlkd.data.cache import PixelCache, make_room

TYPE = np.dtype([("image", np.float32, (3, 4, 5)), ("mask", np.bool_, (4, 5))])
ROW = 4 * 3 * 4 * 5 + 4 * 5 + 4


def pixels(index: int) -> np.void:
    row = np.zeros(1, TYPE)[0]
    row["image"] = np.random.default_rng(index).random((3, 4, 5))
    row["mask"] = row["image"][0] > 0.5
    return row


@pytest.fixture
def cache(tmp_path: Path) -> PixelCache:
    return PixelCache(tmp_path / "pixels" / "x", row=TYPE, limit=10 * ROW)


def test_round_trip_in_any_order(cache: PixelCache) -> None:
    assert cache.get(7) is None
    for index in (7, 0, 3):
        cache.put(index, pixels(index))
    for index in range(10):
        kept = cache.get(index)
        if index in (0, 3, 7):
            np.testing.assert_array_equal(kept, pixels(index))
        else:
            assert kept is None


def test_black_pictures_are_told_from_absent_ones(cache: PixelCache) -> None:
    black = np.zeros(1, TYPE)[0]
    cache.put(5, pixels(5))
    assert cache.get(2) is None
    cache.put(2, black)
    np.testing.assert_array_equal(cache.get(2), black)


def test_another_process_reads_what_this_one_wrote(cache: PixelCache) -> None:
    cache.put(1, pixels(1))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(cache)).get(1), pixels(1))


def test_the_limit_holds(cache: PixelCache) -> None:
    for index in range(30):
        cache.put(index, pixels(index))
    assert cache.path.stat().st_size == 10 * ROW
    assert cache.get(9) is not None
    assert cache.get(10) is None


@pytest.mark.parametrize("place", [0, ROW // 2, ROW - 1])
def test_damage_reads_as_absent(cache: PixelCache, place: int) -> None:
    cache.put(0, pixels(0))
    cache.put(1, pixels(1))
    data = bytearray(cache.path.read_bytes())
    data[place] ^= 1
    cache.path.write_bytes(data)
    assert cache.get(0) is None
    np.testing.assert_array_equal(cache.get(1), pixels(1))
    cache.path.write_bytes(data[: ROW + 10])
    assert cache.get(1) is None


@pytest.mark.parametrize("call", ["pwrite", "open"])
def test_a_full_or_read_only_disk_turns_the_cache_off(
    cache: PixelCache, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, refuse)
    cache.put(0, pixels(0))
    monkeypatch.undo()
    cache.put(0, pixels(0))
    assert cache.get(0) is None


def test_the_key_is_what_the_pixels_depend_on(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"a")
    (tmp_path / "b.png").write_bytes(b"b")
    a, b = Sample(tmp_path / "a.png", 0), Sample(tmp_path / "b.png", 0)

    def path(*samples: Sample, row: np.dtype = TYPE) -> Path | None:
        return PixelCache.for_samples(samples, row=row, limit=1000).path

    one = path(a, b)
    assert path(a, b) == one
    assert path(b, a) != one
    assert path(a, b, row=np.dtype([("image", np.float32, (3, 5, 4))])) != one
    assert path(a) != one
    os.utime(tmp_path / "a.png", (1, 1))
    assert path(a, b) != one
    assert PixelCache.for_samples([a], row=TYPE, limit=0).path is None


def test_the_files_used_longest_ago_make_room(tmp_path: Path) -> None:
    for age in range(5):
        (tmp_path / f"{age}").write_bytes(b"x" * 8192)
        os.utime(tmp_path / f"{age}", (1000 - age, 1000 - age))
    make_room(tmp_path, 3 * 8192)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["0", "1", "2"]
    make_room(tmp_path, 0)
    assert not list(tmp_path.iterdir())
