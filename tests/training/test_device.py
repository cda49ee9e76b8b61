"""Scoring in float32 proper, whatever PyTorch is told to take for products."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from dlkd.models.detector import Detector
from dlkd.training import speed
from dlkd.training.device import exact_float32


def in_tf32() -> list[bool]:
    """Whether products, and convolutions, of a GPU are taken in TF32 just now."""
    backends = torch.backends
    if hasattr(backends.cudnn, "conv"):
        return [place.fp32_precision == "tf32" for place in (backends.cuda.matmul, backends.cudnn.conv)]
    return [backends.cuda.matmul.allow_tf32, backends.cudnn.allow_tf32]


@pytest.fixture
def _fast() -> Iterator[None]:
    """As a user who wants speed sets it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("high")
    yield
    torch.set_float32_matmul_precision(before)


@pytest.mark.usefixtures("_fast")
def test_inside_there_is_no_tf32_and_afterwards_as_before() -> None:
    assert in_tf32() == [True, True]
    with exact_float32():
        assert in_tf32() == [False, False]
        assert torch.get_float32_matmul_precision() == "highest"
        with torch.backends.cudnn.flags(enabled=True):  # as other libraries do
            pass
    assert in_tf32() == [True, True]
    assert torch.get_float32_matmul_precision() == "high"


class Watched(Detector):
    """Says what it was run in."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))
        self.seen: list[list[bool]] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(in_tf32())
        return images[:, 0]


NEWER = """
import torch
from dlkd.training.device import exact_float32
places = torch.backends.cuda.matmul, torch.backends.cudnn.conv
for place in places:
    place.fp32_precision = "tf32"
torch.backends.cudnn.rnn.fp32_precision = "ieee"
with exact_float32():
    print([place.fp32_precision for place in places])
print([place.fp32_precision for place in places])
"""


@pytest.mark.skipif(not hasattr(torch.backends.cudnn, "conv"), reason="PyTorch has these names from 2.9")
def test_also_where_the_newer_names_were_used() -> None:
    done = subprocess.run([sys.executable, "-c", NEWER], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["['ieee', 'ieee']", "['tf32', 'tf32']"], done.stderr


@pytest.mark.usefixtures("_fast")
def test_what_is_timed_runs_as_scoring_does() -> None:
    model = Watched().eval()
    speed.measure(model, (8, 8), seconds=0.0)
    assert model.seen
    assert not any(map(any, model.seen))
