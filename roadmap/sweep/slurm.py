"""Runs as jobs of SLURM, which go on when the sweep is closed and are found again when it is opened."""

import getpass
import shutil
import subprocess
import time
from dataclasses import dataclass
from typing import Any

from roadmap import runs
from roadmap.errors import ConfigError, require
from roadmap.sweep.board import Row, State
from roadmap.sweep.cluster import ClusterConfig, processes_per_node
from roadmap.sweep.exit_status import ALIVE, Ending, checkpoint_time
from roadmap.sweep.launcher import afresh
from roadmap.sweep.plan import Plan, Run
from roadmap.sweep.slurm_job import TrainJob

AT_WORK = {"RUNNING", "COMPLETING", "STAGE_OUT", "SIGNALING", "RESIZING"}
SETTLED_SECONDS = 60
"""A job younger than this that is not listed is believed to be there all the same."""
COMMAND_SECONDS = 120
FOLDER = "slurm"
"""In the study's directory, for what submitit and the jobs write."""


@dataclass
class Job:
    """A run and its job; kept as a file in the run's directory until its end is seen."""

    row: Row
    number: str
    submitted: float
    found: int
    """Time of the checkpoint that was there before."""

    def keep(self) -> None:
        """Write it down."""
        content = {"job": self.number, "submitted": self.submitted, "found": self.found, "tries": self.row.tries}
        runs.write_json(self.row.run.directory / runs.JOB, content)


class Slurm:
    """A place to run (`roadmap.sweep.launcher`)."""

    def __init__(self, plan: Plan) -> None:
        self._jobs: list[Job] = []
        self._most = len(plan.runs)
        self._executor = executor(plan)

    def adopt(self, rows: list[Row]) -> None:
        """Find the jobs of an earlier sweep."""
        for row in rows:
            if row.state is State.waiting and (job := kept(row)):
                self._jobs.append(job)
                row.state, row.started, row.new = State.queued, time.monotonic(), True

    def room(self) -> int:
        """SLURM takes all of them, and lets `array_parallelism` run at a time."""
        return self._most

    def start(self, rows: list[Row]) -> list[tuple[Row, str]]:
        """Hand runs over as one array of jobs.

        Raises:
            ConfigError: SLURM refuses them, with its reason.
        """
        found = [checkpoint_time(row.run.directory) for row in rows]
        for row in rows:
            afresh(row, State.queued)
        try:
            jobs = self._executor.submit_array([TrainJob(row.run.directory.absolute()) for row in rows])
        except RuntimeError as error:  # submitit's name for what sbatch says
            lines = [line for line in str(error).splitlines() if "sbatch:" in line] or str(error).splitlines()[-1:]
            raise ConfigError(f"cluster=slurm: {' '.join(lines)}") from error
        for row, job, before in zip(rows, jobs, found, strict=True):
            self._jobs.append(Job(row, job.job_id, time.time(), before))
            self._jobs[-1].keep()
        return []

    def ended(self) -> list[tuple[Row, Ending]]:
        """The runs whose job has ended since the last time, and how."""
        if not self._jobs or (states := job_states()) is None:
            return []
        over = []
        for job in list(self._jobs):
            state = states.get(job.number)
            if state in ALIVE:
                _show(job.row, state in AT_WORK)
            elif state or time.time() - job.submitted > SETTLED_SECONDS:
                directory = job.row.run.directory
                code = (runs.read_json(directory / runs.EXIT) or {}).get("code")
                over.append((job.row, Ending(code, state, job.found != checkpoint_time(directory))))
                self._jobs.remove(job)
                (directory / runs.JOB).unlink(missing_ok=True)
        return over

    def leave(self) -> str:
        """Leave the jobs where they are."""
        return f"{len(self._jobs)} jobs go on: the same command finds them again" if self._jobs else ""


def executor(plan: Plan) -> Any:
    """submitit's, for the jobs of a plan.

    Raises:
        ConfigError: there is no submitit, or no SLURM.
    """
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise ConfigError("cluster=slurm: submitit is needed: pip install 'convnet-roadmap[slurm]'") from error
    missing = [name for name in ("sbatch", "srun", "squeue", "scontrol", "scancel") if not shutil.which(name)]
    require(not missing, "cluster", "slurm", f"a machine with SLURM's {' '.join(missing)} on its PATH")
    made = SlurmExecutor(folder=plan.study / FOLDER, max_num_timeout=plan.cluster.requeues)
    made.update_parameters(**parameters(plan.cluster, name=plan.study.name, at_a_time=plan.jobs))
    return made


def parameters(cluster: ClusterConfig, *, name: str, at_a_time: int) -> dict[str, Any]:
    """A cluster's options in submitit's words."""
    values = {
        "job_name": name,
        "partition": cluster.partition,
        "account": cluster.account,
        "nodes": cluster.nodes,
        "gpus_per_node": cluster.gpus_per_node,
        "ntasks_per_node": processes_per_node(cluster),
        "cpus_per_task": cluster.cpus_per_task,
        "mem": f"{round(1024 * cluster.mem_gb)}M" if cluster.mem_gb else None,
        "time": cluster.time,
        "constraint": cluster.constraint,
        "array_parallelism": at_a_time,
        "setup": cluster.setup or None,
        "signal_delay_s": cluster.signal_seconds,
        "additional_parameters": {"requeue": True, **cluster.additional},
        # From 22.05 on srun does not take it from the job.
        "srun_args": [f"--cpus-per-task={cluster.cpus_per_task}"] if cluster.cpus_per_task else None,
    }
    return {key: value for key, value in values.items() if value is not None}


def kept(row: Row) -> Job | None:
    """The job that a run's directory tells of."""
    content = runs.read_json(row.run.directory / runs.JOB)
    if content is None:
        return None
    row.tries = content["tries"]
    return Job(row, content["job"], content["submitted"], content["found"])


def job_states() -> dict[str, str] | None:
    """The state of every job of this user that SLURM still knows; None if it does not answer."""
    command = ["squeue", "--noheader", "--array", "--states=all", f"--user={getpass.getuser()}", "--format=%i %T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=COMMAND_SECONDS)
    except (OSError, subprocess.SubprocessError):
        return None
    return dict(line.split(maxsplit=1) for line in done.stdout.splitlines() if line.strip())


def cancel(of: list[Run]) -> int:
    """End the jobs of runs, which lets them write a checkpoint; returns how many there were.

    Raises:
        ConfigError: SLURM does not do it, with its reason.
    """
    jobs = [job for run in of if (job := kept(Row(run)))]
    if jobs:
        done = subprocess.run(["scancel", *(job.number for job in jobs)], capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"cancel: {done.stderr.strip().splitlines()[-1]}")
    for job in jobs:
        (job.row.run.directory / runs.JOB).unlink(missing_ok=True)
    return len(jobs)


def _show(row: Row, at_work: bool) -> None:
    if at_work and row.state is not State.running:
        row.state, row.started = State.running, time.monotonic()
    elif not at_work:
        row.state = State.queued
