"""Features kept on disk: the same bits as made anew, made once, whole or not there, within bounds."""

import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from dlkd.data import ImageDataset, Sample
from dlkd.models import DLKD
from dlkd.models.teachers.teacher import CleanPass
from dlkd.registry import create_model, default_registry
from dlkd.training import TrainConfig, TrialSpec, run_trial
from dlkd.training.feature_cache import feature_cache

MakeSpec = Callable[..., TrialSpec]
REGISTRY = default_registry()
COUNT = 5


@pytest.fixture(autouse=True)
def cache_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache for each test."""
    monkeypatch.setenv("DLKD_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "features"


def model(**overrides: Any) -> DLKD:
    torch.manual_seed(0)
    teacher = {"backbone": "test_resnet", "weights": "random", **overrides.pop("teacher", {})}
    made: DLKD = create_model("dlkd-lfrb", teacher=teacher, **overrides)
    return made


def pictures(folder: Path) -> list[Sample]:
    samples = [Sample(folder / f"{i}.png", 0) for i in range(COUNT)]
    if folder.exists():
        return samples
    folder.mkdir()
    rng = np.random.default_rng(0)
    for sample in samples:
        Image.fromarray(rng.integers(0, 256, (48, 48, 3), dtype=np.uint8)).save(sample.image)
    return samples


def dataset(folder: Path, m: DLKD, side: int = 48) -> ImageDataset:
    return ImageDataset(pictures(folder), image_size=side, mean=m.teacher.mean, std=m.teacher.std, cache_bytes=0)


def config(**arguments: Any) -> TrainConfig:
    return TrainConfig(**{"image_size": 48, "batch_size": 2, "epochs": 3, **arguments})


def files(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.glob("*.npy")) if folder.exists() else []


def count_images(m: DLKD, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many images each clean pass took, from now on."""
    taken: list[int] = []
    clean = m.clean

    def counted(images: torch.Tensor) -> CleanPass:
        taken.append(len(images))
        return clean(images)

    monkeypatch.setattr(m, "clean", counted)
    return taken


@pytest.mark.parametrize(
    "overrides",
    [
        {"noise_place": "stem"},
        {"noise_place": "stage1"},
        {"noise_place": "every"},
        {"teacher": {"backbone": "test_vit", "stages": [1, 3]}},
        {"teacher": {"backbone": "resnet18", "stages": [1, 2, 3, 4]}},  # down to maps of a single cell
    ],
)
@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
@pytest.mark.parametrize("resident", [False, True])
def test_bits_and_layout_are_those_of_the_clean_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, overrides: Any, precision: str, *, resident: bool
) -> None:
    """With the rows read at each batch, and with all of them on the device, which is the CPU here."""
    monkeypatch.setattr("dlkd.training.feature_cache._fits", lambda size, device: resident)
    m = model(**overrides)
    images = dataset(tmp_path / "set", m, side=32)
    cache = feature_cache(m, images, config(precision=precision))
    assert cache is not None
    for index in ([3, 0, 4], [1], [2, 2]):
        if resident and index == [1]:  # by now nothing is read any more
            cache._rows = np.zeros_like(cache._rows)
        found = cache.batch(torch.tensor(index), torch.device("cpu"))
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            wanted = m.clean(torch.stack([images[i]["image"] for i in index]))
        assert (found.entry is None) == (overrides.get("noise_place") == "every")
        assert len(found.features) == len(wanted.features)
        for a, b in zip((*found.features, found.entry), (*wanted.features, wanted.entry), strict=True):
            if a is not None and b is not None:
                assert a.dtype == b.dtype
                assert torch.equal(a, b)
                assert a.is_contiguous(memory_format=torch.channels_last) == b.is_contiguous(
                    memory_format=torch.channels_last
                )


