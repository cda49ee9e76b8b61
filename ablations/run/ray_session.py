"""Starts Ray on this machine, or joins a cluster, where trials can run there."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import ray
import torch

from dlkd.ablations.run.pool import Pool
from dlkd.files import scratch_folder
from dlkd.machine import MachineError, temporary_folder
from dlkd.training.device import device


def check_pool(pool: Pool) -> None:
    """Raise MachineError where trials on this machine could never start; a cluster is asked once it is joined."""
    if pool.address is None and pool.trials_per_gpu and device().type != "cuda":
        raise MachineError(
            f"--trials-per-gpu {pool.trials_per_gpu}: PyTorch sees no GPU on this machine; "
            "leave it out to train on CPUs"
        )


def ray_folder() -> AbstractContextManager[Path]:
    """A folder for Ray's files while it runs; what killed runs left of such goes first."""
    return scratch_folder("dlkd-ray-", temporary_folder())


def start_ray(pool: Pool, scratch: Path) -> None:
    """Start Ray on this machine with its files in `scratch`, or join the pool's cluster.

    Raises:
        MachineError: Ray does not start, or no node of the cluster has what one trial takes.
        ConnectionError: no cluster answers at `pool.address`.
    """
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    os.environ.pop("RAY_RUNTIME_ENV_HOOK", None)  # of another tool; workers take this environment as it is
    if pool.address is None:
        options |= {
            "num_cpus": pool.workers * pool.threads,
            "num_gpus": torch.cuda.device_count() if pool.trials_per_gpu else 0,
            "_temp_dir": str(scratch / "ray"),  # not the usual one, which is another user's or too long a path
            "include_dashboard": False,
            "object_store_memory": 100 * 2**20,  # cells and results pass as small plain data
        }
    try:
        ray.init(address=pool.address or "local", **options)
    except Exception as error:  # Ray raises this very class where a node takes too long to start
        if isinstance(error, ConnectionError):
            raise
        if isinstance(error, UnicodeError):
            raise MachineError(
                "Ray takes no names that are not UTF-8, neither on the command line nor for the working folder: "
                "give the folder another name, or make a link to it and name that"
            ) from error
        raise MachineError(f"Ray does not start: {error}") from error
    if pool.address is not None:
        _check_cluster(pool)


def _check_cluster(pool: Pool) -> None:
    """Raise MachineError where no node has what one trial takes: Ray would wait for such a node and say nothing."""
    needs = {name.upper(): amount for name, amount in pool.resources.items()}
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]  # type: ignore[no-untyped-call]
    if not any(all(node.get(name, 0) >= amount for name, amount in needs.items()) for node in nodes):
        most = ", ".join(f"at most {max((n.get(name, 0) for n in nodes), default=0):g} {name}s" for name in needs)
        ray.shutdown()
        raise MachineError(
            f"no node of the cluster {pool.address} has the resources for one trial "
            f"({', '.join(f'{amount:g} {name}' for name, amount in needs.items())}): its nodes have {most}; "
            "change --threads or --trials-per-gpu"
        )
