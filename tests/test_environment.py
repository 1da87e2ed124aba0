"""What the environment says about a run's processes, and what a program started from here inherits."""

import time
from datetime import timedelta
from pathlib import Path

import pytest
from helpers.downloads import closed_port
from helpers.smoke import finished, words

from roadmap import runs
from roadmap.environment import OF_TORCHRUN, RANKS, child_environment, submit_environment, torchrun_ranks
from roadmap.errors import ConfigError
from roadmap.sweep import local
from roadmap.sweep.plan import Run
from roadmap.sweep.status import RunState
from roadmap.training import distributed

WHOLE = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "MASTER_ADDR": "node1", "MASTER_PORT": "29500"}


def test_the_ranks_of_torchrun_are_read_whole_or_not_at_all() -> None:
    assert torchrun_ranks({"PATH": "/bin", "RANK": ""}) == (0, 1, 0)
    assert torchrun_ranks(WHOLE) == (3, 4, 1)
    for key in RANKS:
        with pytest.raises(ConfigError, match=f"allowed is none of them, or {key} too: .*unset RANK|unset WORLD_SIZE"):
            torchrun_ranks({name: value for name, value in WHOLE.items() if name != key})
        with pytest.raises(ConfigError, match=f"^{key}={WHOLE[key]}: .*unset {key}$"):
            torchrun_ranks({key: WHOLE[key]})


@pytest.mark.parametrize(
    ("key", "value", "allowed"),
    [
        ("RANK", "4", "less than WORLD_SIZE=4"),
        ("RANK", "x", "a number"),
        ("WORLD_SIZE", "3", "less than WORLD_SIZE=3"),
        ("WORLD_SIZE", "9" * 5000, "a number"),
        ("LOCAL_RANK", "9", "up to RANK=3"),
        ("LOCAL_RANK", "-1", "a number"),
        ("MASTER_PORT", "tcp", "a number"),
    ],
)
def test_ranks_that_are_none_are_refused(key: str, value: str, allowed: str) -> None:
    with pytest.raises(ConfigError, match=f": allowed is {allowed}: .* unset RANK WORLD_SIZE LOCAL_RANK MASTER"):
        torchrun_ranks(WHOLE | {key: value})


@pytest.mark.parametrize("left", [("RANK",), ("WORLD_SIZE", "LOCAL_RANK"), ("MASTER_ADDR", "MASTER_PORT"), RANKS[:3]])
def test_training_with_some_of_torchruns_variables_is_refused_within_five_seconds(
    left: tuple[str, ...], tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in left:
        monkeypatch.setenv(key, WHOLE[key])
    started = time.monotonic()
    code, said = finished("train.py", *words(tmp_path, data_root))
    assert time.monotonic() - started < 5
    assert code == 2 and said.endswith(f"unset {' '.join(left)}\n") and len(said.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []


def test_runs_of_a_sweep_do_not_inherit_the_ranks_of_its_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = WHOLE | {"LOCAL_WORLD_SIZE": "2", "TORCHELASTIC_USE_AGENT_STORE": "True", "GROUP_RANK": "0"}
    for key, value in left.items():
        monkeypatch.setenv(key, value)
    monkeypatch.setenv("RANKING", "kept")
    monkeypatch.setattr(local, "train_command", lambda _: ["env"])
    launcher, state = local.Local(1), RunState(Run("gelu", 0, tmp_path))
    assert launcher.start([state]) == []
    while not launcher.ended():
        time.sleep(0.01)
    names = {line.partition("=")[0] for line in (tmp_path / runs.LOG).read_text().splitlines()}
    assert "RANKING" in names and not names & {*OF_TORCHRUN, *left}


def test_slurms_commands_inherit_the_cluster_and_nothing_of_a_job() -> None:
    job = {
        "SLURM_JOB_ID": "7",
        "SLURM_CPU_BIND": "quiet,mask_cpu:0x1",
        "SBATCH_PARTITION": "gpu",
        "SQUEUE_STATES": "CD",
    }
    kept = {"PATH": "/bin", "SLURM_CONF": "/etc/slurm.conf", "WANDB_API_KEY": "key"}
    assert submit_environment(WHOLE | job | kept) == kept
    child = child_environment(WHOLE | job | kept)
    assert child.keys() == {"PYTHONPATH", *job, *kept}, "a local run inside an allocation may use what it grants"


def test_a_process_that_waits_for_others_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    port = closed_port().strip("/").rpartition(":")[2]
    for key, value in (
        WHOLE | {"RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    ).items():
        monkeypatch.setenv(key, value)
    monkeypatch.setattr(distributed, "NOTICE_SECONDS", 0.1)
    monkeypatch.setattr(distributed, "TIMEOUT", timedelta(seconds=0.5))
    with pytest.raises(ConfigError, match="1/4 clients joined"), distributed.joined():
        pass
    said = capsys.readouterr().err
    assert said.startswith(f"rank 0 waits for all 4 processes at 127.0.0.1:{port}, as RANK and WORLD_SIZE say; ")
    assert said.endswith("unset RANK WORLD_SIZE LOCAL_RANK MASTER_ADDR MASTER_PORT\n")
