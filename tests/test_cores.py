"""How a sweep shares the cores and the GPUs of a machine among its runs."""

import os
import sys
import time
from pathlib import Path

import pytest

from roadmap import runs
from roadmap.sweep import local
from roadmap.sweep import resources as cores
from roadmap.sweep.board import Row
from roadmap.sweep.plan import Run, make_plan

SAY_THREADS = "import os; print(os.environ['OMP_NUM_THREADS'], end='')"
SAY_GPU = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], end='')"
TWO_GPUS = """#!/bin/sh
[ "$*" = --list-gpus ] && printf 'GPU 0: NVIDIA A100 (UUID: GPU-a)\\n  MIG 1g\\nGPU 1: NVIDIA A100 (UUID: GPU-b)\\n'
"""


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The program that lists two GPUs."""
    program = tmp_path / "nvidia-smi"
    program.write_text(TWO_GPUS)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return program


def test_the_cores_are_shared_among_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "cores", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    planned = {words: make_plan(["steps=[gelu]", *words]).jobs for words in ((), ("jobs=auto",), ("jobs=3",))}
    assert planned == {(): 8, ("jobs=auto",): 8, ("jobs=3",): 3}, "the default study has one thread a run"
    assert make_plan(["study=imagenet", "steps=[gelu]"]).jobs == 1
    monkeypatch.setattr(local, "train_command", lambda _: [sys.executable, "-c", SAY_THREADS])
    for stated, threads in ((None, "2"), ("5", "5")):
        if stated:
            monkeypatch.setenv("OMP_NUM_THREADS", stated)
        place, row = local.Local(3), Row(Run("gelu", 0, tmp_path))
        assert place.start([row]) == []
        while not place.ended():
            time.sleep(0.02)
        assert (tmp_path / runs.LOG).read_text() == threads


@pytest.mark.usefixtures("two_gpus")
def test_runs_beside_each_other_have_the_gpus_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert make_plan(["study=imagenet", "steps=[gelu]"]).jobs == 2
    assert make_plan(["study=imagenet", "steps=[gelu]", "training.device=cpu"]).jobs == 1
    monkeypatch.setattr(local, "train_command", lambda _: [sys.executable, "-c", SAY_GPU])
    place, rows = local.Local(3), [Row(Run("gelu", seed, tmp_path / f"{seed}")) for seed in range(4)]
    for row in rows:
        row.run.directory.mkdir()
    assert place.start(rows[:3]) == [] and place.room() == 0
    while not (over := place.ended()):
        time.sleep(0.02)
    place.start(rows[3:])
    while place.room() < 3:
        time.sleep(0.02)
        place.ended()
    said = [(row.run.directory / runs.LOG).read_text() for row in rows]
    assert said[:3] == ["0", "1", "0"] and said[3] in {said[row.run.seed] for row, _ in over}


def test_gpus_are_those_that_cuda_would_see(two_gpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cores.gpus() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3,GPU-b,5")
    assert [each["CUDA_VISIBLE_DEVICES"] for each in cores.environments(4)] == ["3", "GPU-b", "5", "3"]
    for stated, found in (("0, 1", ["0", "1"]), ("0,-1,1", ["0"]), ("-1", []), ("0,,1", ["0"])):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", stated)
        assert cores.gpus() == found
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    two_gpus.write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(cores, "PATIENCE_SECONDS", 0.2)
    assert cores.gpus() == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cores.gpus() == [] and make_plan(["study=imagenet", "steps=[gelu]"]).jobs == 1
