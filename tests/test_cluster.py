"""What a sweep says and refuses about its cluster before it submits anything."""

import re
import shlex
from pathlib import Path

import pytest
from helpers.smoke import ROOT, inside

from roadmap import runs
from roadmap.sweep.plan import make_plan
from roadmap.sweep.slurm import missing_gpus

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


def test_a_dry_run_says_what_the_cluster_is_asked_for_and_whether_the_data_are_there(tmp_path: Path) -> None:
    words = ["study=imagenet", "steps=[gelu]", f"runs_dir={tmp_path}/runs", f"data.root={tmp_path}/none", *SIXTEEN]
    code, said = inside(
        "scripts/sweep.py", "--dry-run", *words, "cluster.partition=gpu", "cluster.setup=[module load x]"
    )
    assert code == 0 and f"data not found: {tmp_path}/none: data.root=FOLDER\n" in said
    assert "SLURM: 3 jobs, 2 nodes and 16 GPUs per job, time limit 24 h 0 min, partition gpu\n" in said
    assert "\n#SBATCH --gpus-per-node=8\n" in said and "\n#SBATCH --nodes=2\n" in said and "\nmodule load x\n" in said
    assert "wckey" not in said and "warning" not in said
    assert list(tmp_path.iterdir()) == []
    code, said = inside("scripts/sweep.py", "--dry-run", *words[:3], f"data.root={tmp_path}")
    assert code == 0 and "SLURM" not in said and "data not found" not in said


def test_jobs_without_a_gpu_are_warned_of_unless_a_cpu_is_meant() -> None:
    def warned(*more: str) -> list[str]:
        return missing_gpus(make_plan(["study=smoke", "steps=[gelu]", *more]))

    assert warned("cluster=slurm") == [
        "warning: the jobs ask for no GPU, and training.device=auto: cluster.gpus_per_node=N asks for them, "
        "training.device=cpu says that none is meant"
    ]
    for word in ("cluster.gpus_per_node=1", "training.device=cpu", "cluster.additional={gres: gpu:1}"):
        assert warned("cluster=slurm", word) == []
    assert warned() == []


def _scaling() -> str:
    return (ROOT / "docs" / "scaling.md").read_text()
