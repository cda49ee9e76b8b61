"""Memory stays within and is given back at the end."""

import json
import platform
import subprocess
import sys

import pytest

# In a process of its own: one that has run a thousand tests may have such blocks resident already.
MEASURE = """
import json, resource
import torch
from dlkd.training.memory import kept_memory

MIB = 2**20

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def work():
    # Page faults of taking, filling and freeing twenty blocks of 40 MiB.
    before = faults()
    for _ in range(20):
        torch.ones(10 * MIB)
    return faults() - before

def resident_mib():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / MIB

torch.ones(10).sum()
before = resident_mib()
with kept_memory():
    work()
    kept = work()
    within = resident_mib() - before
after = resident_mib() - before
print(json.dumps({"kept": kept, "within": within, "after": after, "later": work()}))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's malloc only")
def test_memory_is_taken_once_and_given_back_at_the_end() -> None:
    run = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, check=True)
    seen = json.loads(run.stdout)
    assert seen["kept"] < 1000
    assert seen["within"] > 30
    assert seen["after"] < 20
    assert seen["later"] > 10 * max(seen["kept"], 1000)
