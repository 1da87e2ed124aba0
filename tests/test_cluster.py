"""What a sweep says and refuses about its cluster before it submits anything."""

import re
import shlex
from pathlib import Path

import pytest
from helpers.smoke import ROOT, inside

from roadmap import runs
from roadmap.sweep.plan import make_plan

SIXTEEN = ["cluster=slurm", "cluster.nodes=2", "cluster.gpus_per_node=8"]


@pytest.mark.parametrize("command", [["sweep"], ["sweep", "--dry-run"], ["plan", "images_per_second=1000"]])
def test_processes_that_cannot_share_a_step_are_refused_before_anything_is_written(
    command: list[str], tmp_path: Path
) -> None:
    words = ["study=imagenet", "steps=[training_recipe,resnet]", f"runs_dir={tmp_path}/runs", f"data.root={tmp_path}"]
    code, said = inside(f"scripts/{command[0]}.py", *command[1:], *words, *SIXTEEN)
    assert code == 2 and "resnet: recipe.bn_batch_size=32: allowed is a size that divides a step" in said
    assert "(now 8) which 16 processes share evenly; or 1 2 4 8 processes" in said
    assert list(tmp_path.iterdir()) == []


def test_the_commands_of_the_documentation_are_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In their order: `resnet` is finished when the others are swept by more processes."""
    names = {"STUDY": "study", "STEPS": "steps", "CLUSTER": "cluster", "JOBS": "jobs"}
    commands = re.findall(r"^    make roadmap (STUDY=imagenet.*CLUSTER=.*?)(?: +#.*)?$", _scaling(), re.MULTILINE)
    done = set[str]()
    monkeypatch.setattr(runs, "finished", lambda directory: str(directory) in done)
    for command in commands:
        pairs = [word.split("=", 1) for word in shlex.split(command)]
        words = [f"{names[key]}={value}" for key, value in pairs if key in names]
        plan = make_plan([*words, *dict(pairs)["OPTIONS"].split()])
        plan.refuse_impossible()
        done |= {str(run.directory) for run in plan.runs}
    assert len(commands) == 3


def _scaling() -> str:
    return (ROOT / "docs" / "scaling.md").read_text()
