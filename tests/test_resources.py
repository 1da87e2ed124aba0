"""Cores and GPUs of a machine, shared among parallel runs."""

import time
from pathlib import Path

import pytest
from helpers.downloads import programs

from roadmap import runs
from roadmap.sweep import local, resources
from roadmap.sweep.plan import Run, make_plan
from roadmap.sweep.status import RunState

TWO_GPUS = """#!/bin/sh
[ "$*" = --list-gpus ] && printf 'GPU 0: NVIDIA A100 (UUID: GPU-a)\\n  MIG 1g\\nGPU 1: NVIDIA A100 (UUID: GPU-b)\\n'
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for nvidia-smi that lists two GPUs."""
    programs(monkeypatch, tmp_path, nvidia_smi=TWO_GPUS)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return tmp_path / "programs" / "nvidia-smi"


def test_cores_are_shared_among_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resources, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    planned = {words: make_plan(["steps=[gelu]", *words]).jobs for words in ((), ("jobs=auto",), ("jobs=3",))}
    assert planned == {(): 8, ("jobs=auto",): 8, ("jobs=3",): 3}, "the default study uses one thread per run"
    assert make_plan(["study=imagenet", "steps=[gelu]"]).jobs == 1
    monkeypatch.setattr(local, "train_command", lambda _: ["sh", "-c", "printf $OMP_NUM_THREADS"])
    for stated, threads in ((None, "2"), ("5", "5")):
        if stated:
            monkeypatch.setenv("OMP_NUM_THREADS", stated)
        launcher, state = local.Local(3), RunState(Run("gelu", 0, tmp_path))
        assert launcher.start([state]) == []
        while not launcher.ended():
            time.sleep(0.02)
        assert (tmp_path / runs.LOG).read_text() == threads


@pytest.mark.usefixtures("two_gpus")
def test_parallel_runs_get_the_gpus_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_plan(["study=imagenet", "steps=[gelu]"]).jobs == 2
    assert make_plan(["study=imagenet", "steps=[gelu]", "training.device=cpu"]).jobs == 1
    monkeypatch.setattr(local, "train_command", lambda _: ["sh", "-c", "printf $CUDA_VISIBLE_DEVICES"])
    launcher, states = local.Local(3), [RunState(Run("gelu", seed, tmp_path / f"{seed}")) for seed in range(4)]
    for state in states:
        state.run.directory.mkdir()
    assert launcher.start(states[:3]) == [] and launcher.capacity() == 0
    while not (over := launcher.ended()):
        time.sleep(0.02)
    launcher.start(states[3:])
    while launcher.capacity() < 3:
        time.sleep(0.02)
        launcher.ended()
    said = [(state.run.directory / runs.LOG).read_text() for state in states]
    assert said[:3] == ["0", "1", "0"] and said[3] in {said[state.run.seed] for state, _ in over}


def test_gpus_are_those_visible_to_cuda(two_gpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert resources.gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-b,5")
    assert [each["CUDA_VISIBLE_DEVICES"] for each in resources.environments(4)] == ["3", "GPU-b", "5", "3"]
    for stated, found in (("0, 1", ["0", "1"]), ("0,-1,1", ["0"]), ("-1", []), ("0,,1", ["0"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
        assert resources.gpus() == found
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    two_gpus.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(resources, "DRIVER_SECONDS", 0.2)
    assert resources.gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert resources.gpus() == [] and make_plan(["study=imagenet", "steps=[gelu]"]).jobs == 1
