"""Runs as SLURM jobs: they continue when the sweep is closed, and the next sweep finds them."""

import io
import shutil
import subprocess
import time
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass
from typing import Any

from roadmap import runs
from roadmap.cli import counted, duration
from roadmap.config.schema import Device
from roadmap.environment import outside_of_jobs
from roadmap.errors import ConfigError, require
from roadmap.files import refuse_links
from roadmap.run_files import ExitFile, JobFile
from roadmap.sweep.cluster import ClusterConfig, Scheduler
from roadmap.sweep.exit_status import ACTIVE_STATES, WORKING_STATES, Exit, checkpoint_time, job_states
from roadmap.sweep.launcher import reset
from roadmap.sweep.plan import Plan, Run
from roadmap.sweep.slurm_job import TrainJob
from roadmap.sweep.status import Phase, RunState

HINT = (
    "sinfo and sacctmgr say what SLURM allows; set cluster.partition=..., cluster.account=..., cluster.time=..., "
    "cluster.mem_gb=... or, for other options of sbatch, 'cluster.additional={qos: NAME}'; --dry-run shows them all"
)


@dataclass
class Job:
    """A run and its job, recorded as job.json in the run's directory until its end is seen."""

    state: RunState
    number: str
    submitted: float
    checkpoint: int  # `checkpoint_time` when it was submitted

    def save(self) -> None:
        content = {"job": self.number, "submitted": self.submitted, "found": self.checkpoint, "tries": self.state.tries}
        runs.write_json(self.state.run.directory / runs.JOB, content)


def saved_job(state: RunState) -> Job | None:
    """The job recorded in a run's directory; restores the number of tries."""
    if (content := runs.read_json(state.run.directory / runs.JOB, JobFile)) is None:
        return None
    state.tries = content["tries"]
    return Job(state, content["job"], content["submitted"], content["found"])


class Slurm:
    """A `roadmap.sweep.launcher.Launcher`."""

    def __init__(self, plan: Plan) -> None:
        self._jobs: list[Job] = []
        self._runs, self._study, self._executor = len(plan.runs), plan.study.name, executor(plan)

    def adopt(self, states: list[RunState]) -> None:
        for state in states:
            if state.phase is Phase.waiting and (job := saved_job(state)):
                self._jobs.append(job)
                state.phase, state.started, state.new = Phase.queued, time.monotonic(), True

    def capacity(self) -> int:
        """All runs: SLURM itself limits how many jobs run at a time."""
        return self._runs

    def start(self, states: list[RunState]) -> list[tuple[RunState, str]]:
        """Submit runs as one job array (ConfigError: sbatch refuses them, with its reason)."""
        checkpoints = [checkpoint_time(state.run.directory) for state in states]
        for state in states:
            reset(state, Phase.queued)
        try:
            with outside_of_jobs(), redirect_stderr(io.StringIO()):  # submitit would print sbatch's output as well
                jobs = self._executor.submit_array([TrainJob(state.run.directory.absolute()) for state in states])
        except RuntimeError as error:  # raised by submitit with sbatch's output
            lines = [line for line in str(error).splitlines() if "sbatch:" in line] or str(error).splitlines()[-1:]
            raise ConfigError(f"cluster=slurm: {' '.join(lines)}\n{HINT}") from error
        for state, job, checkpoint in zip(states, jobs, checkpoints, strict=True):
            self._jobs.append(Job(state, job.job_id, time.time(), checkpoint))
            self._jobs[-1].save()
        named = [f"{self._study}/{state.run.step}/{state.run.seed}" for state in states]
        _name({job.job_id: name for job, name in zip(jobs, named, strict=True)})
        return []

    def ended(self) -> list[tuple[RunState, Exit]]:
        if not self._jobs or (job_state := job_states()) is None:
            return []
        exits = []
        for job in list(self._jobs):
            current = job_state.get(job.number)
            if current in ACTIVE_STATES:
                if current not in WORKING_STATES:
                    job.state.phase = Phase.queued
                elif job.state.phase is not Phase.running:
                    job.state.phase, job.state.started = Phase.running, time.monotonic()
            elif current or time.time() - job.submitted > 60:  # a younger job may not be in squeue's list yet
                directory, code = job.state.run.directory, None
                with suppress(ConfigError):  # no code that a process ends with
                    code = (runs.read_json(directory / runs.EXIT, ExitFile) or {}).get("code")
                exits.append((job.state, Exit(code, current, job.checkpoint != checkpoint_time(directory))))
                self._jobs.remove(job)
                (directory / runs.JOB).unlink(missing_ok=True)
        return exits

    def close(self) -> str:
        return f"{len(self._jobs)} jobs continue: the same command finds them again" if self._jobs else ""


