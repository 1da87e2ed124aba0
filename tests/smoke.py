"""A run of a second or two, for tests of what surrounds training."""

import io
import runpy
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import pytest

from roadmap import runs
from roadmap.config import compose
from roadmap.schema import Config

ROOT = Path(__file__).parents[1]
TINY = [
    "study=smoke",
    "data.max_train=128",
    "data.max_test=70",
    "budget.batch_size=32",
    "budget.bn_batch_size=16",
]
MEASURED = (
    "wall_seconds",
    "images_per_second",
    "overhead_share",
    "finished_at",
    "hardware",
    "commit",
    "dirty",
)
MEASURED_LINES = (
    "images_per_second", "data_share", "overhead_share", "training_seconds", "evaluation_seconds", "peak_memory_mb",
)  # fmt: skip


def words(directory: Path, data_root: Path, *more: str) -> list[str]:
    """Words for a tiny study under `directory`."""
    return [*TINY, "study.name=tiny", f"runs_dir={directory}", f"data.root={data_root}", *more]


def tiny(directory: Path, data_root: Path, *more: str) -> Config:
    """A tiny run's configuration."""
    return compose(words(directory, data_root, *more))


def script(name: str, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
    """Start one of the project's scripts."""
    command = [sys.executable, str(ROOT / name), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=ROOT, env=env)


def evaluate(*words: str, code: int = 0) -> str:
    """What scripts/evaluate.py says, run in this process to save its many imports."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.setattr(sys, "argv", ["evaluate.py", "training.workers=0", *words])
        with pytest.raises(SystemExit) as end:
            runpy.run_path(str(ROOT / "scripts" / "evaluate.py"), run_name="__main__")
    assert end.value.code == code, said.getvalue()
    return said.getvalue()


def computed(directory: Path) -> dict[str, Any]:
    """What a finished run has computed, without what its machine and its clock had to do with it."""
    result = runs.read_result(directory / runs.RESULT)
    lines = [runs.json.loads(line) for line in (directory / runs.METRICS).read_text().splitlines()]
    kept = [{k: v for k, v in line.items() if k not in MEASURED_LINES} for line in lines]
    return {k: v for k, v in result.items() if k not in (*MEASURED, "config")} | {"lines": kept}


def working_on(directory: Path) -> list[int]:
    """Processes that carry out runs under a directory."""
    listed = subprocess.run(["ps", "-ww", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    return [int(line.split()[0]) for line in listed.splitlines() if f"--run {directory}" in line]
