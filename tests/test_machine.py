"""What a process may take of the machine: systems, cores, threads, temporary folders."""

import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dlkd import machine
from dlkd.machine import (
    MachineError,
    cache_folder,
    check_system,
    choose_threads,
    cores,
    crowded,
    expanded,
    has_bf16,
    open_files,
    running_elsewhere,
    temporary_folder,
)


@pytest.fixture
def eight(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine of eight cores, all of them allowed, where nothing else runs."""
    monkeypatch.delenv("SLURM_CPUS_PER_TASK", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "running_elsewhere", lambda: 0)


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"sys/fs/cgroup/cpu.max": "300000 100000\n"}, 3),
        ({"sys/fs/cgroup/cpu.max": "max 100000\n"}, 8),
        ({"sys/fs/cgroup/cpu.max": "150000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "10000 100000\n"}, 1),
        ({"sys/fs/cgroup/cpu.max": "rubbish"}, 8),
        ({"sys/fs/cgroup/cpu.max": "300000 0\n"}, 8),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/b/cpu.max": "200000 100000"}, 2),
        ({"proc/self/cgroup": "0::/a/b\n", "sys/fs/cgroup/a/cpu.max": "200000 100000"}, 2),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "400000", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 4),
        ({"sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1", "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000"}, 8),
        (
            {
                "proc/self/cgroup": "4:cpu,cpuacct:/job\n2:memory:/other\n",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_quota_us": "500000",
                "sys/fs/cgroup/cpu,cpuacct/job/cpu.cfs_period_us": "100000",
            },
            5,
        ),
    ],
)
def test_cores_of_a_container(files: dict[str, str], expected: int, eight: None, tmp_path: Path) -> None:
    assert cores(write(tmp_path, files)) == expected


def test_cores_of_a_scheduler(eight: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "3")
    assert cores(tmp_path) == 3
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {5, 7})
    assert cores(tmp_path) == 2
    monkeypatch.delattr(os, "sched_getaffinity")  # macOS
    monkeypatch.delenv("SLURM_CPUS_PER_TASK")
    assert cores(tmp_path) == 8


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, True),
        ({"proc/cpuinfo": "processor\t: 0\n"}, True),
        ({"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu avx2 avx512f\n"}, False),
        ({"proc/cpuinfo": "processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n"}, True),
        ({"proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd\n"}, False),
        ({"proc/cpuinfo": "processor\t: 0\nFeatures\t: fp asimd bf16\n"}, True),
    ],
)
def test_instructions_for_bf16(files: dict[str, str], expected: bool, tmp_path: Path) -> None:
    assert has_bf16(write(tmp_path, files)) is expected


@pytest.mark.skipif(shutil.which("taskset") is None or os.cpu_count() == 1, reason="needs taskset and two cores")
def test_cores_under_taskset() -> None:
    code = "import sys; sys.path.insert(0, sys.argv[1]); import machine; print(machine.cores())"
    command = ["taskset", "-c", "0", sys.executable, "-c", code, str(Path(machine.__file__).parent)]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "1"


@pytest.mark.parametrize(
    ("asked", "environment", "elsewhere", "threads", "said"),
    [
        (None, {}, 0, 8, ""),
        (None, {}, 3, 5, "taking 5 of 8 cores"),
        (None, {}, 20, 1, "taking 1 of 8 cores"),
        (None, {"OMP_NUM_THREADS": "2"}, 3, 2, ""),
        (None, {"OMP_NUM_THREADS": "4,2"}, 6, 4, "4 more may be slow"),
        (None, {"OMP_NUM_THREADS": "many"}, 0, 8, ""),
        (6, {"OMP_NUM_THREADS": "2"}, 0, 6, ""),
        (6, {}, 4, 6, "6 more may be slow"),
        (9, {}, 0, 9, "take --threads 8"),
    ],
)
def test_threads(
    asked: int | None,
    environment: dict[str, str],
    elsewhere: int,
    threads: int,
    said: str,
    eight: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(machine, "running_elsewhere", lambda: elsewhere)
    found, line = choose_threads(asked, environment)
    assert found == threads
    assert said in line
    assert bool(said) == bool(line)
    assert "\n" not in line


@pytest.mark.parametrize(
    ("trials", "threads", "elsewhere", "said"),
    [
        (8, 1, 0, ""),
        (2, 4, 0, ""),
        (6, 1, 2, ""),
        (9, 1, 0, "9 trials at a time take 9 threads on 8 cores and slow each other; take --workers 8"),
        (4, 3, 5, "4 trials at a time take 12 threads on 8 cores and slow each other; take --workers 2"),
        (1, 9, 0, "1 trials at a time take 9 threads on 8 cores and slow each other; take --threads 8 --workers 1"),
        (6, 1, 3, "other programs compute in 3 threads, this machine has 8 cores: 6 trials at a time may be slow"),
    ],
)
def test_trials_without_a_core_for_each_thread_are_said(
    trials: int, threads: int, elsewhere: int, said: str, eight: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(machine, "running_elsewhere", lambda: elsewhere)
    line = crowded(trials, threads)
    assert said in line
    assert bool(said) == bool(line)
    assert "\n" not in line


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_a_program_that_computes_is_seen() -> None:
    with subprocess.Popen([sys.executable, "-c", "print(flush=True)\nwhile True: pass"], stdout=-1) as other:
        try:
            assert other.stdout is not None
            other.stdout.readline()
            assert max(running_elsewhere() for _ in range(20)) >= 1
        finally:
            other.kill()


def test_threads_sleep_and_the_users_own_wish_stays() -> None:
    code = "import os, dlkd; print(os.environ['OMP_WAIT_POLICY'], os.environ['RAY_ENABLE_UV_RUN_RUNTIME_ENV'])"
    bare = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "RAY_ENABLE_UV_RUN_RUNTIME_ENV")}
    for environment, expected in ((bare, "passive 0"), (bare | {"OMP_WAIT_POLICY": "active"}, "active 0")):
        done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
        assert done.stdout.strip() == expected, done.stderr


@pytest.mark.parametrize("system", ["win32", "cygwin", "freebsd14", "emscripten"])
def test_an_unsupported_system_is_named(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_system()
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(MachineError, match=f"this system is '{system}'.*WSL 2"):
        check_system()


def test_temporary_files_lie_where_sockets_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = tmp_path / ("x" * 80)
    long.mkdir()
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(long))
    assert len(os.fsencode(temporary_folder())) <= machine.LONGEST_TEMPORARY
    monkeypatch.setattr("tempfile.gettempdir", lambda: "/tmp")
    assert temporary_folder() == Path("/tmp").resolve()
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(MachineError, match="set TMPDIR"):
        temporary_folder()


@pytest.mark.parametrize(("soft", "hard", "set_to"), [(1024, 4096, 2256), (4096, 4096, None), (-1, -1, None)])
def test_files_may_be_open_as_many_as_are_needed(
    soft: int, hard: int, set_to: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    now = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: now.append(limits))
    open_files(2000)
    assert now == ([] if set_to is None else [(set_to, hard)])
    if hard > 0:
        with pytest.raises(MachineError, match=r"allows a process 4096 open files: raise the limit"):
            open_files(5000)


def test_a_home_folder_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/some/home")
    assert expanded("~/data") == Path("/some/home/data")
    with pytest.raises(MachineError, match=r"~nobody-here/data: this system knows no such home folder; write"):
        expanded("~nobody-here/data")
    monkeypatch.delenv("HOME")
    monkeypatch.delenv("DLKD_CACHE", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # a container whose user has no entry
    with pytest.raises(MachineError, match=r"no home folder for ~/\.cache/dlkd: set DLKD_CACHE to a folder"):
        cache_folder()
