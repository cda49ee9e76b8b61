"""The numba backend as a citizen: processes, threads, memory, start-up (test_selective.py has its numbers)."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from dlkd.blocks.scan import selective_scan
from dlkd.blocks.scan.numba.backend import _blocks

Inputs = dict[str, Tensor]


@pytest.fixture
def set_threads() -> Iterator[Callable[[int], None]]:
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def trained(inputs: Inputs) -> list[Tensor]:
    leaves = {name: x.detach().requires_grad_() for name, x in inputs.items()}
    y = selective_scan(**leaves, dt_softplus=True, backend="numba")
    return [y.detach(), *torch.autograd.grad(y.square().sum(), list(leaves.values()))]


def test_threads_change_nothing_but_the_order_of_sums(
    draw: Callable[..., Inputs], set_threads: Callable[[int], None]
) -> None:
    inputs = draw(3, 12, 70, 3, 2)
    set_threads(1)
    alone = trained(inputs)
    for count in (2, 3):
        set_threads(count)
        torch.testing.assert_close(trained(inputs), alone)


def test_the_same_threads_give_the_same_bits(draw: Callable[..., Inputs], set_threads: Callable[[int], None]) -> None:
    inputs = draw(3, 12, 70, 3, 2)
    set_threads(2)
    first, second = trained(inputs), trained(inputs)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("batch", "threads", "blocks"),
    [
        (8, 2, 1),
        (1, 2, 2),
        (3, 2, 2),
        (1, 4, 4),
        (6, 4, 2),
        (1, 64, 8),
    ],  # the last: no more copies than fit in u
)
def test_blocks_keep_threads_busy_within_memory(
    batch: int, threads: int, blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    assert _blocks(torch.empty(batch, 256, 10), torch.empty(batch, 1, 16, 10)) == blocks


def _scan_in_child(results: Any) -> None:
    torch.set_num_threads(2)
    torch.manual_seed(0)
    u = torch.rand(2, 4, 40, dtype=torch.float64, requires_grad=True)
    A, B = -torch.rand(4, 3, dtype=torch.float64), torch.rand(2, 3, 40, dtype=torch.float64)
    y = selective_scan(u, u, A, B, B, backend="numba")
    results.put((y.sum().item(), torch.autograd.grad(y.sum(), u)[0].sum().item()))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_trains_in_a_child_after_use_in_the_parent(method: str, set_threads: Callable[[int], None]) -> None:
    set_threads(2)
    context = multiprocessing.get_context(method)
    results = context.SimpleQueue()
    _scan_in_child(results)
    child = context.Process(target=_scan_in_child, args=(results,))
    child.start()
    child.join(timeout=200)
    assert child.exitcode == 0, "hung or died"
    assert results.get() == pytest.approx(results.get())


def test_saves_states_of_at_most_half_the_size_of_u(draw: Callable[..., Inputs]) -> None:
    inputs = {name: x.detach().float().requires_grad_() for name, x in draw(2, 8, 512, 16).items()}
    own = {x.untyped_storage().data_ptr() for x in inputs.values()}
    saved: list[Tensor] = []

    def pack(x: Tensor) -> Tensor:
        saved.append(x)
        return x

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        selective_scan(**inputs, backend="numba")
    extra = sum(x.nbytes for x in saved if x.untyped_storage().data_ptr() not in own)
    assert 0 < extra <= inputs["u"].nbytes // 2 + 4 * 512  # states, and the order of the steps


def test_keeps_nothing_without_gradients(draw: Callable[..., Inputs]) -> None:
    inputs = draw(2, 4, 40, 3)
    with torch.no_grad():
        assert not selective_scan(**inputs, backend="numba").requires_grad
    y = torch.ops.dlkd.numba_scan(
        *(x.detach() for x in inputs.values()), torch.arange(40, dtype=torch.int32)[None], False, False, False
    )
    assert y[1].numel() == 0


_WITHOUT_NUMBA = """
import sys, warnings, torch
sys.modules["numba"] = sys.modules["llvmlite"] = None  # as where they are not installed
from dlkd.blocks import SS2D
from dlkd.blocks.scan import selective_scan
torch.manual_seed(0)
block, x = SS2D(4, d_state=2), torch.randn(2, 4, 3, 3)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    for _ in range(3):
        y = block(x)
    y.sum().backward()