def executor(plan: Plan) -> Any:
    """submitit's executor for the jobs of a plan (ConfigError: submitit or SLURM is not installed)."""
    try:
        from submitit import SlurmExecutor
    except ImportError as error:
        raise ConfigError("cluster=slurm: submitit is needed: pip install 'convnet-roadmap[slurm]'") from error
    missing = [name for name in ("sbatch", "srun", "squeue", "scontrol", "scancel") if not shutil.which(name)]
    require(not missing, "cluster", "slurm", f"a machine with SLURM's {' '.join(missing)} on its PATH")
    refuse_links(plan.study / "slurm")
    made = SlurmExecutor(folder=plan.study / "slurm", max_num_timeout=plan.cluster.requeues)
    made.update_parameters(**parameters(plan.cluster, name=plan.study.name, jobs=plan.jobs))
    return made


def _name(jobs: dict[str, str]) -> None:
    """Name jobs after their runs in squeue: sbatch gives all jobs of an array one name. It does no harm to fail."""
    with outside_of_jobs(), suppress(OSError, subprocess.SubprocessError):
        for number, name in jobs.items():
            command = ["scontrol", "update", f"JobId={number}", f"JobName={name}"]
            subprocess.run(command, capture_output=True, check=True, timeout=10)


def request(plan: Plan) -> list[str]:
    """What a sweep would ask SLURM for, and the options of its batch script, as lines; writes and submits nothing."""
    cluster, to_do = plan.cluster, sum(not runs.finished(run.directory) for run in plan.runs)
    gpus = cluster.nodes * (cluster.gpus_per_node or 0)
    each = f"{counted(cluster.nodes, 'node')} and {counted(gpus, 'GPU')} per job"
    limits = f"time limit {duration(60 * cluster.time)}, partition {cluster.partition or 'the default one'}"
    lines = [f"SLURM: {counted(to_do, 'job')}, {each}, {limits}", *missing_gpus(plan)]
    try:
        from submitit.slurm.slurm import _make_sbatch_string
    except ImportError:
        return [*lines, "submitit is needed to submit them: pip install 'convnet-roadmap[slurm]'"]
    given = parameters(cluster, name=plan.study.name, jobs=plan.jobs)
    script = _make_sbatch_string(command="", folder=plan.study.absolute() / "slurm", **given)
    return [*lines, *(line for line in script.splitlines() if line.startswith("#SBATCH")), *cluster.setup]


def missing_gpus(plan: Plan) -> list[str]:
    """A warning if the jobs of a plan ask for no GPU and their options do not say that they train on CPUs."""
    cluster, device = plan.cluster, plan.configs[0].training.device
    asked = cluster.gpus_per_node or any("gpu" in f"{key}={value}" for key, value in cluster.additional.items())
    if asked or device is Device.cpu or cluster.scheduler is not Scheduler.slurm:
        return []
    remedy = "cluster.gpus_per_node=N asks for them, training.device=cpu says that none is meant"
    return [f"warning: the jobs ask for no GPU, and training.device={device.name}: {remedy}"]


def parameters(cluster: ClusterConfig, *, name: str, jobs: int) -> dict[str, Any]:
    """A cluster's options as submitit's parameters."""
    same = ("partition", "account", "nodes", "gpus_per_node", "cpus_per_task", "time", "constraint")
    values = {key: getattr(cluster, key) for key in same} | {
        "job_name": name,
        "ntasks_per_node": cluster.tasks_per_node,
        "mem": f"{round(1024 * cluster.mem_gb)}M" if cluster.mem_gb else None,
        "array_parallelism": jobs,
        "setup": cluster.setup or None,
        "signal_delay_s": cluster.signal_seconds,
        "additional_parameters": {"requeue": True, **cluster.additional},
        # srun does not inherit it from sbatch since SLURM 22.05.
        "srun_args": [f"--cpus-per-task={cluster.cpus_per_task}"] if cluster.cpus_per_task else None,
    }
    # No workload characterization key, which submitit would set and some clusters refuse.
    return {key: value for key, value in values.items() if value is not None} | {"wckey": None}


def cancel(of: list[Run]) -> int:
    """Cancel the jobs of runs, which write a checkpoint first; returns their number (ConfigError: scancel fails)."""
    jobs = [job for run in of if (job := saved_job(RunState(run)))]
    if jobs:
        with outside_of_jobs():
            command = ["scancel", *(job.number for job in jobs)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ConfigError(f"cancel: {done.stderr.strip().splitlines()[-1]}")
    for job in jobs:
        (job.state.run.directory / runs.JOB).unlink(missing_ok=True)
    return len(jobs)
