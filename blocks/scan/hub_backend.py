"""Selective scan on a GPU by mamba-ssm's CUDA kernels as the Hugging Face hub has them, compiled; by consent alone."""

from __future__ import annotations

import os
import sys
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from dlkd.blocks.scan.backend import runs_on
from dlkd.blocks.scan.inputs import ScanInputs
from dlkd.blocks.scan.mamba_backend import run_theirs
from dlkd.registry import register

CONSENT = "DLKD_HUB_KERNELS"
"""Environment variable: the version or commit of the kernels that may be downloaded and run."""

REPOSITORY = "kernels-community/mamba-ssm"


def _missing() -> str | None:
    return _why_not(os.environ.get(CONSENT, "").strip())


@cache
def _why_not(consent: str) -> str | None:
    if not consent:
        return (
            f"it downloads compiled code from huggingface.co/{REPOSITORY} and runs it, which takes your consent: set "
            f"{CONSENT} to the version that may run, such as 1, or to a commit"
        )
    try:
        _theirs(consent)
    except ImportError as error:
        return f'the kernels cannot be imported ({error}); pip install "dlkd[hub-kernels]"'
    except Exception as error:  # no network, no build for this PyTorch, no such version: of as many kinds
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"the kernels of {REPOSITORY} at {CONSENT}={consent} cannot be had: {first}"
    return None


@register("scan", "mamba_ssm_hub")
@runs_on("cuda", dtypes=(torch.float32,), needs="kernels", compiles=False, exports=False, missing=_missing)
def hub_scan(inputs: ScanInputs, dt_softplus: bool) -> Tensor:
    """Scan prepared inputs, see `selective_scan` and `mamba_scan`, whose limits and exceptions it has.

    Source: huggingface.co/kernels-community/mamba-ssm, loaded by the package `kernels`, which checks its publisher.
    """
    return run_theirs("mamba_ssm_hub", partial(_theirs, os.environ[CONSENT].strip()), inputs, dt_softplus)


@cache
def _theirs(consent: str) -> Any:
    """`SelectiveScanFn` of the kernels; a number names a version, anything else a revision."""
    from kernels import get_kernel

    which: dict[str, Any] = {"version": int(consent)} if consent.isdecimal() else {"revision": consent}
    scan = get_kernel(REPOSITORY, **which).selective_scan_fn
    return sys.modules[scan.__module__].SelectiveScanFn