@pytest.mark.parametrize("noise_place", ["stem", "stage1", "every"])
def test_a_trial_comes_to_the_same_bits(make_spec: MakeSpec, tmp_path: Path, noise_place: str) -> None:
    """With and without, and resumed with what the other did without; an epoch ends in a batch of one."""
    results = {}
    for mib in (0, 100):
        spec = make_spec(
            epochs=3, batch_size=5, image_size=48, feature_cache_mib=mib, overrides={"noise_place": noise_place}
        )
        results[mib] = run_trial(spec, tmp_path / str(mib), REGISTRY)
    assert len(files(tmp_path / "cache" / "features")) == 1
    assert results[0].curve == results[100].curve
    assert repr(results[0].metrics) == repr(results[100].metrics)
    assert results[0].normal == results[100].normal
    a, b = (load_file(tmp_path / str(mib) / "weights.safetensors") for mib in (0, 100))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_a_resumed_trial_comes_to_the_same_bits(make_spec: MakeSpec, tmp_path: Path) -> None:
    spec = make_spec(epochs=4, batch_size=5, image_size=48)
    whole = run_trial(
        make_spec(epochs=4, batch_size=5, image_size=48, feature_cache_mib=0), tmp_path / "whole", REGISTRY
    )

    class PulledPlugError(Exception):
        pass

    def pull_plug(fraction: float) -> None:
        if fraction >= 0.5:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        run_trial(spec, tmp_path / "cut", REGISTRY, on_epoch=pull_plug)
    assert run_trial(spec, tmp_path / "cut", REGISTRY, resume=True).curve == whole.curve
    a, b = (load_file(tmp_path / name / "weights.safetensors") for name in ("whole", "cut"))
    assert all(torch.equal(a[k], b[k]) for k in a)


def test_made_once_and_then_mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m = model()
    images = dataset(tmp_path / "set", m)
    taken = count_images(m, monkeypatch)
    assert feature_cache(m, images, config()) is not None
    assert taken == [1, 2, 2, 1]  # the first only measures
    taken.clear()
    second = feature_cache(m, images, config())
    assert taken == [1]
    assert second is not None
    assert isinstance(second._rows, np.memmap)
    assert not second._rows.flags.writeable


