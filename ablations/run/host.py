"""A process that several trials of one GPU share: each runs in a thread, on a CUDA stream of its own.

A trial still has a worker, which Ray Tune starts, shows and tries again as ever. The worker takes its part of a GPU, so
that Ray chooses the GPU, and hands the cell to the host of that GPU.
"""

from __future__ import annotations

import os
import warnings
from contextlib import nullcontext
from queue import SimpleQueue
from typing import Any

import ray
import torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from dlkd.ablations.run.cell import run_cell
from dlkd.training.device import device

VISIBLE = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES")
"""Variables in which Ray says which GPU a worker has."""


class HostDiedError(Exception):
    """The process died that all trials of a GPU share."""


class Host:
    """Runs cells for the workers of one GPU, as many at once as it has places.

    Args:
        environment: the worker's `VISIBLE`: the GPU.
        places: trials at a time.
    """

    def __init__(self, environment: dict[str, str], places: int) -> None:
        os.environ.update(environment)
        warnings.simplefilter("ignore")  # `catch_warnings` of several threads end in any order
        # A stream for each place, not for each trial: PyTorch keeps the freed memory of a stream for that stream.
        self._streams: SimpleQueue[torch.cuda.Stream | None] = SimpleQueue()
        for _ in range(places):
            self._streams.put(torch.cuda.Stream() if device().type == "cuda" else None)  # type: ignore[no-untyped-call]

    def run(self, cell: dict[str, Any]) -> None:
        """Train and score a cell, see `run_cell`. An error that leaves the GPU unusable ends the process."""
        stream = self._streams.get()
        try:
            with nullcontext() if stream is None else torch.cuda.stream(stream):
                run_cell(cell)
        except Exception:  # whatever the trial raised, which is raised again
            if stream is not None and not _usable(stream):
                os._exit(1)  # for all trials here; the next worker starts another host
            raise
        finally:
            self._streams.put(stream)


def _usable(stream: torch.cuda.Stream) -> bool:
    """Whether the GPU still computes for this process, as it does when memory alone did not suffice."""
    try:
        stream.synchronize()
    except RuntimeError:
        return False
    return True


def run_in_host(cell: dict[str, Any]) -> None:
    """Have the host of this worker's GPU run a cell, and wait for it; the first worker of a GPU starts its host.

    Raises:
        HostDiedError: the host died, and with it all its trials.
        Exception: of the cell, as `run_cell` raised it.
    """
    here = ray.get_runtime_context()
    gpu = "-".join(here.get_accelerator_ids()["GPU"])
    host: Any = (
        ray.remote(Host)
        .options(
            name=f"{here.get_node_id()} {gpu}",
            get_if_exists=True,
            lifetime="detached",  # or it would end with the worker that started it; `ray.shutdown` ends it
            num_cpus=0,
            max_concurrency=cell["places"],
            scheduling_strategy=NodeAffinitySchedulingStrategy(here.get_node_id(), soft=False),
        )
        .remote({name: os.environ[name] for name in VISIBLE if name in os.environ}, cell["places"])
    )
    try:
        ray.get(host.run.remote(cell))
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayActorError:  # Tune would take it for the death of this worker
        raise HostDiedError from None
