"""A run of a second or two, for tests of what surrounds training."""

import io
import json
import os
import runpy
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from chaos.outcome import computed, working_on

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.config.schema import Config
from roadmap.signals import Interrupted

__all__ = ["computed", "working_on"]
ROOT = Path(__file__).parents[2]
TINY = ["study=smoke", "data.max_train=128", "data.max_test=70", "budget.batch_size=32", "budget.bn_batch_size=16"]
TINY += ["training.checkpoint_minutes=10"]  # so none but those after every epoch


def words(directory: Path, data_root: Path, *more: str) -> list[str]:
    """Words for a tiny study under `directory`."""
    return [*TINY, "study.name=tiny", f"runs_dir={directory}", f"data.root={data_root}", *more]


def tiny(directory: Path, data_root: Path, *more: str) -> Config:
    """A tiny run's configuration."""
    return compose(words(directory, data_root, *more))


def prepared(directory: Path, data_root: Path, *more: str) -> Path:
    """The directory of a tiny run of gelu that has not begun."""
    return runs.prepare(tiny(directory, data_root, "+step=gelu", *more))


def at_step(patch: pytest.MonkeyPatch, number: int, what: Callable[[], object]) -> None:
    """Let something happen once, in a step of the next trainings, counted from 1."""
    count = iter(range(1, 10_000))
    patch.setattr("roadmap.training.progress.Progress.step", lambda *_: what() if next(count) == number else None)


def interrupt(directory: Path, step: int) -> None:
    """Carry out a run that SIGTERM reaches in a step of it, counted from 1."""
    from roadmap.training.run import execute

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted) as interruption:
        at_step(patch, step, lambda: signal.raise_signal(signal.SIGTERM))
        execute(directory)
    assert interruption.value.args == (signal.SIGTERM,)
    assert not runs.finished(directory)


def script(name: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start one of the project's scripts."""
    command = [sys.executable, str(ROOT / name), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=env)


def finished(name: str, *arguments: str) -> tuple[int, str]:
    """The exit code of one of the project's scripts in a process of its own, and what it says."""
    run = script(name, *arguments)
    output, _ = run.communicate()
    assert "Traceback" not in output, output
    return run.returncode, output


def trained(directory: Path, data_root: Path, step: str, *more: str) -> tuple[Path, str]:
    """The directory of a tiny run of a step in a process of its own, and what train.py says."""
    code, output = finished("train.py", *words(directory, data_root, f"+step={step}", *more))
    assert code == 0, output
    return directory / "tiny" / step / "seed-0", output


def keeps_to(gb: float, said: str, directory: Path, data_root: Path, *run: str) -> None:
    """See that a run keeps to training.memory_gb, says how, and would not have otherwise."""
    peaks = []
    for name, limit in (("free", "null"), ("kept", str(gb))):
        made, output = trained(directory / name, data_root, *run, f"training.memory_gb={limit}")
        assert (said in output) == (name == "kept")
        peaks.append(json.loads((made / runs.METRICS).read_text().splitlines()[-1])["peak_memory_mb"])
    assert peaks[1] < 1000 * gb < peaks[0], peaks


def torchrun(processes: int, *arguments: str) -> subprocess.Popen[str]:
    """Start a script in several processes."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc_per_node={processes}"]
    # A session of its own, so that a test can press Ctrl-C in it.
    return subprocess.Popen(
        [*command, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def inside(name: str, *arguments: str) -> tuple[int, str]:
    """A script's exit code and what it says, run in this process to save its many imports."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.setattr(sys, "argv", [Path(name).name, *arguments])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / name), run_name="__main__")
    return int(end.value.code or 0), said.getvalue()


def evaluate(*words: str, code: int = 0) -> str:
    """What scripts/evaluate.py says."""
    found, said = inside("scripts/evaluate.py", "training.workers=0", *words)
    assert found == code, said
    return said
