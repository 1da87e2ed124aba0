"""An installed wheel does what the checkout does, from any directory."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from helpers.smoke import ROOT, TINY

from roadmap.__main__ import COMMANDS

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with the package installed from its wheel, without dependencies."""
    directory = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    isolation = ["--no-build-isolation"] if find_spec("hatchling") else []
    subprocess.run([*pip, "wheel", "--no-deps", *isolation, f"--wheel-dir={directory}", str(ROOT)], check=True)
    (wheel,) = directory.glob("*.whl")
    subprocess.run([*pip, "install", "--no-deps", f"--target={directory / 'site'}", str(wheel)], check=True)
    return directory / "site"


def run(site: Path, cwd: Path, *words: str) -> str:
    """What `python -m roadmap` prints, with the installed package."""
    code = "import roadmap, runpy, sys; assert roadmap.__file__.startswith(sys.argv.pop(1)); "
    code += "runpy.run_module('roadmap', run_name='__main__', alter_sys=True)"
    command = [sys.executable, "-P", "-c", code, str(site), *words]
    environment = os.environ | {"PYTHONPATH": str(site), "MPLBACKEND": "agg"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=True).stdout


def test_commands_work_from_an_empty_directory(site: Path, tmp_path: Path) -> None:
    usage = run(site, tmp_path, "--help")
    assert all(f"\n  {name} " in usage for name in COMMANDS)
    assert "python " in run(site, tmp_path, "evaluate", "--help")
    assert "layer_scale" in run(site, tmp_path, "show", "step=layer_scale")
    assert "18 runs" in run(site, tmp_path, "sweep", "--dry-run", "study=smoke")
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_leaves_its_files_in_the_current_directory(site: Path, tmp_path: Path, data_root: Path) -> None:
    words = [*TINY, "study.name=tiny", "steps=[resnet]", f"data.root={data_root.resolve()}"]
    assert "1 of 1 run finished" in run(site, tmp_path, "sweep", *words)
    for command in ("collate", "plot", "view"):
        run(site, tmp_path, command, *words)
    assert (tmp_path / "runs/tiny/resnet/seed-0/result.json").exists()
    written = {path.name for path in (tmp_path / "results/tiny").iterdir()}
    assert {"ladder.csv", "ladder.md", "ladder.png", "index.html"} <= written
