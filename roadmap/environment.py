"""The environment: what it says about the processes of a run, and what a program that is started from here inherits."""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import roadmap
from roadmap.errors import ConfigError, require

RANKS = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
"""How torchrun tells each process of a run its place among the others, and where they meet."""
OF_TORCHRUN = (
    *RANKS, "LOCAL_WORLD_SIZE", "GROUP_RANK", "GROUP_WORLD_SIZE", "ROLE_RANK", "ROLE_WORLD_SIZE", "ROLE_NAME",
    "TORCHELASTIC_",
)  # fmt: skip
OF_SLURM = ("SLURM_", "SLURMD_", "SBATCH_", "SALLOC_", "SRUN_", "SQUEUE_", "SCANCEL_", "SUBMITIT_")
"""Variables that SLURM sets in a job, and options that its commands read, by the beginnings of their names."""


def cores() -> int:
    """Cores available to this process."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def torchrun_ranks(environment: Mapping[str, str]) -> tuple[int, int, int]:
    """Rank, number of processes, and rank among those of this machine; 0, 1, 0 for a run of one process.

    A ConfigError names variables that are missing, or hold no rank: another program may have left them behind.
    """
    given = {key: environment[key] for key in RANKS if environment.get(key)}
    if not given:
        return 0, 1, 0
    remedy = f"start the run with torchrun; for a run of one process: unset {' '.join(given)}"
    if missing := [key for key in RANKS if key not in given]:
        there = " ".join(f"{key}={value}" for key, value in given.items())
        raise ConfigError(f"{there}: allowed is none of them, or {' '.join(missing)} too: {remedy}")
    numbers = {key: given[key] for key in RANKS if key != "MASTER_ADDR"}
    for key, value in numbers.items():
        require(bool(re.fullmatch(r"[0-9]{1,9}", value)), key, value, f"a number: {remedy}")
    rank, size, local_rank, _ = map(int, numbers.values())
    require(rank < size, "RANK", rank, f"less than WORLD_SIZE={size}: {remedy}")
    require(local_rank <= rank, "LOCAL_RANK", local_rank, f"up to RANK={rank}: {remedy}")
    return rank, size, local_rank


def child_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for another run: with this package importable, and without this process's place among others."""
    package = str(Path(roadmap.__file__).resolve().parent.parent)  # where it is imported from
    others = [path for path in environment.get("PYTHONPATH", "").split(os.pathsep) if path not in ("", package)]
    return without(environment, OF_TORCHRUN) | {"PYTHONPATH": os.pathsep.join([package, *others])}


def submit_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` for SLURM's commands and the jobs they submit: nothing of the job that this process may be in.

    SLURM_CONF stays: it says which cluster.
    """
    kept = {key: value for key, value in environment.items() if key == "SLURM_CONF"}
    return without(environment, OF_TORCHRUN + OF_SLURM) | kept


@contextmanager
def outside_of_jobs() -> Iterator[None]:
    """Run SLURM's commands in `submit_environment`, those of libraries too."""
    hidden = {key: os.environ.pop(key) for key in os.environ.keys() - submit_environment(os.environ).keys()}
    try:
        yield
    finally:
        os.environ.update(hidden)


def without(environment: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
    """The variables that have none of these names; one that ends with an underscore stands for all that begin so."""
    beginnings = tuple(name for name in names if name.endswith("_"))
    return {key: value for key, value in environment.items() if key not in names and not key.startswith(beginnings)}
