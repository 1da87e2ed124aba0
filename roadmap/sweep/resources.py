"""Cores and GPUs of this machine, shared among parallel runs.

Several processes of one thread train small networks faster than one process of several threads, which synchronizes
after every layer (docs/performance.md). With training.threads set, jobs=auto therefore fills the cores. Without it, a
run may need all of the memory or a whole GPU: jobs=auto is then one run at a time, or one per GPU.
"""

import os
import subprocess
from itertools import takewhile

from roadmap.config.schema import Device, TrainingConfig
from roadmap.environment import cores

DRIVER_SECONDS = 20.0


def gpus() -> list[str]:
    """GPUs visible to this process, named as in CUDA_VISIBLE_DEVICES; found without torch, which loads slowly."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        names = (name.strip() for name in visible.split(","))
        return list(takewhile(lambda name: name[:1] not in ("", "-"), names))  # CUDA stops at the first invalid one
    command = ["nvidia-smi", "--list-gpus"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=DRIVER_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):  # no driver, or one that hangs
        return []
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


def parallel_runs(training: TrainingConfig) -> int:
    """Number of parallel runs with jobs=auto."""
    if training.threads:
        return max(1, cores() // training.threads)
    return 1 if training.device is Device.cpu else max(1, len(gpus()))


def environments(jobs: int) -> list[dict[str, str]]:
    """Environments of `jobs` parallel runs: an equal share of the cores unless OMP_NUM_THREADS is set, GPUs in turn."""
    shared = {"OMP_NUM_THREADS": str(max(1, cores() // jobs))} | os.environ
    found = gpus()
    return [shared | ({"CUDA_VISIBLE_DEVICES": found[job % len(found)]} if found else {}) for job in range(jobs)]
