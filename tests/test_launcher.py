"""How a sweep starts the processes of its runs."""

import subprocess
import sys
from pathlib import Path

from roadmap.environment import child_environment
from roadmap.sweep.launcher import train_command


def test_training_starts_from_any_directory_with_the_package_of_its_sweep(tmp_path: Path) -> None:
    environment = child_environment({"PYTHONPATH": "elsewhere"})
    command = [sys.executable, "-c", "import roadmap; print(roadmap.__file__)"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).parents[1] == Path(__file__).parents[1]
    assert environment["PYTHONPATH"].endswith(":elsewhere")
    done = subprocess.run(
        train_command(tmp_path / "run"), cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and str(tmp_path / "run" / "config.yaml") in done.stderr
