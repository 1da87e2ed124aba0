"""What a sweep does with runs that end in other ways than well, and what it asks of a cluster."""

import io
import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.smoke import computed, script, words, working_on
from rich.console import Console

from roadmap import runs
from roadmap.errors import ConfigError
from roadmap.signals import caught
from roadmap.sweep.board import Row, State
from roadmap.sweep.cluster import read_cluster
from roadmap.sweep.exit_status import Ending, Verdict, judge
from roadmap.sweep.plan import Run, make_plan
from roadmap.sweep.slurm import Slurm, cancel, parameters
from roadmap.sweep.status import status
from roadmap.sweep.sweeper import close

AGAIN, FAILED = Verdict.again, Verdict.failed
USR2, TERM, KILL, SEGV = signal.SIGUSR2, signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV


@pytest.mark.parametrize(
    ("ending", "verdict", "why"),
    [
        (Ending(128 + USR2), AGAIN, "stopped by SIGUSR2"),
        (Ending(-TERM), AGAIN, "stopped by SIGTERM"),
        (Ending(128 + TERM, "FAILED"), AGAIN, "stopped by SIGTERM"),  # and its own requeue was killed
        (Ending(None, "NODE_FAIL"), AGAIN, "its node failed"),
        (Ending(1, "PREEMPTED"), AGAIN, "it was preempted"),
        (Ending(None, "TIMEOUT", progressed=True), AGAIN, "its time was up"),
        (Ending(None, "TIMEOUT"), FAILED, "its time was up"),
        (Ending(-KILL, progressed=True), AGAIN, "killed by SIGKILL (out of memory?)"),
        (Ending(-KILL), FAILED, "killed by SIGKILL (out of memory?)"),
        (Ending(None, None, progressed=True), AGAIN, "it ended without a word"),  # SLURM has forgotten it
        (Ending(None, "FAILED"), FAILED, "it ended without a word"),
        (Ending(-SEGV, progressed=True), FAILED, "killed by SIGSEGV"),
        (Ending(128 + TERM, "CANCELLED", progressed=True), FAILED, "it was cancelled"),
        (Ending(None, "OUT_OF_MEMORY", progressed=True), FAILED, "out of memory"),
        (Ending(2, "FAILED", progressed=True), FAILED, "exit code 2: the last word"),
        (Ending(0, "COMPLETED"), FAILED, "exit code 0: the last word"),
    ],
)
def test_only_what_ended_for_no_fault_of_its_own_goes_on(
    tmp_path: Path, ending: Ending, verdict: Verdict, why: str
) -> None:
    (tmp_path / runs.LOG).write_text("much\nthe last word\n")
    assert judge(tmp_path, ending) == (verdict, why)


def test_an_error_of_its_own_is_final_unless_its_node_failed(tmp_path: Path) -> None:
    runs.write_json(tmp_path / runs.FAILURE, {"error": "ValueError: no"})
    for ending in (Ending(1), Ending(1, "FAILED", True), Ending(128 + USR2), Ending(None, "TIMEOUT", True)):
        assert judge(tmp_path, ending) == (FAILED, "ValueError: no")
    assert judge(tmp_path, Ending(1, "NODE_FAIL")) == (AGAIN, "its node failed")


def test_there_is_a_limit_to_going_on(tmp_path: Path) -> None:
    said = Console(file=io.StringIO(), width=200)
    row = Row(Run("gelu", 0, tmp_path))
    for tries in (1, 2, 2):
        row.state = State.running
        close(row, Ending(128 + USR2), 2, said)
        assert row.tries == tries
    assert row.state is State.failed
    output = said.file.getvalue()  # type: ignore[attr-defined]
    assert "gelu seed 0: stopped by SIGUSR2; it goes on (2 of at most 2 times)" in output
    assert "gelu seed 0 FAILED: stopped by SIGUSR2, after it was started again 2 times" in output


