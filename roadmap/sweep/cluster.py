"""Options of a cluster: a file of conf/cluster and the words that override it."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap.config.conf import to_dict
from roadmap.config.schema import Gigabytes
from roadmap.config.values import Range, conform
from roadmap.config.yaml_files import CONF, choices, read_yaml
from roadmap.errors import ConfigError, require, require_one_of

Count = Annotated[int, Range(1, 10_000)]
Times = Annotated[int, Range(0, 10_000)]


class Scheduler(Enum):
    local = "local"  # processes of this machine
    slurm = "slurm"


@dataclass
class ClusterConfig:
    """Where the runs of a sweep are executed. Not part of a run's configuration: the results are the same anywhere."""

    scheduler: Scheduler = Scheduler.local
    retries: Times = 3  # how often a run is started again after it ended through no fault of its own
    poll_seconds: Annotated[float, Range(0, 600, above=True)] = 0.2  # time between two checks of all runs
    partition: str | None = None
    account: str | None = None
    nodes: Count = 1  # nodes per run
    gpus_per_node: Count | None = None
    processes_per_node: Count | None = None  # processes of a run on each node; unset: one per GPU
    cpus_per_task: Count | None = None  # cores per process
    mem_gb: Gigabytes | None = None  # memory per node
    time: Annotated[int, Range(30, 527_040)] = 1440
    """Time limit of a job in minutes; a longer run requeues and continues. submitit distinguishes a time-out from a
    preemption by the time that passed; a few minutes are too short for that."""
    constraint: str | None = None
    array_parallelism: Annotated[int, Range(1, 10_000)] = 256  # jobs at a time unless `jobs` is set
    setup: list[str] = field(default_factory=list)  # shell commands before the run, for example `module load cuda`
    signal_seconds: Annotated[int, Range(30, 86_400)] = (
        120  # seconds before the time limit at which a job is told to write a checkpoint and requeue
    )
    requeues: Times = 20  # how often a job requeues itself at its time limit
    additional: dict[str, str] = field(default_factory=dict)  # other options of sbatch, for example {qos: high}

    @property
    def tasks_per_node(self) -> int:
        """Processes of a run on each node."""
        return self.processes_per_node or self.gpus_per_node or 1

    @property
    def processes(self) -> int:
        """Processes of a run."""
        return 1 if self.scheduler is Scheduler.local else self.nodes * self.tasks_per_node


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

    conform(to_dict(cluster), ClusterConfig, "cluster")
    most = 60 * cluster.time // 2
    check("signal_seconds", cluster.signal_seconds <= most, f"30 to {most}, half of cluster.time, in seconds")
    if cluster.scheduler is Scheduler.local:
        for key in ("nodes", "processes_per_node"):
            check(key, getattr(cluster, key) in (None, 1), "1 on this machine; for one run: torchrun train.py")
    return cluster
