"""The selective scan of each backend on a GPU: against mamba-ssm's, and against the bytes that any scan must move.

The roofline is the time in which the device copies as many bytes as a scan reads and writes at least, at the speed of a
large copy in the same run: forward u, dt, B, C and y; backward u, dt, B, C, dy and the gradients of the first four. A
scan also takes b*d*l*n exponentials, whose ceiling is another one; a small map can lie in the cache. A backend that is
not installed is a line with the reason.
"""

from __future__ import annotations

import torch
from bench_scan import Inputs, forward, make_inputs
from clock import Run, medians
from figures import Asked, asked

from dlkd.blocks.scan import backends, selective_scan
from dlkd.blocks.scan.backend import why_not

SHAPES = {"a map of 64x64": (8, 128, 4096, 16), "large": (16, 512, 8192, 16)}
"""(b, d, l, n) by name: DLKD's largest map at 256x256 pixels, and one that fits no cache."""
DRY = {"tiny": (1, 4, 64, 4)}
ON = {"cuda": ("triton", "mamba_ssm", "mamba_ssm_hub"), "cpu": ("torch",)}
COPIED = 2**30
"""Bytes of the copy."""


def bandwidth(device: torch.device, dry: bool) -> float:
    """Bytes per second of a large copy, read and written."""
    x = torch.zeros((2**22 if dry else COPIED) // 4, device=device)
    y = torch.empty_like(x)
    return 2 * x.nbytes / medians({"copy": lambda: y.copy_(x)}, device, 0.0 if dry else 0.5, 5)["copy"]


def least_bytes(b: int, d: int, length: int, n: int) -> dict[str, int]:
    """Bytes that a scan in float32 reads and writes at least, forward and in training."""
    wide, narrow = 4 * b * d * length, 4 * b * n * length
    return {"forward": 3 * wide + 2 * narrow, "training": 8 * wide + 6 * narrow}


def training(inputs: Inputs, backend: str) -> Run:
    """Forward and backward."""
    seed = torch.randn_like(inputs["u"])
    return lambda: torch.autograd.grad(selective_scan(**inputs, backend=backend), list(inputs.values()), seed)


def measure(asked: Asked) -> None:
    """All figures."""
    device, figures = asked.device, asked.figures
    speed = bandwidth(device, asked.dry)
    figures.add("bandwidth of a copy, bytes read and written", speed / 1e9, "GB/s")
    probe = torch.zeros(1, device=device)
    able = []
    for name in ON[device.type]:
        reason = why_not(name, probe) if name in backends() else "unknown backend"
        if reason is None:
            able.append(name)
        else:
            figures.add(f"scan, {name}", note=f"skipped: {reason}")
    for size, shape in (DRY if asked.dry else SHAPES).items():
        inputs = {k: x.detach().to(device).requires_grad_() for k, x in make_inputs(*shape).items()}
        for what, least in least_bytes(*shape).items():
            runs = {
                n: forward(selective_scan, inputs, backend=n) if what == "forward" else training(inputs, n)
                for n in able
            }
            if not runs:
                continue
            found = medians(runs, device, 0.0 if asked.dry else 2.0, 1 if asked.dry else 10)
            for name, each in found.items():
                figures.add(
                    f"scan, {name}, {what}, {size} {shape}, over roofline",
                    1000 * each,
                    "ms",
                    ratio=each * speed / least,
                )
            ours = found.get("triton")
            for theirs in ("mamba_ssm", "mamba_ssm_hub"):
                if ours is not None and theirs in found:
                    figures.add(f"scan, triton / {theirs}, {what}, {size}", ratio=ours / found[theirs], most=1.0)


if __name__ == "__main__":
    measure(asked(__doc__))
