"""The resources that this process may use: system, cores, threads, temporary folders.

Imports nothing but the standard library: `dlkd` asks here before PyTorch is loaded.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

SYSTEMS = ("linux", "darwin")
LONGEST_TEMPORARY = 45
"""Bytes of a folder below which Ray's sockets fit: a socket's path has 107 on Linux, 103 on macOS."""

USUAL_FILES = 256
"""Files and sockets that a process with Ray has open besides."""


class MachineError(ValueError):
    """This machine lacks a requested resource; the message names the resource and what to do."""


def check_system() -> None:
    """Raise MachineError on a system that dlkd does not run on."""
    if sys.platform not in SYSTEMS:
        raise MachineError(
            f"dlkd runs on Linux, and is expected to run on macOS; this system is '{sys.platform}'. "
            "On Windows, install it in WSL 2 (docs/limits.md)"
        )


def prepare() -> None:
    """Set what libraries read from the environment while they load; what the user has set stays.

    OpenMP's threads spin for milliseconds after each operation by default. If two processes share cores, each spins on
    a core that the other needs, and both take several times as long. With this setting the threads sleep.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    # Where `uv run` started this process, Ray would build a new environment for each worker; ours is complete.
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")


def cores(root: Path = Path("/")) -> int:
    """The number of cores that this process may use, by affinity, the quotas of containers and the scheduler's
    allocation.

    Args:
        root: where `/proc` and `/sys` lie.

    Returns:
        At least 1. A quota of 1.5 cores counts as 1.
    """
    counts = [float(os.cpu_count() or 1)]
    if hasattr(os, "sched_getaffinity"):  # Linux only
        counts.append(len(os.sched_getaffinity(0)))
    counts += _quotas(root)
    allotted = os.environ.get("SLURM_CPUS_PER_TASK", "")
    if allotted.isdigit() and int(allotted):
        counts.append(int(allotted))
    return max(1, math.floor(min(counts)))


def processor(root: Path = Path("/")) -> str:
    """The name of the processor, as far as the system says it.

    Args:
        root: where `/proc` lies.
    """
    return _cpuinfo(root, "model name") or platform.processor() or platform.machine()


def has_bf16(root: Path = Path("/")) -> bool:
    """Whether the processor has instructions for bf16; True where the system does not say.

    Args:
        root: where `/proc` lies.
    """
    has = _cpuinfo(root, "flags", "Features").split()  # x86, ARM
    return not has or not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(has)


def free_cores() -> int:
    """How many of `cores()` no other process computes on at this moment, at least 1.

    Counts the threads that run now, since the load average still holds those that ended a minute ago.
    """
    return max(1, min(cores(), (os.cpu_count() or 1) - running_elsewhere()))


def running_elsewhere() -> int:
    """Threads that compute now on this machine, without this one; by the load average where the system does not say."""
    try:
        running = int(Path("/proc/loadavg").read_text(encoding="ascii").split()[3].split("/")[0])
        return max(0, running - 1)
    except (OSError, ValueError, IndexError):
        return round(os.getloadavg()[0]) if hasattr(os, "getloadavg") else 0


def threads_given(environment: Mapping[str, str] | None = None) -> int | None:
    """The number of threads in OMP_NUM_THREADS; None where it is not set or says none."""
    given = (os.environ if environment is None else environment).get("OMP_NUM_THREADS", "").split(",")[0].strip()
    return int(given) or None if given.isdigit() else None


def choose_threads(asked: int | None, environment: Mapping[str, str] | None = None) -> tuple[int, str]:
    """The number of threads for PyTorch, and a message for the user, or "".

    Args:
        asked: what the user wants; None takes OMP_NUM_THREADS, and without it the cores that are free.
        environment: instead of this process' own.
    """
    if asked is None:
        asked = threads_given(environment)
    allowed, elsewhere = cores(), running_elsewhere()
    threads = free_cores() if asked is None else asked
    total = os.cpu_count() or 1
    if threads > allowed:
        return threads, f"note: {threads} threads on {allowed} cores slow each other; take --threads {allowed}"
    if elsewhere and elsewhere + (threads if asked else allowed) > total:
        load = f"note: other programs compute in {elsewhere} threads, this machine has {total} cores"
        if asked is None and threads < allowed:
            return threads, f"{load}: taking {threads} of {allowed} cores; --threads takes another number"
        return threads, f"{load}: {threads} more may be slow"
    return threads, ""


