"""Memory stays within and is given back at the end."""

import platform
import resource

import pytest
import torch

from dlkd.training.memory import kept_memory

MIB = 2**20


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def work() -> int:
    """Page faults of taking, filling and freeing twenty blocks of 40 MiB."""
    before = faults()
    for _ in range(20):
        torch.ones(10 * MIB)
    return faults() - before


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / MIB


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc only")
def test_memory_is_taken_once_and_given_back_at_the_end() -> None:
    before = resident_mib()
    with kept_memory():
        work()
        kept = work()
        assert resident_mib() > before + 30
    assert kept < 1000
    assert resident_mib() < before + 20
    assert work() > 10 * max(kept, 1000)