@pytest.fixture
def heeding_ctrl_c() -> Iterator[None]:
    """As on a terminal, also where the tests are started in the background of a shell, which has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeding_ctrl_c")
def test_a_scheduler_may_repeat_itself_and_a_second_ctrl_c_is_impatience() -> None:
    sent = [signal.SIGTERM, signal.SIGUSR2, signal.SIGUSR1, signal.SIGTERM, signal.SIGUSR2, signal.SIGINT]
    with pytest.raises(KeyboardInterrupt), caught() as seen:
        for number in sent:
            signal.raise_signal(number)
        assert seen == sent
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGUSR2) is signal.SIG_DFL


@pytest.mark.slow
def test_a_local_run_that_is_told_to_stop_goes_on_with_the_same_bits(tmp_path: Path, data_root: Path) -> None:
    ends = []
    for name, number in (("told", signal.SIGUSR2), ("left alone", None)):
        arguments = words(tmp_path / name, data_root, "steps=[gelu]", "budget.epochs=4")
        process, directory = script("scripts/sweep.py", *arguments), tmp_path / name / "tiny/gelu/seed-0"
        while number and not (directory / runs.CHECKPOINT).exists():
            assert process.poll() is None, process.communicate()[0]
            time.sleep(0.02)
        for victim in working_on(directory) if number else []:
            os.kill(victim, number or 0)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0, output
        assert ("stopped by SIGUSR2; it goes on" in output) == (number is not None)
        ends.append(computed(directory))
    assert ends[0] == ends[1]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["cluster=moon"], "cluster=moon: allowed is one of local slurm"),
        (["cluster=slurm", "cluster.partitoin=gpu"], "partitoin"),
        (["cluster=slurm", "cluster.nodes=0"], "cluster.nodes=0: allowed is more than 0"),
        (["cluster=slurm", "cluster.nodes=two"], "two"),
        (["cluster=slurm", "cluster.time=10"], "cluster.time=10: allowed is 30 minutes or more"),
        (["cluster=slurm", "cluster.retries=-1"], "cluster.retries=-1: allowed is 0 or more"),
        (["cluster=slurm", "cluster.signal_seconds=5"], "cluster.signal_seconds=5: allowed is 30 to"),
        (["cluster.nodes=2"], "cluster.nodes=2: allowed is 1 on this machine"),
    ],
)
def test_bad_words_for_a_cluster_are_refused(asked: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make_plan(["study=smoke", *asked])
    assert message in str(refusal.value)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_cluster_is_no_part_of_a_study() -> None:
    plan = make_plan(["study=smoke", "steps=[gelu]", "cluster=slurm", "cluster.partition=gpu"])
    assert plan.configs == make_plan(["study=smoke", "steps=[gelu]"]).configs
    assert (plan.jobs, plan.cluster.partition) == (256, "gpu")


def test_options_reach_slurm_in_its_own_words() -> None:
    asked = ["nodes=2", "gpus_per_node=8", "cpus_per_task=12", "mem_gb=1.5", "constraint=a100", "setup=[module load x]"]
    own = read_cluster("slurm", [f"cluster.{word}" for word in [*asked, "account=lab", "additional={qos: high}"]])
    given = parameters(own, name="smoke", at_a_time=4)
    assert given | {
        "nodes": 2, "ntasks_per_node": 8, "gpus_per_node": 8, "cpus_per_task": 12, "mem": "1536M", "constraint": "a100",
        "setup": ["module load x"], "account": "lab", "array_parallelism": 4, "signal_delay_s": 120, "time": 1440,
        "additional_parameters": {"requeue": True, "qos": "high"}, "srun_args": ["--cpus-per-task=12"],
    } == given  # fmt: skip
    assert "partition" not in given


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for SLURM's commands; `squeue` says what is in the file that this returns."""
    directory, states = tmp_path / "bin", tmp_path / "states"
    directory.mkdir()
    does = {"squeue": f"cat {states}", "scancel": f'echo "$@" > {tmp_path}/cancelled', "sbatch": "echo job 7"}
    for name in ("sbatch", "srun", "squeue", "scontrol", "scancel"):
        (directory / name).write_text(f"#!/bin/sh\n{does.get(name, '')}\n")
        (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    return states


def test_jobs_are_found_again_and_their_ends_are_seen_once(tmp_path: Path, commands: Path) -> None:
    plan = make_plan(["study=smoke", f"runs_dir={tmp_path}/runs", "steps=[resnet,gelu,layer_norm]", "cluster=slurm"])
    plan.freeze()
    rows = [Row(run) for run in plan.runs]
    rows[2].tries = 2
    Slurm(plan).start(rows)
    assert [json.loads((row.run.directory / runs.JOB).read_text())["job"] for row in rows] == ["7_0", "7_1", "7_2"]

    place, rows = Slurm(plan), [Row(run) for run in plan.runs]  # the sweep is opened again
    place.adopt(rows)
    commands.write_text("7_0 RUNNING\n7_1 PENDING\n7_2 NODE_FAIL\n8 RUNNING\n")
    assert [row.state for row in status(plan)] == [State.running, State.queued, State.waiting]
    (ended,) = place.ended()
    assert (ended[0].run.step, ended[0].tries, ended[1]) == ("layer_norm", 2, Ending(None, "NODE_FAIL", False))
    assert [row.state for row in rows[:2]] == [State.running, State.queued]
    commands.unlink()  # the controller does not answer
    assert place.ended() == []
    commands.write_text("")  # two jobs that are younger than a minute are not given up
    assert place.ended() == []

    assert cancel(plan.runs) == 2
    assert (tmp_path / "cancelled").read_text().split() == ["7_0", "7_1"]
    assert cancel(plan.runs) == 0


def test_without_slurm_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="cluster=slurm: allowed is a machine with SLURM's sbatch srun"):
        Slurm(make_plan(["study=smoke", "steps=[gelu]", "cluster=slurm"]))
