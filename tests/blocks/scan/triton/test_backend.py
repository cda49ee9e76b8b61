"""The Triton backend where there is no GPU: its numbers in Triton's interpreter, its kernels through the compiler.

With a GPU `pytest -m gpu tests/blocks/scan` runs the same tests on it; what they then add is the compiled code's
own numbers, atomic additions from many programs at once, and speed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from dlkd.blocks.scan import selective_scan
from dlkd.blocks.scan.triton.backend import _steps, _width

pytest.importorskip("triton", reason="triton is not installed: it comes with PyTorch's CUDA builds")
HERE = Path(__file__).parents[1]


def interpreted(*selection: str) -> str:
    """Run tests in a process of their own: Triton decides at its import whether it interprets."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *selection],
        cwd=HERE,
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
        timeout=880,
    )
    assert run.returncode == 0, run.stdout
    return run.stdout


def test_forward_and_gradients_in_tritons_interpreter() -> None:
    told = interpreted("test_selective.py", "-k", "triton and not cuda and (strided or second)")
    assert "2 passed" in told


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("file", ["test_selective.py", "test_directional.py"])
def test_every_test_of_a_backend_in_tritons_interpreter(file: str) -> None:
    assert " passed" in interpreted(file, "-k", "triton and not cuda")


def compiled(kernel: Any, n: int, capability: int) -> Any:
    """A kernel compiled to machine code for an NVIDIA GPU, which takes none."""
    from triton import compile as triton_compile
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    constants = {"SOFTPLUS": True, "STEPS": _steps(n), "WIDTH": _width(n)}
    whole = {"d", "length", "groups", "directions", "curve_count", "n", "dt_sample", "dt_channel"}
    types = {
        name: "constexpr" if name in constants else "*i32" if name == "curves" else "i32" if name in whole else "*fp32"
        for name in kernel.arg_names
    }
    source = ASTSource(kernel, types, constexprs={(kernel.arg_names.index(k),): v for k, v in constants.items()})
    return triton_compile(source, target=GPUTarget("cuda", capability, 32))


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("kernel", ["forward_kernel", "backward_kernel"])
def test_kernels_compile_for_nvidia_gpus(
    kernel: str, capability: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from triton import knobs

    from dlkd.blocks.scan.triton import kernels as triton_kernels

    monkeypatch.setattr(knobs.cache, "dir", str(tmp_path))
    code = compiled(getattr(triton_kernels, kernel), 16, capability)
    assert code.metadata.shared <= 48 * 1024
    binary = tmp_path / "kernel.cubin"
    binary.write_bytes(code.asm["cubin"])
    used = subprocess.run(
        [knobs.nvidia.cuobjdump.path, "--dump-resource-usage", binary], capture_output=True, text=True, check=True
    )
    assert "STACK:0 " in used.stdout, f"it needs more registers than there are: {used.stdout}"


def test_on_a_cpu_it_says_where_it_runs() -> None:
    u, A = torch.zeros(1, 2, 3), torch.zeros(2, 1)
    with pytest.raises(ValueError, match=r'"triton" cannot be used: it runs on cuda and u is on cpu'):
        selective_scan(u, u, A, u[:, :1], u[:, :1], backend="triton")