def test_trials_that_ask_at_once_make_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    m = model()
    images = dataset(tmp_path / "set", m)
    taken = count_images(m, monkeypatch)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(feature_cache(m, images, config()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert None not in found
    assert sum(taken) == 4 + COUNT


def test_the_key_is_what_the_bits_depend_on(tmp_path: Path, cache_folder: Path) -> None:
    def key(m: DLKD, images: ImageDataset, c: TrainConfig) -> str:
        before = set(files(cache_folder))
        assert feature_cache(m, images, c) is not None
        (path,) = set(files(cache_folder)) - before or {"as before"}
        return path

    m = model()
    images = dataset(tmp_path / "set", m)
    key(m, images, config())
    assert key(model(), images, config(batch_size=3, epochs=7)) == "as before"
    assert key(model(decoder={"upsample": "bilinear"}), images, config()) == "as before"
    others: list[tuple[DLKD, ImageDataset, TrainConfig]] = [
        (model(noise_place="stage1"), images, config()),
        (m, dataset(tmp_path / "set", m, side=64), config()),
        (m, images, config(precision="bf16-mixed")),
        (m, ImageDataset(images.samples[1:], image_size=48, mean=(0, 0, 0), std=(1, 1, 1)), config()),
    ]
    for other in others:
        assert key(*other) != "as before"
    with torch.no_grad():
        next(iter(m.teacher.parameters()))[0, 0, 0, 0] += 1e-3
    assert key(m, images, config()) != "as before"
    os.utime(images.samples[2].image, (1, 1))
    assert key(m, images, config()) != "as before"


def test_bounded(tmp_path: Path, cache_folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    m = model()
    images = dataset(tmp_path / "set", m, side=256)
    caplog.set_level("DEBUG", "dlkd.training.feature_cache")
    assert feature_cache(m, images, config(feature_cache_mib=1)) is None
    assert "not kept" in caplog.text
    assert feature_cache(m, images, config(feature_cache_mib=0)) is None
    assert feature_cache(m, images, config(epochs=1)) is None
    assert feature_cache(m, images, config(max_steps=COUNT - 1)) is None
    assert not files(cache_folder)
    assert feature_cache(m, images, config(max_steps=COUNT)) is not None


def test_a_full_disk_is_no_error_and_leaves_nothing(
    tmp_path: Path, cache_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    m = model()
    images = dataset(tmp_path / "set", m)

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", refuse)
    assert feature_cache(m, images, config()) is None
    assert [p.suffix for p in cache_folder.iterdir()] == [".lock"]
    monkeypatch.undo()
    monkeypatch.setenv("DLKD_CACHE", str(cache_folder.parent))
    assert feature_cache(m, images, config()) is not None


@pytest.mark.parametrize("damage", ["empty", "cut", "another"])
def test_a_damaged_file_is_made_anew(tmp_path: Path, cache_folder: Path, damage: str) -> None:
    m = model()
    images = dataset(tmp_path / "set", m)
    assert feature_cache(m, images, config()) is not None
    (path,) = cache_folder.glob("*.npy")
    whole = path.read_bytes()
    if damage == "another":
        np.save(path, np.zeros(COUNT))
    else:
        path.write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"")
    assert feature_cache(m, images, config()) is not None
    assert path.read_bytes() == whole


@pytest.mark.slow
def test_one_killed_while_making_it_leaves_the_way_free(
    make_spec: MakeSpec, tmp_path: Path, cache_folder: Path
) -> None:
    spec = make_spec(epochs=2, batch_size=2)
    script = (
        "import json, time; from pathlib import Path\n"
        "from dlkd.models import DLKD\n"
        "clean, calls = DLKD.clean, []\n"
        "def slow(self, images):\n"
        "    calls.append(0)\n"
        "    if len(calls) == 3: time.sleep(100)\n"
        "    return clean(self, images)\n"
        "DLKD.clean = slow\n"
        "from dlkd.registry import default_registry; from dlkd.training import TrialSpec, run_trial\n"
        f"spec = TrialSpec.model_validate(json.loads({json.dumps(spec.model_dump_json())}))\n"
        f"run_trial(spec, Path({str(tmp_path / 'cut')!r}), default_registry())\n"
    )
    process = subprocess.Popen([sys.executable, "-c", script])
    deadline = time.monotonic() + 120
    while not list(cache_folder.glob(".*.tmp")):
        assert process.poll() is None, "ended before it wrote"
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(0.5)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(60)
    assert not files(cache_folder)
    resumed = run_trial(spec, tmp_path / "cut", REGISTRY, resume=True)
    assert len(files(cache_folder)) == 1
    assert not list(cache_folder.glob(".*.tmp"))
    whole = run_trial(make_spec(epochs=2, batch_size=2, feature_cache_mib=0), tmp_path / "whole", REGISTRY)
    assert resumed.curve == whole.curve


@pytest.mark.gpu
def test_rows_that_fit_stay_on_the_gpu(tmp_path: Path, gpu: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    m = model().to(gpu)
    images = dataset(tmp_path / "set", m)
    index = torch.tensor([3, 0, 4])
    found = []
    for share in (0.0, 1.0):
        monkeypatch.setattr("dlkd.training.feature_cache.GPU_SHARE", share)
        cache = feature_cache(m, images, config())
        assert cache is not None
        found.append(cache.batch(index, gpu))
        there = cache._there or {}
        assert {x.device.type for x in there.values()} == ({"cuda"} if share and gpu.type == "cuda" else set())
    for a, b in zip(found[0].features, found[1].features, strict=True):
        assert torch.equal(a, b)
        assert a.stride() == b.stride()
