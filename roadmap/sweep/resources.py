"""How a sweep shares the cores and the GPUs of this machine among its runs.

Small networks are trained faster by several processes of one thread than by one process of several threads, which wait
for each other after every layer (docs/performance.md): as many runs at a time as the threads of one fit into the cores.
Where nobody says how many threads that is, a run may need all of the machine's memory or a GPU: one at a time, or one
a GPU.
"""

import os
import subprocess
from itertools import takewhile

from roadmap.config.schema import Device, TrainingConfig

PATIENCE_SECONDS = 20.0
"""How long a driver is waited for."""


def cores() -> int:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them; without torch, which loads slowly."""
    stated = os.environ.get("CUDA_VISIBLE_DEVICES")
    if stated is not None:
        names = (name.strip() for name in stated.split(","))
        return list(takewhile(lambda name: name[:1] not in ("", "-"), names))  # CUDA reads no further
    command = ["nvidia-smi", "--list-gpus"]
    try:
        listed = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):  # no driver, or one that hangs
        return []
    return [str(number) for number in range(sum(line.startswith("GPU ") for line in listed.splitlines()))]


def runs_at_a_time(training: TrainingConfig) -> int:
    """With jobs=auto, by what is said of one."""
    if training.threads:
        return max(1, cores() // training.threads)
    return 1 if training.device is Device.cpu else max(1, len(gpus()))


def environments(jobs: int) -> list[dict[str, str]]:
    """What each of so many runs at a time starts in: its share of the cores, unless this one's environment says
    otherwise, and the GPUs in turn."""
    share = {"OMP_NUM_THREADS": str(max(1, cores() // jobs))} | os.environ
    there = gpus()
    return [share | ({"CUDA_VISIBLE_DEVICES": there[job % len(there)]} if there else {}) for job in range(jobs)]
