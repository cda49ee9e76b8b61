"""What every test shares: an own cache folder, one thread, a tiny dataset."""

import errno
import io
import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from dlkd.registry import components as registered

# Sums over several threads differ in their last bits, so tests and the processes that they start take one, as trials
# do; `_seed` sets it for this process, which may have loaded OpenMP before it came here.
os.environ["OMP_NUM_THREADS"] = "1"

# A shell that starts the tests in the background has Ctrl-C ignored, by them and by whatever they start; it is tested.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Clusters in tests stay on this machine. Set once for all: Ray keeps the first mode that a process sees.
os.environ["RAY_AUTH_MODE"] = "disabled"


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is read from or left in the user's cache."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DLKD_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def gpu() -> torch.device:
    """Where a test of the marker `gpu` runs; on the CPU in a dry run of `make gpu`, which shows that the test runs."""
    if os.environ.get("DLKD_TEST_GPU") == "cpu":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        pytest.skip("there is no GPU")
    return torch.device("cuda")


@pytest.fixture
def components(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test registers is forgotten after it."""
    registered.load_components()
    monkeypatch.setattr(registered, "_COMPONENTS", dict(registered._COMPONENTS))
    monkeypatch.setattr(registered, "_loaded_files", set())
    monkeypatch.setattr(registered, "_came_with", dict(registered._came_with))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
    torch.set_num_threads(1)


@pytest.fixture
def full_disk(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Whatever atomic write of a file of that name follows finds no space; "" for no file."""
    sync, refused = os.fsync, [""]

    def fsync(file: int) -> None:
        if refused[0] and f".{refused[0]}." in os.readlink(f"/proc/self/fd/{file}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        sync(file)

    monkeypatch.setattr(os, "fsync", fsync)
    return lambda name: refused.__setitem__(0, name)


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An MVTec-layout folder of 32-pixel pictures: category "disc", a bright square as its defect."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)

    def picture(defect: bool) -> tuple[np.ndarray, np.ndarray]:
        pixels = rng.integers(90, 110, (40, 32, 3), dtype=np.uint8)
        mask = np.zeros((40, 32), np.uint8)
        if defect:
            y, x = rng.integers(4, 20, 2)
            pixels[y : y + 8, x : x + 8] = 250
            mask[y : y + 8, x : x + 8] = 255
        return pixels, mask

    for split, count in (("train/good", 6), ("test/good", 3), ("test/square", 4)):
        folder = root / "disc" / split
        folder.mkdir(parents=True)
        for i in range(count):
            pixels, mask = picture(split.endswith("square"))
            Image.fromarray(pixels).save(folder / f"{i:03d}.png")
            if split.endswith("square"):
                truth = root / "disc" / "ground_truth" / "square"
                truth.mkdir(parents=True, exist_ok=True)
                Image.fromarray(mask).save(truth / f"{i:03d}_mask.png")
    return root


@pytest.fixture
def predict_images() -> Callable[..., Any]:
    """`dlkd predict` of a trained model on one path: the counts; `said` takes its messages."""

    def predict(
        trained: Any, images: Path, out: Path, *, overlays: bool = True, maps: Any = None, said: Any = None, **more: Any
    ) -> Any:
        from dlkd.scoring.drawn import Drawn
        from dlkd.scoring.models import OfTrial
        from dlkd.scoring.output import output_of
        from dlkd.scoring.score import Scoring
        from dlkd.scoring.sources import sources

        found = sources([str(images)], io.BytesIO(), out)
        say = print if said is None else said.append
        with output_of(str(out)).open() as rows:
            return Scoring(OfTrial(trained), rows, Drawn(out, overlays, maps=maps), say=say, **more).run(found)

    return predict
