"""All that has to be seen on a GPU, in eight minutes: what `make gpu` runs.

    python benchmarks/gpu --out runs/gpu              # with the Python that has PyTorch; nothing has to be installed
    python benchmarks/gpu --dry-run --out runs/dry    # the same on the CPU, with tiny sizes

Each part runs in a process of its own, for so many seconds at most; a part that fails, or is stopped, stops no other.
A part that needs a package which this Python lacks is skipped by name; wheels in the folder `wheels` are taken for what
is missing (docs/how-to/gpus.md). Leaves `gpu.json` with the machine and every figure, the same as a table in `gpu.md`,
and the output of each part. The exit code is 1 if a part or a test failed or nothing was run, 2 without a GPU.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import tomllib

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
WHEELS = ROOT / "wheels"
CORE = (
    "PIL", "filelock", "fsspec", "lightning", "numba", "numpy", "pandas", "pyarrow", "pydantic", "rich", "safetensors",
    "scipy", "skimage", "timm", "torch", "torchvision", "typer", "yaml",
)  # fmt: skip
"""What dlkd imports to train a trial; Ray and Optuna are for many of them."""


@dataclass(frozen=True)
class Part:
    """A part of the run: the most seconds that it may take, and the modules that it cannot do without."""

    seconds: float
    needs: tuple[str, ...] = CORE


TESTS = "tests"
PARTS = {
    TESTS: Part(190, (*CORE, "hypothesis", "pytest", "pytest_timeout")),
    "scan": Part(50),
    "steps": Part(60),
    "trials": Part(110),
    "table4": Part(50),
}
"""By name, as in <name>.py beside this file; 460 seconds in all."""
DRY_SECONDS = 600.0
"""Of each part of a dry run, whose times say nothing."""

PROBE = """
import json, platform, torch
try:
    import triton
    version = triton.__version__
except ImportError:
    version = "not installed"
gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else ""
print(json.dumps({"gpu": gpu, "torch": torch.__version__, "cuda": torch.version.cuda, "triton": version,
                  "python": platform.python_version()}))
"""


@dataclass(frozen=True)
class Ended:
    """How a part ended: "run", "skipped", "stopped" or "failed", and why."""

    part: str
    status: str
    seconds: float = 0.0
    reason: str = ""


def machine(environment: dict[str, str]) -> dict[str, str]:
    """GPU, driver and versions. Raises SystemExit where this Python has no PyTorch."""
    done = subprocess.run([sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        print(f"{sys.executable} cannot import torch ({said}); give one that can: make gpu PYTHON=...", file=sys.stderr)
        raise SystemExit(2)
    found: dict[str, str] = json.loads(done.stdout.splitlines()[-1])
    return found | {"driver": output_of("nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader")}


def output_of(*command: str) -> str:
    """The first line that a command prints, "" where it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20)
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0]