print([str(w.message) for w in seen])
block.backend = "torch"
assert torch.equal(block(x), y)
u, A = torch.zeros(1, 2, 3), torch.zeros(2, 1)
try:
    selective_scan(u, u, A, u[:, :1], u[:, :1], backend="numba")
except ValueError as error:
    print(error)
"""

_MEMORY = """
import re, torch
from dlkd.blocks.scan import selective_scan
torch.set_num_threads(2)
def memory(field):  # getrusage's peak would start from the parent's
    return int(re.search(field + r":\\s+(\\d+)", open("/proc/self/status").read())[1]) * 1024
def train(b, d, l, n):
    u, dt, z = (torch.rand(b, d, l, requires_grad=True) for _ in range(3))
    A = (-torch.rand(d, n)).requires_grad_()
    B, C = (torch.rand(b, n, l, requires_grad=True) for _ in range(2))
    before = memory('VmRSS')
    selective_scan(u, dt, A, B, C, z=z, backend="numba").sum().backward()
    gradients = sum(x.grad.nbytes for x in (u, dt, z, A, B, C))
    return (memory('VmHWM') - before - gradients) / u.nbytes
train(1, 16, 64, 16)
print(train(2, 256, 16384, 16))
"""

# The first scan loads Numba and what PyTorch traces with, as anything would; the cache has to spare the compiling.
_START = """
import time, numba, torch, torch._dynamo, dlkd.blocks.scan
u = torch.rand(1, 8, 64, requires_grad=True)
A, B = -torch.rand(8, 16), torch.rand(1, 16, 64)
start = time.process_time()
dlkd.blocks.scan.selective_scan(u, u, A, B, B, backend="numba").sum().backward()
print(time.process_time() - start)
"""


def printed(program: str) -> str:
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=250)
    return run.stdout


def test_without_numba_one_warning_and_torch() -> None:
    warned, refused = printed(_WITHOUT_NUMBA).splitlines()
    assert warned == "['numba is not installed: the selective scan runs in PyTorch, many times slower']"
    assert refused.endswith('backend "numba" cannot be used: numba is not installed; pip install numba')


@pytest.mark.slow
def test_trains_in_a_ray_worker(set_threads: Callable[[int], None]) -> None:
    ray = pytest.importorskip("ray")
    set_threads(2)
    here: SimpleQueue[Any] = SimpleQueue()
    _scan_in_child(here)

    def work() -> object:
        there: SimpleQueue[Any] = SimpleQueue()
        _scan_in_child(there)
        return there.get()

    ray.init(address="local", num_cpus=1, include_dashboard=False, logging_level="ERROR")
    try:
        assert ray.get(ray.remote(work).remote(), timeout=200) == pytest.approx(here.get())
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_peak_memory_beyond_gradients_is_at_most_three_times_u() -> None:
    assert float(printed(_MEMORY)) <= 3


@pytest.mark.slow
def test_the_second_process_starts_in_under_a_second_from_the_cache() -> None:
    printed(_START)
    assert float(printed(_START)) < 1


@pytest.mark.parametrize("by_channel", [False, True])
def test_gradients_lie_as_a_compiler_is_told_whatever_it_hands_over(
    draw: Callable[..., Inputs], by_channel: bool
) -> None:
    u, dt, A, B, C = (x.detach().float() for x in list(draw(2, 3, 40, 2).values())[:5])
    curves = torch.arange(40, dtype=torch.int32).unsqueeze(0)

    def gradients(dt: Tensor, *rest: Tensor) -> list[Tensor]:
        u, A, B, C, curves = rest
        none = (None, None, None)
        y, states = torch.ops.dlkd.numba_scan(u, dt, A, B, C, *none, curves, False, by_channel, True)
        back = torch.ops.dlkd.numba_scan_backward
        return list(back(y, u, dt, A, B, C, *none, curves, states, False, by_channel))

    with FakeTensorMode() as fake:
        told = gradients(*(fake.from_tensor(x) for x in (dt, u, A, B, C, curves)))
    other = dt.transpose(0, 1).contiguous().transpose(0, 1)
    for handed in (dt, other):
        made = gradients(handed, u, A, B, C, curves)
        assert [x.stride() for x in made] == [x.stride() for x in told]
        torch.testing.assert_close(made, gradients(dt, u, A, B, C, curves))
