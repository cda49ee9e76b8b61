"""Trials in threads of one process have the bits of trials alone, and no step runs inside of exact float32."""

import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

import pytest
import torch
from safetensors.torch import load_file

from dlkd.registry import default_registry
from dlkd.training import TrialSpec, run_trial
from dlkd.training.one_process import PrecisionGate

SOON = 10.0
"""Seconds after which a thread that waits is taken to wait for ever."""


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


def test_a_section_waits_for_the_steps_that_run_and_goes_before_later_ones() -> None:
    precision, said = "fast", list[str]()

    @contextmanager
    def exact() -> Iterator[None]:
        nonlocal precision
        precision = "exact"
        yield
        precision = "fast"

    gate = PrecisionGate(exact)
    both, leave = threading.Barrier(2, timeout=SOON), threading.Event()

    def step() -> None:
        with gate.step():
            both.wait()  # two at once, or the gate would be a lock
            leave.wait(SOON)
            said.append(f"step, {precision}")

    def section() -> None:
        with gate.section(), gate.section():
            said.append(f"section, {precision}")

    def later() -> None:
        with gate.step():
            said.append(f"later step, {precision}")

    threads = [started(step), started(step)]
    wait_for(lambda: gate._steps == 2)
    threads.append(started(section))
    wait_for(lambda: gate._waiting == 1)
    threads.append(started(later))
    leave.set()
    for thread in threads:
        thread.join(SOON)
    assert said == ["step, fast", "step, fast", "section, exact", "later step, fast"]


def test_sections_run_at_once_and_the_last_of_them_ends_exact_float32() -> None:
    ends = list[str]()

    @contextmanager
    def exact() -> Iterator[None]:
        ends.append("begins")
        yield
        ends.append("ends")

    gate, both = PrecisionGate(exact), threading.Barrier(2, timeout=SOON)

    def section() -> None:
        with gate.section():
            both.wait()

    for thread in [started(section), started(section)]:
        thread.join(SOON)
    assert ends == ["begins", "ends"]
    with pytest.raises(RuntimeError), gate.section():
        raise RuntimeError
    assert ends == ["begins", "ends"] * 2
    with gate.step():
        pass


def started(run: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def wait_for(true: Callable[[], bool]) -> None:
    end = monotonic() + SOON
    while not true():
        assert monotonic() < end
        sleep(0.001)
