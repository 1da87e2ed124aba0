"""The Makefile: what it runs, prints and installs."""

import os
import subprocess
from pathlib import Path

import pytest
from helpers.smoke import ROOT


def test_make_passes_the_same_words_to_all_commands() -> None:
    asked = ["STUDY=photos", "ROOT=Anna's (2024)", "OPTIONS=data.num_classes=4", "LADDER=mobile"]
    asked += ["DESIGN=add_one", "TRACKING=wandb"]
    make = ["make", "-n", "-o", ".venv/installed", *asked, "roadmap", "collate", "plot", "push", "view"]
    said = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = "'study=photos' 'study.ladder=mobile' 'design=add_one' 'tracking=wandb' "
    words += r"'data.root=Anna'\''s (2024)' 'data.num_classes=4'"
    for script, times in (("sweep", 1), ("collate", 2), ("plot", 2), ("push", 2), ("view", 1)):
        assert " ".join(said.split()).count(f"scripts/{script}.py {words}") == times, script


@pytest.mark.parametrize(
    "attack", ["$(shell touch {})", "x; touch {}", "x'; touch {}; '", "`touch {}`", "x $(touch {})"]
)
def test_make_runs_nothing_that_its_variables_hold(attack: str, tmp_path: Path) -> None:
    (tmp_path / "python").symlink_to("/bin/echo")
    names = (
        "WITH",
        "CPU",
        "INDEX",
        "LOCK",
        "STUDY",
        "SEEDS",
        "LADDER",
        "JOBS",
        "STEPS",
        "ROOT",
        "CLUSTER",
        "DESIGN",
        "OPTIONS",
        "TRACKING",
        "N",
        "STEP",
    )
    variables = [f"{name}={attack.format(tmp_path / name)}" for name in names]
    targets = ("push", "plot", "chaos", "bench", "profile", "roadmap", "data-check", "setup")
    make = ["make", "-o", ".venv/installed", f"BIN={tmp_path}", *variables, *targets]
    said = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert "touch" in said and [path.name for path in tmp_path.iterdir()] == ["python"]


PYTHON = """#!/bin/sh
echo "$@" >> {log}
case "$*" in
  *venv*) mkdir -p .venv/bin; ln -sf "$PWD/python" .venv/bin/python ;;
  *sweep.py\\ status*) echo 'failed: gelu seed 0: out of memory (see log.txt)'; exit 0 ;;
  *sweep.py*) exit {swept} ;;
  *collate.py*) echo results/smoke/ladder.csv ;;
  -c*torch*) exit {cuda} ;;
esac
"""
"""A stand-in for Python that records its arguments: whether a sweep fails, whether torch has CUDA."""


def make(directory: Path, *words: str, swept: int = 0, cuda: int = 0) -> tuple[int, list[str], list[str], list[str]]:
    """Exit code of make in an empty checkout, its output, its errors, and the arguments of all calls of Python."""
    python, log = directory / "python", directory / "log"
    python.write_text(PYTHON.format(log=log, swept=swept, cuda=cuda))
    python.chmod(0o755)
    log.unlink(missing_ok=True)
    if not (directory / "pyproject.toml").exists():
        (directory / "pyproject.toml").touch()
    command = ["make", "-f", str(ROOT / "Makefile"), f"PYTHON={python}", *words]
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    done = subprocess.run(command, cwd=directory, env=env, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout.splitlines(), done.stderr.splitlines(), log.read_text().splitlines()


def test_running_needs_less_than_tests_and_each_is_installed_once(tmp_path: Path) -> None:
    code, said, _, called = make(tmp_path, "setup")
    assert code == 0 and called == ["-m venv .venv", "-m pip install -e ."]
    assert said[0].startswith("setup: installing into .venv, ") and said[-1].startswith("setup: done, ")
    assert make(tmp_path, "collate", "STUDY=smoke")[3] == ["scripts/collate.py study=smoke"]
    tests = "-m pytest -n 2 --dist loadgroup"
    assert make(tmp_path, "test")[3] == ["-m pip install -e .[dev]", tests]
    assert make(tmp_path, "test")[3] == [tests]
    assert make(tmp_path, "setup", "WITH=slurm,wandb")[3] == ["-m pip install -e .[slurm,wandb]"]


@pytest.mark.parametrize("cuda", [0, 1])
def test_the_cpu_build_of_torch_is_asked_for_and_its_absence_said(cuda: int, tmp_path: Path) -> None:
    code, said, _, called = make(tmp_path, "setup", "CPU=1", "INDEX=https://example.org/cpu", "LOCK=1", cuda=cuda)
    pip = "-m pip install -c requirements.lock"
    index = "--no-deps --extra-index-url https://example.org/cpu torch torchvision"
    assert code == 0 and called[1:3] == [f"{pip} {index}", f"{pip} -e ."]
    assert any("no CPU build of torch was found" in line for line in said) == bool(cuda)


def test_make_prints_what_its_commands_say_and_no_shell(tmp_path: Path) -> None:
    make(tmp_path, "setup")
    assert make(tmp_path, "collate")[:3] == (0, ["results/smoke/ladder.csv"], [])
    assert make(tmp_path, "roadmap")[:3] == (0, ["results/smoke/ladder.csv"], [])


def test_after_a_failed_sweep_the_last_line_is_the_reason(tmp_path: Path) -> None:
    make(tmp_path, "setup")
    code, said, errors, called = make(tmp_path, "roadmap", "STUDY=smoke", swept=1)
    assert said == ["results/smoke/ladder.csv", "failed: gelu seed 0: out of memory (see log.txt)"]
    assert code != 0 and len(errors) == 1 and errors[0].endswith("roadmap] Error 1"), "only that of make itself"
    assert [line.split()[0] for line in called] == [
        f"scripts/{name}.py" for name in ("sweep", "collate", "plot", "sweep")
    ]
    code, said, errors, called = make(tmp_path, "roadmap", "STUDY=smoke", swept=2)
    assert code != 0 and said == [] and called[-1] == "scripts/sweep.py study=smoke", "a refusal says itself"
