"""Trials that travel: what counts as finished there, what is copied, and what a broken copy leaves."""

import contextlib
import io
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Callable
from pathlib import Path

import fsspec
import pytest
import ray
from rich.console import Console

from dlkd.ablations.plan.cells import Cell
from dlkd.ablations.run.display import Display
from dlkd.ablations.run.pool import Pool
from dlkd.ablations.run.runner import run_cells
from dlkd.ablations.run.worker import CellWorker
from dlkd.ablations.stored.remote import Storage, StorageError
from dlkd.ablations.stored.store import FAILURE, failure, missing_cells
from dlkd.training import read_result

MakeCells = Callable[..., list[Cell]]


@pytest.fixture(params=["memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "memory":
        return f"memory://{uuid.uuid4()}/trials"
    return f"file://{tmp_path}/there"


@pytest.fixture
def trial(tmp_path: Path) -> Path:
    """A finished trial with what a running one may leave behind."""
    folder = tmp_path / "here" / "abc"
    (folder / "sub").mkdir(parents=True)
    for name in ("trial.yaml", "result.json", "sub/file", "last.ckpt", FAILURE, ".weights.tmp"):
        (folder / name).write_text(name)
    return folder


def test_a_trial_goes_there_and_comes_back(url: str, trial: Path, tmp_path: Path) -> None:
    storage = Storage(url)
    assert storage.fetch(["abc"], tmp_path / "other") == []
    storage.push(trial)
    assert storage.names() == ["abc"]
    assert Storage(url).fetch(["abc", "never"], tmp_path / "other") == ["abc"]
    copied = {p.relative_to(tmp_path / "other").as_posix(): p.read_text() for p in (tmp_path / "other").rglob("*.*")}
    assert copied == {f"abc/{name}": name for name in ("trial.yaml", "result.json")}
    assert (tmp_path / "other/abc/sub/file").read_text() == "sub/file"

    (tmp_path / "other/abc/trial.yaml").write_text("of this machine")
    assert storage.fetch(["abc"], tmp_path / "other") == []
    assert (tmp_path / "other/abc/trial.yaml").read_text() == "of this machine"

    storage.forget("abc")
    assert storage.fetch(["abc"], tmp_path / "third") == []


@pytest.mark.parametrize("broken", ["trial.yaml", "sub/file", "result.json"])
def test_a_copy_that_breaks_off_does_not_count(
    url: str, trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    storage = Storage(url)
    storage.push(trial)  # an older one, which must not count with some of the new one's files
    files = fsspec.core.url_to_fs(url)[0]
    whole = type(files).put_file

    def put_file(self: object, source: str, target: str, **more: object) -> None:
        if source.endswith(broken):
            raise OSError("the line is cut")
        whole(self, source, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(type(files), "put_file", put_file)
        with pytest.raises(StorageError, match=r"cannot copy .*abc to .*: OSError: the line is cut"):
            storage.push(trial)
    assert storage.fetch(["abc"], tmp_path / "other") == []
    storage.push(trial)
    assert storage.fetch(["abc"], tmp_path / "other") == ["abc"]


def test_a_fetch_that_breaks_off_does_not_count(
    url: str, trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(url)
    storage.push(trial)
    files = type(fsspec.core.url_to_fs(url)[0])
    whole = files.get_file

    def get_file(self: object, source: str, target: str, **more: object) -> None:
        if source.endswith("sub/file"):
            raise OSError("the line is cut")
        whole(self, source, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(files, "get_file", get_file)
        with pytest.raises(StorageError, match="the line is cut"):
            storage.fetch(["abc"], tmp_path / "other")
    assert not (tmp_path / "other/abc/result.json").exists()
    assert storage.fetch(["abc"], tmp_path / "other") == ["abc"]


@pytest.mark.parametrize("name", ["../../evil", "sub/../../evil", "..", "a\\\\evil", "C:evil", "/evil"])
def test_a_name_in_the_storage_that_leads_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    url = f"memory://{uuid.uuid4()}/trials"
    files, root = fsspec.core.url_to_fs(url)
    for file in ("result.json", name):
        files.pipe_file(f"{root}/abc/{file}", b"")
    store = tmp_path / "store"
    with pytest.raises(StorageError, match=r"memory://.*: trial 'abc' has a file '.*', which leads out of its folder"):
        Storage(url).fetch(["abc"], store)
    assert not list(tmp_path.rglob("*evil*"))
    assert not (store / "abc/result.json").exists()
    with pytest.raises(StorageError, match=r"a trial is named '\.\./abc', which leads out of its folder"):
        Storage(url).fetch(["../abc"], store)


def test_a_link_in_the_store_is_not_followed(trial: Path, tmp_path: Path) -> None:
    storage = Storage(f"memory://{uuid.uuid4()}/trials")
    storage.push(trial)
    (tmp_path / "outside").mkdir()
    (tmp_path / "store/abc").mkdir(parents=True)
    (tmp_path / "store/abc/sub").symlink_to(tmp_path / "outside")
    with pytest.raises(StorageError, match=r"store/abc/sub is a link that leads out of .*abc; delete it"):
        storage.fetch(["abc"], tmp_path / "store")
    assert list((tmp_path / "outside").iterdir()) == []


def test_a_result_that_is_a_folder_is_none(trial: Path, tmp_path: Path) -> None:
    storage = Storage(str(tmp_path / "there"))
    (tmp_path / "there/abc/result.json/x").mkdir(parents=True)
    (tmp_path / "there/def/result.json").mkdir(parents=True)
    assert storage.names() == []
    assert storage.fetch(["abc"], tmp_path / "store") == []
    assert storage.fetch(["abc", "def"], tmp_path / "store") == []
    storage.push(trial)
    assert storage.names() == ["abc"]


def test_what_the_store_has_already_reaches_the_storage(
    make_tiny_cells: MakeCells,
    finish_cell: Callable[[Cell, Path], None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whether anything is left to train or not; what is there is not copied again."""
    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    cells = make_tiny_cells()
    store = tmp_path / "store"
    for cell in cells:
        finish_cell(cell, store)
    pool = Pool(storage=str(tmp_path / "there"))
    there = Storage(str(tmp_path / "there"))
    for expected in (2, 0, 1):
        if expected == 1:
            there.forget(cells[0].key)
        text = io.StringIO()
        run_cells(cells, store, pool, Display(store, Console(file=text, width=300)))
        assert (f"{expected} finished trials copied to file://" in text.getvalue()) == (expected > 0)
        assert there.names() == sorted(cell.key for cell in cells)


def test_a_plain_path_means_the_same_from_everywhere(
    trial: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    url = Storage("there").url
    monkeypatch.chdir("/")
    Storage(url).push(trial)
    assert (tmp_path / "there/abc/result.json").exists()


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(StorageError, match=r"cannot use nowhere://x: ValueError: Protocol not known: nowhere"):
        Storage("nowhere://x")


def test_a_storage_that_takes_nothing_is_found_before_anything_is_trained(
    make_tiny_cells: MakeCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ray, "init", lambda *_, **__: pytest.fail("Ray was started"))
    (tmp_path / "there").write_text("a file")
    store = tmp_path / "store"
    with pytest.raises(StorageError, match=r"cannot write to file://.*there"):
        run_cells(make_tiny_cells(), store, Pool(storage=str(tmp_path / "there")), Display(store, Console(quiet=True)))
    storage = Storage(f"memory://{uuid.uuid4()}")
    storage.check()
    assert storage.names() == []


@pytest.mark.parametrize("keep", ["weights", "results"])
def test_what_a_worker_leaves_is_found_on_another_machine(
    make_tiny_cells: MakeCells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keep: str
) -> None:
    """The worker's and the driver's disks have nothing in common but the storage."""
    cells = make_tiny_cells()
    plain = {
        cell.key: {
            "key": cell.key,
            "spec": cell.spec.model_dump(mode="json"),
            "store": str(tmp_path / "of the worker"),
            "storage": f"file://{tmp_path}/there",
            "keep": keep,
            "registry": [],
            "imports": {},
            "threads": 1,
        }
        for cell in cells
    }
    worker = object.__new__(CellWorker)
    worker.setup({"cell": cells[0].key}, plain)
    worker.step()
    worker.reset_config({"cell": cells[1].key})
    worker.step()

    monkeypatch.setattr(ray, "init", lambda **_: pytest.fail("Ray was started"))
    store = tmp_path / "of the driver"
    text = io.StringIO()
    pool = Pool(storage=f"file://{tmp_path}/there")
    run_cells(cells, store, pool, Display(store, Console(file=text, width=200)))
    assert "2 already done, 0 to train" in text.getvalue()
    assert missing_cells(cells, store) == []
    for cell in cells:
        here, there = store / cell.key, tmp_path / "of the worker" / cell.key
        assert repr(read_result(here)) == repr(read_result(there))
        names = {"cell.json", "trial.yaml", "examples.npz", "influences.npy", "result.json"} | (
            {"weights.safetensors"} if keep == "weights" else set()
        )
        assert {p.name for p in here.iterdir()} == {p.name for p in there.iterdir()} == names


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("ignore")  # Ray's own: unclosed sockets and files of its processes
def test_a_cluster_without_a_shared_disk(make_tiny_cells: MakeCells, tmp_path: Path) -> None:
    """Two nodes with a CPU each; where the first has the store, the second has a disk of its own mounted."""
    if subprocess.run(["unshare", "--mount", "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount")
    store = tmp_path / "store"
    store.mkdir()

    def ray_start(name: str, before: str, *words: str) -> None:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--num-cpus=1", *words]
        done = subprocess.run(
            ["unshare", "--mount", "bash", "-c", f'{before} exec "$@"', "bash", *command],
            capture_output=True,
            text=True,
            env={**os.environ, "DLKD_TEST": name},
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    ray_start("disk-1", "", "--head", "--port=6398", "--include-dashboard=false")
    try:
        ray_start("disk-2", f"mount -t tmpfs own {store} &&", "--address=127.0.0.1:6398")
        cells = make_tiny_cells([("A", {}), ("B", {"sigma": 2.0}), ("NaN", {"optimizer": {"lr": 1e30}})], seeds=2)
        text = io.StringIO()
        pool = Pool(retries=0, address="127.0.0.1:6398", storage=str(tmp_path / "there"))
        run_cells(cells, store, pool, Display(store, Console(file=text, width=500)))
        second = next(pid for pid, words in _processes("disk-2").items() if "raylet/raylet" in words)
        of_the_second = {path.parent.name for path in Path(f"/proc/{second}/root{store}").glob("*/result.json")}
        assert of_the_second, text.getvalue()
        assert of_the_second < {cell.key for cell in cells[:4]}
        assert missing_cells(cells, store) == cells[4:]
        for cell in cells[4:]:  # why a cell failed reaches the driver from any disk
            assert str(failure(cell.key, store)).startswith("NonFiniteLossError: the loss is not finite")
        assert text.getvalue().count("image_auroc") == 4
    finally:
        for name in ("disk-1", "disk-2"):
            for pid in _processes(name):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _processes(token: str) -> dict[int, str]:
    """Processes that were started with DLKD_TEST=token, and their command lines."""
    found = {}
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with contextlib.suppress(OSError):  # it has just ended
                if f"DLKD_TEST={token}\0".encode() in (path / "environ").read_bytes():
                    found[int(path.name)] = (path / "cmdline").read_bytes().decode()
    return found