def as_installed(folder: Path) -> None:
    """Make `folder` hold the package `dlkd` as an installation would, with its entry points, by a link to this tree."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder.mkdir(parents=True, exist_ok=True)
    link, info = folder / "dlkd", folder / f"dlkd-{project['version']}.dist-info"
    if not link.exists():
        link.symlink_to(ROOT, target_is_directory=True)
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: dlkd\nVersion: {project['version']}\n")
    groups = [
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items())
        for group, points in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(groups))


def add_wheels(site: Path) -> str:
    """Unpack the wheels of what this Python lacks into `site`; why not, where that failed."""
    wanted = [wheel for wheel in sorted(WHEELS.glob("*.whl")) if not is_installed(wheel.name.split("-")[0])]
    shutil.rmtree(site, ignore_errors=True)
    site.mkdir(parents=True)
    if not wanted:
        return ""
    print(f"wheels: {', '.join(wheel.name.split('-')[0] for wheel in wanted)}", flush=True)
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(site)]
    done = subprocess.run([*command, *map(str, wanted)], capture_output=True, text=True, check=False)
    return (done.stderr.strip().splitlines() or ["pip failed"])[-1] if done.returncode else ""


def is_installed(distribution: str) -> bool:
    """Whether this Python has a package, by the name of its wheel."""
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def lacking(needs: Sequence[str], site: Path) -> list[str]:
    """Those modules that neither this Python nor `site` has."""
    sys.path.append(str(site))
    importlib.invalidate_caches()
    try:
        return [name for name in needs if importlib.util.find_spec(name) is None]
    finally:
        sys.path.remove(str(site))


def command_of(part: str, out: Path, *, dry: bool) -> list[str]:
    """What runs a part."""
    if part == TESTS:
        share = min(6, (os.cpu_count() or 1) // 2)  # Triton compiles a kernel for each shape on the CPU
        several = ["--numprocesses", str(share)] if share > 1 and is_installed("pytest-xdist") else []
        command = [sys.executable, "-m", "pytest", "-m", "gpu", "-v", "-rs", "-p", "no:cacheprovider", *several]
        return [*command, "-W", "default", *gpu_tests()]  # other versions of libraries warn of other things
    device = "cpu" if dry else "cuda"
    command = [sys.executable, str(HERE / f"{part}.py"), "--json", str(out / f"{part}.json"), "--device", device]
    return [*command, "--dry-run"] if dry else command


def gpu_tests() -> list[str]:
    """The test files with the marker `gpu`, and the folders of a conftest.py that sets it."""
    found = [path for path in sorted((ROOT / "tests").rglob("*.py")) if "mark.gpu" in path.read_text(encoding="utf-8")]
    return [str((path.parent if path.name == "conftest.py" else path).relative_to(ROOT)) for path in found]


def run(part: str, command: Sequence[str], log: Path, seconds: float, environment: dict[str, str]) -> Ended:
    """Run a part for so many seconds at most; what it prints is shown and kept in `log`."""
    begun = perf_counter()
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, errors="replace", start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    said: list[str] = []

    def show() -> None:
        assert process.stdout is not None
        with process.stdout, log.open("w", encoding="utf-8") as file:
            for line in process.stdout:
                said.append(line.rstrip())
                print(line, end="", file=file, flush=True)
                print(f"[{part}] {line}", end="", flush=True)

    reader = threading.Thread(target=show, daemon=True)
    reader.start()
    try:
        code = process.wait(timeout=max(0.0, seconds))
    except subprocess.TimeoutExpired:
        return Ended(part, "stopped", perf_counter() - begun, f"stopped after {seconds:.0f} s, with what it had")
    finally:
        end_all(process)
        reader.join(timeout=5)
    if code:
        last = next((line for line in reversed(said) if line.strip()), "it said nothing")
        return Ended(part, "failed", perf_counter() - begun, f"exit code {code}: {last}")
    return Ended(part, "run", perf_counter() - begun)


def end_all(process: subprocess.Popen[str]) -> None:
    """End a part and the processes that it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, how)
        except (ProcessLookupError, PermissionError):
            return
        try:
            process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            continue