def crowded(trials: int, threads: int) -> str:
    """A line where so many trials at a time, on so many threads each, find no core for each thread, else ""."""
    wanted, allowed, elsewhere, total = trials * threads, cores(), running_elsewhere(), os.cpu_count() or 1
    if wanted > allowed:
        fits = f"--workers {allowed // threads}" if threads <= allowed else f"--threads {allowed} --workers 1"
        return (
            f"note: {trials} trials at a time take {wanted} threads on {allowed} cores and slow each other; take {fits}"
        )
    if elsewhere and elsewhere + wanted > total:
        return (
            f"note: other programs compute in {elsewhere} threads, this machine has {total} cores: {trials} trials at "
            "a time may be slow; --workers takes another number"
        )
    return ""


def expanded(path: str | os.PathLike[str]) -> Path:
    """A path with `~` and `~name` followed. Raises MachineError where the system knows no such home folder."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise MachineError(f"{path}: this system knows no such home folder; write the path out") from None


def cache_folder() -> Path:
    """The folder of the cache: $DLKD_CACHE, or ~/.cache/dlkd. Raises MachineError without a home."""
    given = os.environ.get("DLKD_CACHE")
    try:
        return expanded(given or "~/.cache/dlkd")
    except MachineError:
        if given:
            raise
        raise MachineError("this user has no home folder for ~/.cache/dlkd: set DLKD_CACHE to a folder") from None


def temporary_folder() -> Path:
    """A folder for temporary files whose path is short enough for Ray's sockets.

    Raises:
        MachineError: none can be written.
    """
    places = [tempfile.gettempdir(), "/tmp", "/var/tmp", "/dev/shm"]
    for place in places:
        path = Path(place).resolve()
        if len(os.fsencode(path)) <= LONGEST_TEMPORARY and path.is_dir() and os.access(path, os.W_OK | os.X_OK):
            return path
    raise MachineError(
        f"no folder for Ray's temporary files: its sockets need a path of at most {LONGEST_TEMPORARY} bytes that can "
        f"be written, and none of {', '.join(dict.fromkeys(places))} is one; set TMPDIR"
    )


def open_files(more: int) -> None:
    """Let this process hold so many files open beside what it has open anyway, as far as the system allows.

    Raises:
        MachineError: the system allows fewer.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = more + USUAL_FILES
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise MachineError(
            f"{more} trials are to be held at once, and this system allows a process {hard} open files: "
            f"raise the limit (ulimit -Hn {needed}), or take fewer cells at a time"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the machine, or its GPU, is out of memory, in Python, NumPy or PyTorch."""
    torchs = type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in str(error)
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and torchs)


def _cpuinfo(root: Path, *names: str) -> str:
    """What the system says of a processor under one of these names; "" where it says nothing."""
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith(names):
                return line.partition(":")[2].strip()
    return ""


def _quotas(root: Path) -> list[float]:
    """The CPU quotas, in cores, of this process' control groups and of those above them (versions 1 and 2)."""
    try:
        lines = (root / "proc/self/cgroup").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    groups = {""}
    for line in lines:
        number, _, rest = line.partition(":")
        controllers, _, group = rest.partition(":")
        if number == "0" or "cpu" in controllers.split(","):
            path = Path(group.lstrip("/"))
            groups |= {str(path), *map(str, path.parents)}
    found = []
    for group in groups:
        quota = _words(root / "sys/fs/cgroup" / group / "cpu.max")
        if len(quota) == 2 and quota[0] != "max":
            found.append(_ratio(quota[0], quota[1]))
        for mount in ("cpu", "cpu,cpuacct"):
            folder = root / "sys/fs/cgroup" / mount / group
            quota = _words(folder / "cpu.cfs_quota_us") + _words(folder / "cpu.cfs_period_us")
            if len(quota) == 2 and quota[0] != "-1":
                found.append(_ratio(quota[0], quota[1]))
    return [value for value in found if value > 0]


def _words(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return []


def _ratio(quota: str, period: str) -> float:
    try:
        return int(quota) / int(period)
    except (ValueError, ZeroDivisionError):
        return 0.0
