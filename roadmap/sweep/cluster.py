"""Where a sweep has its runs carried out: a file of conf/cluster and the words that change it."""

import math
from dataclasses import dataclass, field
from enum import Enum
from typing import cast

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap.config.steps import CONF
from roadmap.errors import ConfigError, require


class Scheduler(Enum):
    """Who carries out the runs of a sweep."""

    local = "local"  # processes of this machine
    slurm = "slurm"


@dataclass
class ClusterConfig:
    """Where a sweep has its runs carried out (conf/cluster). Part of no run: a run computes the same anywhere."""

    scheduler: Scheduler = Scheduler.local
    retries: int = 3
    """How often a run is started again that ended for no fault of its own."""
    poll_seconds: float = 0.2
    """Between two looks at the runs."""
    partition: str | None = None
    account: str | None = None
    nodes: int = 1
    """Of one run."""
    gpus_per_node: int | None = None
    processes_per_node: int | None = None
    """Unset: one a GPU."""
    cpus_per_task: int | None = None
    """Cores a process."""
    mem_gb: float | None = None
    """Memory a node."""
    time: int = 1440
    """Minutes until SLURM ends a job; a run that needs longer goes on in the next one."""
    constraint: str | None = None
    array_parallelism: int = 256
    """Jobs at a time, where `jobs` does not say."""
    setup: list[str] = field(default_factory=list)
    """Lines of shell before the run, as `module load cuda`."""
    signal_seconds: int = 120
    """So long before the end of its time a job is told to save a checkpoint and to queue again."""
    requeues: int = 20
    """How often a job queues again by itself because its time was up."""
    additional: dict[str, str] = field(default_factory=dict)
    """Any other option of sbatch, as {qos: high}."""


def read_cluster(name: str, words: list[str]) -> ClusterConfig:
    """The cluster of conf/cluster/`name`.yaml, changed by words such as `cluster.partition=gpu`.

    Raises:
        ConfigError: in one line, naming the key and what is allowed.
    """
    known = sorted(path.stem for path in (CONF / "cluster").glob("*.yaml"))
    require(name in known, "cluster", name, f"one of {' '.join(known)}")
    path = CONF / "cluster" / f"{name}.yaml"
    try:
        own = OmegaConf.from_dotlist(words).get("cluster", {})
        merged = OmegaConf.merge(OmegaConf.structured(ClusterConfig), yaml.safe_load(path.read_text()) or {}, own)
        cluster = cast(ClusterConfig, OmegaConf.to_object(merged))
    except (OmegaConfBaseException, ValueError, yaml.YAMLError) as error:
        allowed = " ".join(ClusterConfig.__dataclass_fields__)
        text = str(error).splitlines()[0]
        raise ConfigError(f"cluster={name} {' '.join(words)}: {text}; cluster. has {allowed}") from error
    check_cluster(cluster)
    return cluster


def check_cluster(cluster: ClusterConfig) -> None:
    """Refuse what no cluster can do.

    Raises:
        ConfigError: in one line, naming the key and what is allowed.
    """
    for key in ("nodes", "gpus_per_node", "processes_per_node", "cpus_per_task", "mem_gb", "array_parallelism"):
        value = getattr(cluster, key)
        require(value is None or 0 < value < math.inf, f"cluster.{key}", value, "more than 0")
    for key in ("retries", "requeues"):
        require(getattr(cluster, key) >= 0, f"cluster.{key}", getattr(cluster, key), "0 or more")
    require(0 < cluster.poll_seconds <= 600, "cluster.poll_seconds", cluster.poll_seconds, "more than 0, up to 600")
    # What SLURM calls a time-out is told from a preemption by the time that has passed; minutes are too few for that.
    require(cluster.time >= 30, "cluster.time", cluster.time, "30 minutes or more")
    most = 60 * cluster.time // 2
    allowed = f"30 to {most}, half of cluster.time, in seconds"
    require(30 <= cluster.signal_seconds <= most, "cluster.signal_seconds", cluster.signal_seconds, allowed)
    if cluster.scheduler is Scheduler.local:
        for key in ("nodes", "processes_per_node"):
            value = getattr(cluster, key)
            require(value in (None, 1), f"cluster.{key}", value, "1 on this machine; for one run: torchrun train.py")


def processes_per_node(cluster: ClusterConfig) -> int:
    """How many processes carry out a run on each of its nodes."""
    return cluster.processes_per_node or cluster.gpus_per_node or 1