def figures_of(part: str, out: Path) -> list[dict[str, Any]]:
    """What a part left, also where it was stopped."""
    if part == TESTS:
        return figures_of_tests(out / f"{part}.log")
    try:
        found: list[dict[str, Any]] = json.loads((out / f"{part}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return found


def figures_of_tests(log: Path) -> list[dict[str, Any]]:
    """How many tests passed, failed and were skipped, the names of those that failed, the reasons of the skipped."""
    text = log.read_text(encoding="utf-8") if log.exists() else ""
    alone = re.findall(r"^(tests/\S+::.+?) (PASSED|FAILED|ERROR|SKIPPED)\b", text, re.MULTILINE)
    several = re.findall(r"^\[gw\d+\] \[ *\d+%\] (PASSED|FAILED|ERROR|SKIPPED) (tests/\S+::.+?) *$", text, re.MULTILINE)
    ended = [*alone, *((name, how) for how, name in several)]
    figures: list[dict[str, Any]] = [
        {"figure": f"tests {word.lower()}", "value": sum(how == word for _, how in ended), "unit": "tests"}
        for word in ("PASSED", "FAILED", "SKIPPED")
    ]
    figures += [{"figure": name, "note": how.lower()} for name, how in ended if how in ("FAILED", "ERROR")]
    reasons: dict[str, int] = {}
    for count, reason in re.findall(r"^SKIPPED \[(\d+)\] \S+?: (.+)$", text, re.MULTILINE):
        reasons[reason] = reasons.get(reason, 0) + int(count)
    return figures + [{"figure": f"{count} tests", "note": f"skipped: {reason}"} for reason, count in reasons.items()]


def table(ended: Sequence[Ended], figures: Sequence[dict[str, Any]]) -> str:
    """One Markdown table: each part with how it ended, and its figures."""
    rows = [("part", "what", "value", "ratio", "target", "")]
    for one in ended:
        rows.append(
            (one.part, f"{one.seconds:.0f} s", "", "", "", one.status + (f": {one.reason}" if one.reason else ""))
        )
        for found in figures:
            if found["part"] == one.part:
                value = "" if found.get("value") is None else f"{found['value']:.4g} {found.get('unit', '')}".strip()
                ratio = "" if found.get("ratio") is None else f"{found['ratio']:.3g}"
                met = {True: "met", False: "MISSED", None: ""}[found.get("met")]
                last = ", ".join(text for text in (met, found.get("note", "")) if text)
                rows.append((one.part, found["figure"], value, ratio, found.get("target", ""), last))
    cells = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in cells) for i in range(5)]
    lines = ["| " + " | ".join([*map(str.ljust, row[:5], widths), row[5]]) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (w + 2) for w in widths) + "| --- |", *lines[1:]])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the parts that are asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/gpu"), help="folder for figures and logs")
    parser.add_argument("--dry-run", action="store_true", help="on the CPU, with tiny sizes")
    parser.add_argument("--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--seconds", type=float, default=470.0, help="of all parts together; a dry run has no limit")
    options = parser.parse_args(arguments)
    begun, out = perf_counter(), options.out.resolve()
    out.mkdir(parents=True, exist_ok=True)
    as_installed(out / "path")
    site = out / "site"
    unpacked = add_wheels(site)
    paths = [out / "path", HERE.parent, *filter(None, [os.environ.get("PYTHONPATH")]), site]
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONUNBUFFERED": "1",
    }  # fmt: skip
    if options.dry_run:
        environment |= {"CUDA_VISIBLE_DEVICES": "", "DLKD_TEST_GPU": "cpu", "OMP_NUM_THREADS": "1"}
    found_machine = machine(environment)
    if not found_machine["gpu"] and not options.dry_run:
        print("PyTorch sees no GPU here; `make gpu DRY=1` shows the run on the CPU", file=sys.stderr)
        return 2
    ended = [Ended("wheels", "failed", 0.0, unpacked)] if unpacked else []
    figures: list[dict[str, Any]] = []
    for part in options.only:
        (out / f"{part}.json").unlink(missing_ok=True)
        shutil.rmtree(out / part, ignore_errors=True)
        if missing := lacking(PARTS[part].needs, site):
            said = f"{', '.join(missing)} not installed; put wheels in {WHEELS.name}/ (docs/how-to/gpus.md)"
            ended.append(Ended(part, "skipped", 0.0, said))
        else:
            seconds = min(PARTS[part].seconds, options.seconds - (perf_counter() - begun))
            seconds = DRY_SECONDS if options.dry_run else seconds
            print(f"{part}: at most {seconds:.0f} s", flush=True)
            command = command_of(part, out, dry=options.dry_run)
            ended.append(run(part, command, out / f"{part}.log", seconds, environment))
            figures += [{"part": part} | one for one in figures_of(part, out)]
        print(f"{part}: {ended[-1].status} {ended[-1].reason}", flush=True)
    answer = {
        "machine": found_machine,
        "revision": output_of("git", "-C", str(ROOT), "rev-parse", "HEAD") or "not a git checkout",
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "dry_run": options.dry_run,
        "seconds": perf_counter() - begun,
        "parts": [vars(one) for one in ended],
        "figures": figures,
    }
    (out / "gpu.json").write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    shown = "Dry run on the CPU, with tiny sizes: its figures say nothing.\n\n" if options.dry_run else ""
    shown += table(ended, figures)
    (out / "gpu.md").write_text(shown + "\n", encoding="utf-8")
    print(f"\n{found_machine}\n\n{shown}\n\n{out / 'gpu.json'}, {perf_counter() - begun:.0f} s")
    bad = any(one.status in ("failed", "stopped") for one in ended)
    return int(bad or not any(one.status == "run" for one in ended))


if __name__ == "__main__":
    sys.exit(main())
