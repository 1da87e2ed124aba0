"""Options of a cluster: a file of conf/cluster and the words that override it."""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap.config.yaml_files import CONF, choices, read_yaml
from roadmap.errors import ConfigError, require, require_one_of


class Scheduler(Enum):
    local = "local"  # processes of this machine
    slurm = "slurm"


@dataclass
class ClusterConfig:
    """Where the runs of a sweep are executed. Not part of a run's configuration: the results are the same anywhere."""

    scheduler: Scheduler = Scheduler.local
    retries: int = 3  # how often a run is started again after it ended through no fault of its own
    poll_seconds: float = 0.2  # time between two checks of all runs
    partition: str | None = None
    account: str | None = None
    nodes: int = 1  # nodes per run
    gpus_per_node: int | None = None
    processes_per_node: int | None = None  # processes of a run on each node; unset: one per GPU
    cpus_per_task: int | None = None  # cores per process
    mem_gb: float | None = None  # memory per node
    time: int = 1440  # time limit of a job in minutes; a longer run requeues and continues
    constraint: str | None = None
    array_parallelism: int = 256  # jobs at a time unless `jobs` is set
    setup: list[str] = field(default_factory=list)  # shell commands before the run, for example `module load cuda`
    signal_seconds: int = 120  # seconds before the time limit at which a job is told to write a checkpoint and requeue
    requeues: int = 20  # how often a job requeues itself at its time limit
    additional: dict[str, str] = field(default_factory=dict)  # other options of sbatch, for example {qos: high}


def read_cluster(name: str, words: list[str]) -> ClusterConfig:
    """The cluster of conf/cluster/`name`.yaml with overrides such as `cluster.partition=gpu`; else a ConfigError."""
    require_one_of("cluster", name, choices("cluster"))
    try:
        options = read_yaml(CONF / "cluster" / f"{name}.yaml")
        overrides = OmegaConf.from_dotlist(words).get("cluster", {})
        merged = OmegaConf.merge(OmegaConf.structured(ClusterConfig), options, overrides)
        cluster = cast(ClusterConfig, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        allowed = " ".join(ClusterConfig.__dataclass_fields__)
        text = str(error).splitlines()[0]
        raise ConfigError(f"cluster={name} {' '.join(words)}: {text}; cluster. has {allowed}") from error

    def check(key: str, ok: bool, allowed: str) -> None:
        require(ok, f"cluster.{key}", getattr(cluster, key), allowed)

    for key in ("nodes", "gpus_per_node", "processes_per_node", "cpus_per_task", "mem_gb", "array_parallelism"):
        value = getattr(cluster, key)
        check(key, value is None or 0 < value < math.inf, "more than 0")
    for key in ("retries", "requeues"):
        check(key, getattr(cluster, key) >= 0, "0 or more")
    check("poll_seconds", 0 < cluster.poll_seconds <= 600, "more than 0, up to 600")
    # submitit distinguishes a time-out from a preemption by the time that passed; a few minutes are too short for that.
    check("time", cluster.time >= 30, "30 minutes or more")
    most = 60 * cluster.time // 2
    check("signal_seconds", 30 <= cluster.signal_seconds <= most, f"30 to {most}, half of cluster.time, in seconds")
    if cluster.scheduler is Scheduler.local:
        for key in ("nodes", "processes_per_node"):
            check(key, getattr(cluster, key) in (None, 1), "1 on this machine; for one run: torchrun train.py")
    return cluster
