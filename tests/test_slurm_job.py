"""Sweeps on a real SLURM of one node: preempted, killed and requeued jobs compute the same bits."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from helpers.slurm_cluster import Cluster, lacking, until, up
from helpers.smoke import ROOT, computed, script, torchrun, words, working_on

from roadmap import runs

pytestmark = pytest.mark.slurm
STEPS = ("resnet", "large_kernel", "layer_norm")
LONG = ("steps=[resnet,large_kernel,layer_norm]", "budget.epochs=20", "training.checkpoint_minutes=0.001")
Sweep = Callable[..., subprocess.Popen[str]]
SLURM = ("cluster=slurm", "cluster.poll_seconds=0.5", "cluster.cpus_per_task=1")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if missing := lacking():
        pytest.fail(f"{missing} missing: make test-slurm installs them as root")
    with up(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory, data_root: Path) -> Path:
    """The same study, swept by local processes."""
    directory = tmp_path_factory.mktemp("local")
    said(script("scripts/sweep.py", *words(directory, data_root, *LONG, "jobs=2")), code=0, seconds=200)
    return directory / "tiny"


@pytest.fixture
def sweep(cluster: Cluster) -> Iterator[Sweep]:
    """Starts sweeps on the cluster; kills those left at the end of the test."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        started.append(script("scripts/sweep.py", *arguments, env=cluster.environment))
        return started[-1]

    yield start
    for process in started:
        with process:
            process.kill()


def said(process: subprocess.Popen[str], *, code: int, seconds: float = 150) -> str:
    output, _ = process.communicate(timeout=seconds)
    assert process.returncode == code, output
    return output


def at_work(directory: Path) -> str:
    """The job of a run, as soon as it has a checkpoint."""
    until(lambda: (directory / runs.CHECKPOINT).exists() and (directory / runs.JOB).exists(), f"{directory} at work")
    return str(job_of(directory))


def job_of(directory: Path) -> object:
    """The job that a run's directory names, if it names one."""
    return (runs.read_json(directory / runs.JOB) or {}).get("job")


def same_as(local: Path, study: Path, steps: Sequence[str] = STEPS) -> None:
    for step in steps:
        assert computed(study / step / "seed-0") == computed(local / step / "seed-0"), step


def test_preempted_and_killed_jobs_end_with_the_bits_of_a_local_sweep(
    cluster: Cluster, sweep: Sweep, local: Path, tmp_path: Path, data_root: Path
) -> None:
    arguments, study = words(tmp_path, data_root, *LONG, *SLURM), tmp_path / "tiny"
    seeds = [study / step / "seed-0" for step in STEPS]
    first = sweep(*arguments)

    preempted, killed = at_work(seeds[0]), at_work(seeds[1])
    (victim,) = working_on(seeds[1])
    parent = int(subprocess.check_output(["ps", "-o", "ppid=", str(victim)]))
    for process in (parent, victim):  # so that nothing can tell what happened, as when memory runs out
        os.kill(process, signal.SIGKILL)
    cluster.signal(preempted, "USR2")
    until(lambda: cluster.jobs().get(preempted) == "PENDING", "queued again by itself")
    assert (runs.read_json(seeds[0] / runs.EXIT) or {})["code"] in (128 + signal.SIGUSR2, -signal.SIGUSR2)
    until(lambda: job_of(seeds[1]) not in (killed, None), "started again")

    first.send_signal(signal.SIGINT)
    output = said(first, code=130)
    assert "jobs continue" in output
    assert "large_kernel seed 0: ended without an exit code; retry 1 of at most 3" in output
    cluster.start_now(preempted)

    terminated = at_work(seeds[2])
    for name in ("TERM", "USR2"):  # in this order, as a preemption does
        cluster.signal(terminated, name)
    cluster.stop("slurmctld")
    second = sweep(*arguments)
    time.sleep(3)
    assert second.poll() is None, second.communicate()[0]
    cluster.start_controller()
    until(lambda: cluster.start_now(terminated) or second.poll() is not None, "the end", 200)
    output = said(second, code=0)
    assert "3 of 3 runs finished" in output
    same_as(local, study)
    assert not list(study.rglob(runs.JOB)) and not cluster.jobs()


