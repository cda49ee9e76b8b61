"""Trials in threads of one process have the bits of trials alone, and no step runs inside of exact float32."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from dlkd.registry import default_registry
from dlkd.training import TrialSpec, run_trial
from dlkd.training.one_process import PrecisionGate


@pytest.fixture
def nervous() -> Iterator[None]:
    """Threads change places often."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(before)


@pytest.mark.filterwarnings("ignore")  # `catch_warnings` of several threads end in any order
@pytest.mark.usefixtures("nervous")
@pytest.mark.timeout(120)
def test_trials_beside_each_other_have_the_bits_of_trials_alone(
    make_spec: Callable[..., TrialSpec], tmp_path: Path
) -> None:
    small = {"patches": {"pooled": 8, "out_channels": 8}}
    specs = [
        make_spec("patchcore", overrides=small, epochs=1),
        *(make_spec(seed=seed, overrides={"standardise": {"name": "standardise"}}) for seed in range(3)),
    ]
    alone = [run_trial(spec, tmp_path / "alone" / str(i), default_registry()) for i, spec in enumerate(specs)]
    threads = torch.get_num_threads()
    start = threading.Barrier(len(specs))

    def beside(number: int) -> object:
        torch.set_num_threads(threads)
        start.wait()
        return run_trial(specs[number], tmp_path / "beside" / str(number), default_registry())

    with ThreadPoolExecutor(len(specs)) as pool:
        together = list(pool.map(beside, range(len(specs))))
    for i, (one, other) in enumerate(zip(alone, together, strict=True)):
        assert repr(replace(one, costs={})) == repr(replace(other, costs={}))  # type: ignore[type-var]
        kept = [load_file(tmp_path / way / str(i) / "weights.safetensors") for way in ("alone", "beside")]
        assert kept[0].keys() == kept[1].keys()
        for name, tensor in kept[0].items():
            assert torch.equal(tensor, kept[1][name]), name
    assert len({repr(one.metrics) for one in alone}) == len(specs)


@pytest.mark.usefixtures("nervous")
def test_no_step_runs_inside_of_exact_float32() -> None:
    precision = "fast"

    @contextmanager
    def exact() -> Iterator[None]:
        nonlocal precision
        precision = "exact"
        yield
        precision = "fast"

    gate, wrong, most = PrecisionGate(exact), [], {"step": 0, "section": 0}
    inside = {"step": 0, "section": 0}
    counting = threading.Lock()

    def enter(kind: str, wanted: str) -> None:
        rng = np.random.default_rng(threading.get_ident())
        for _ in range(100):
            with gate.step() if kind == "step" else gate.section():
                with counting:
                    inside[kind] += 1
                    most[kind] = max(most[kind], inside[kind])
                for _ in range(int(rng.integers(1, 20))):
                    if precision != wanted:
                        wrong.append((kind, precision))
                with counting:
                    inside[kind] -= 1

    threads = [threading.Thread(target=enter, args=("step", "fast")) for _ in range(4)]
    threads += [threading.Thread(target=enter, args=("section", "exact")) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert wrong == []
    assert most["step"] > 1  # several at once, or the gate would be a lock
    assert precision == "fast"
