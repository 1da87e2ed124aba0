"""The SLURM launcher with stand-ins for SLURM's commands."""

import json
import os
from pathlib import Path

import pytest
from helpers.downloads import programs

from roadmap import runs
from roadmap.errors import ConfigError
from roadmap.sweep.cluster import read_cluster
from roadmap.sweep.exit_status import Exit
from roadmap.sweep.plan import make_plan
from roadmap.sweep.slurm import Slurm, cancel, parameters
from roadmap.sweep.status import Phase, RunState, status


def test_options_are_passed_to_sbatch() -> None:
    asked = ["nodes=2", "gpus_per_node=8", "cpus_per_task=12", "mem_gb=1.5", "constraint=a100", "setup=[module load x]"]
    own = read_cluster("slurm", [f"cluster.{word}" for word in [*asked, "account=lab", "additional={qos: high}"]])
    given = parameters(own, name="smoke", jobs=4)
    assert given | {
        "nodes": 2, "ntasks_per_node": 8, "gpus_per_node": 8, "cpus_per_task": 12, "mem": "1536M", "constraint": "a100",
        "setup": ["module load x"], "account": "lab", "array_parallelism": 4, "signal_delay_s": 120, "time": 1440,
        "additional_parameters": {"requeue": True, "qos": "high"}, "srun_args": ["--cpus-per-task=12"],
    } == given  # fmt: skip
    assert "partition" not in given


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand-ins for SLURM's commands, called from inside a job; `squeue` prints the file that this returns."""
    states, does = tmp_path / "states", dict.fromkeys(("srun", "scontrol"), "")
    does |= {"squeue": f"cat {states}", "scancel": f'echo "$@" > {tmp_path}/cancelled', "sbatch": "echo job 7"}
    does["scontrol"] = f'echo "$@" >> {tmp_path}/named'
    scripts = {name: f"#!/bin/sh\nenv > {tmp_path}/{name}.environment\n{line}\n" for name, line in does.items()}
    programs(monkeypatch, tmp_path, **scripts)
    inside_a_job = {"SLURM_MEM_PER_CPU": "100", "SBATCH_PARTITION": "interactive", "RANK": "0", "SLURM_CONF": "/x"}
    for key, value in inside_a_job.items():
        monkeypatch.setenv(key, value)
    return states


def test_jobs_are_found_again_and_each_end_is_reported_once(tmp_path: Path, commands: Path) -> None:
    plan = make_plan(["study=smoke", f"runs_dir={tmp_path}/runs", "steps=[resnet,gelu,layer_norm]", "cluster=slurm"])
    plan.freeze()
    states = [RunState(run) for run in plan.runs]
    states[2].tries = 2
    Slurm(plan).start(states)
    files = [state.run.directory / runs.JOB for state in states]
    assert [json.loads(path.read_text())["job"] for path in files] == ["7_0", "7_1", "7_2"]
    named = (tmp_path / "named").read_text().splitlines()
    assert named[1] == "update JobId=7_1 JobName=smoke/gelu/0" and len(named) == 3

    launcher, states = Slurm(plan), [RunState(run) for run in plan.runs]  # the sweep is opened again
    launcher.adopt(states)
    commands.write_text("7_0 RUNNING\n7_1 PENDING\n7_2 NODE_FAIL\n8 RUNNING\n")
    assert [state.phase for state in status(plan)] == [Phase.running, Phase.queued, Phase.waiting]
    ((state, end),) = launcher.ended()
    assert (state.run.step, state.tries, end) == ("layer_norm", 2, Exit(None, "NODE_FAIL", False))
    assert [state.phase for state in states[:2]] == [Phase.running, Phase.queued]
    commands.unlink()  # the controller does not answer
    assert launcher.ended() == []
    commands.write_text("")  # jobs younger than a minute may not be listed yet
    assert launcher.ended() == []

    assert cancel(plan.runs) == 2
    for name in ("sbatch", "squeue", "scancel"):
        variables = {line.partition("=")[0] for line in (tmp_path / f"{name}.environment").read_text().splitlines()}
        assert variables & {"SLURM_CONF", "SLURM_MEM_PER_CPU", "SBATCH_PARTITION", "RANK"} == {"SLURM_CONF"}, name
    assert os.environ["SBATCH_PARTITION"] == "interactive"
    assert (tmp_path / "cancelled").read_text().split() == ["7_0", "7_1"]
    assert cancel(plan.runs) == 0


@pytest.mark.usefixtures("commands")
def test_a_refusal_of_sbatch_is_said_once_with_a_hint(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    refusal = "sbatch: error: invalid partition specified: gpuu"
    (tmp_path / "programs" / "sbatch").write_text(f"#!/bin/sh\necho '{refusal}' >&2\nexit 1\n")
    plan = make_plan(["study=smoke", f"runs_dir={tmp_path}/runs", "steps=[gelu]", "cluster=slurm"])
    plan.freeze()
    with pytest.raises(ConfigError) as error:
        Slurm(plan).start([RunState(run) for run in plan.runs])
    first, hint = str(error.value).splitlines()
    assert first == f"cluster=slurm: {refusal}" and "cluster.partition=..." in hint
    assert capfd.readouterr() == ("", "")


def test_missing_slurm_commands_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigError, match="cluster=slurm: allowed is a machine with SLURM's sbatch srun"):
        Slurm(make_plan(["study=smoke", "steps=[gelu]", "cluster=slurm"]))