def test_jobs_are_listed_cancelled_and_resumed(
    cluster: Cluster, sweep: Sweep, local: Path, tmp_path: Path, data_root: Path
) -> None:
    two = ("steps=[resnet,layer_norm]", *LONG[1:])
    arguments, study = words(tmp_path, data_root, *two, *SLURM, "jobs=1"), tmp_path / "tiny"
    first = sweep(*arguments)
    at_work(study / "resnet/seed-0")
    first.send_signal(signal.SIGTERM)
    said(first, code=143)
    shown = said(sweep("status", *arguments), code=0)
    assert " running" in shown and "queued" in shown
    refused = said(sweep(*words(tmp_path, data_root, *two)), code=2)
    assert "cluster=local: 2 runs of this sweep are SLURM jobs" in refused
    assert "2 jobs cancelled" in said(sweep("cancel", *arguments), code=0)
    until(lambda: not cluster.jobs(), "no jobs")
    assert not runs.finished(study / "resnet/seed-0") and (study / "resnet/seed-0" / runs.CHECKPOINT).exists()
    assert "2 of 2 runs finished, 2 of them now" in said(sweep(*arguments), code=0)
    same_as(local, study, ("resnet", "layer_norm"))


def test_a_run_that_fails_by_its_own_error_is_not_retried(
    cluster: Cluster, sweep: Sweep, tmp_path: Path, data_root: Path
) -> None:
    in_the_way = tmp_path / "tiny" / "resnet" / "seed-0" / f"{runs.CHECKPOINT}.new"
    (in_the_way / "full").mkdir(parents=True)
    output = said(sweep(*words(tmp_path, data_root, "steps=[resnet,gelu]", *SLURM)), code=1)
    assert "resnet seed 0 FAILED: IsADirectoryError" in output and "retry" not in output
    assert "gelu seed 0: top-1" in output
    refused = sweep(*words(tmp_path, data_root, *LONG[:1], *SLURM, "cluster.partition=nowhere"))
    assert "invalid partition specified: nowhere" in said(refused, code=2)


def test_a_sweep_from_inside_an_allocation_submits_jobs_like_any_other(
    cluster: Cluster, local: Path, tmp_path: Path, data_root: Path
) -> None:
    arguments = words(
        tmp_path, data_root, "steps=[layer_norm]", *LONG[1:], *SLURM, f"cluster.setup=['env>{tmp_path}/env']"
    )
    # An unknown partition, CPUs that the job does not have, two limits of memory that exclude each other, a list of
    # nobody's jobs.
    options = {"SBATCH_PARTITION": "nowhere", "SLURM_CPU_BIND": "map_cpu:99", "SLURM_MEM_PER_NODE": "10", "RANK": "0"}
    options |= {"SLURM_MEM_PER_CPU": "10", "SQUEUE_STATES": "FAILED", "SBATCH_JOB_NAME": "callers"}
    command = ["salloc", "--ntasks=1", "--quiet", "env", *(f"{key}={value}" for key, value in options.items())]
    command += [sys.executable, str(ROOT / "scripts/sweep.py"), *arguments]
    done = subprocess.run(
        command, env=cluster.environment, cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
    )
    assert done.returncode == 0 and "1 of 1 run finished, 1 of them now" in done.stdout, done.stdout + done.stderr
    same_as(local, tmp_path / "tiny", ["layer_norm"])
    found = dict(line.split("=", 1) for line in (tmp_path / "env").read_text().splitlines() if "=" in line)
    assert not found.keys() & options.keys() and found["SLURM_JOB_NAME"] == "tiny"
    assert found["SLURM_CONF"] == cluster.environment["SLURM_CONF"]


def test_two_processes_per_job_compute_the_same_as_torchrun(
    cluster: Cluster, sweep: Sweep, tmp_path: Path, data_root: Path
) -> None:
    one = ["steps=[layer_norm]", "budget.epochs=20", "training.checkpoint_minutes=0.001"]
    study = tmp_path / "slurm/tiny/layer_norm/seed-0"
    two = (*one, *SLURM, "cluster.processes_per_node=2")
    process = sweep(*words(tmp_path / "slurm", data_root, *two))
    job = at_work(study)
    cluster.signal(job, "USR2")
    until(lambda: cluster.jobs().get(job) == "PENDING", "queued again by itself")
    cluster.start_now(job)
    said(process, code=0)
    assert runs.read_result(study / runs.RESULT)["hardware"]["processes"] == 2
    said(torchrun(2, "train.py", *words(tmp_path / "torchrun", data_root, "+step=layer_norm", *one[1:])), code=0)
    assert computed(study) == computed(tmp_path / "torchrun/tiny/layer_norm/seed-0")
