"""The words of a command line: the same ones for a sweep and for what looks at it, whatever letters a path has."""

import shutil
import subprocess
from pathlib import Path

import pytest
from helpers.smoke import inside

from roadmap.cli import name_of_study, study_options
from roadmap.config.compose import compose
from roadmap.errors import ConfigError
from roadmap.sweep.plan import make_plan

ROOT = Path(__file__).parents[1]
FOUR = "data.num_classes=4"


@pytest.mark.parametrize(
    "words",
    [
        ["study=smoke"],
        ["study=smoke", "seeds=3", "jobs=2", "steps=[gelu,resnet]", "only=path", "tracking=none", "data.root=a b"],
        ["study=smoke", "cluster=slurm", "cluster.partition=gpu", "training.threads=2"],
        ["study=photos", FOUR, "budget.epochs=1", "steps=[gelu]"],
        ["study=imagenet", "data=webdataset", "recipe.lr=0.1", "data.train=x-{0..3}.tar", "steps=[gelu]"],
        ["study=smoke", "recipe.smoothing=0", "design=add_one", "steps=[gelu]"],
        ["study=smoke", "study.name=mine", "recipe.lr=1", "steps=[gelu]"],
        ["study=smoke", *(f"recipe.{key}=0.125" for key in ("lr", "smoothing", "weight_decay", "reprob", "momentum"))],
        ["recipe.lr=1", "steps=[gelu]"],
    ],
    ids=" ".join,
)
def test_the_words_of_a_sweep_name_its_study(words: list[str]) -> None:
    assert name_of_study(words) == make_plan(words).study.name


def test_a_name_may_be_given_whole() -> None:
    assert name_of_study(["study=fashion_mnist,recipe.smoothing=0"]) == "fashion_mnist,recipe.smoothing=0"
    assert name_of_study(["study=imagenet,7edd9f3634eb", "jobs=2"]) == "imagenet,7edd9f3634eb"


def test_what_looks_at_a_study_takes_the_words_of_its_sweep(tmp_path: Path) -> None:
    name = "fashion_mnist,budget.epochs=4"
    words = ["study=fashion_mnist", "budget.epochs=4", "jobs=1", f"runs_dir={tmp_path}", f"results_dir={tmp_path}"]
    shutil.copytree(ROOT / "results" / "fashion_mnist", tmp_path / name)
    code, said = inside("scripts/plot.py", *words)
    assert (code, said.splitlines()[0]) == (0, str(tmp_path / name / "ladder.png"))
    code, said = inside("scripts/view.py", *words)
    assert code == 0 and str(tmp_path / name / "index.html") in said
    code, said = inside("scripts/collate.py", *words)
    assert code == 2 and f"study={name}: no finished run in {tmp_path / name}" in said
    code, said = inside("scripts/push.py", *words, "only=path")
    assert code == 2 and f"study={name}: no run in {tmp_path / name}" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["study=imagent"],
            r"study=imagent: there is none; allowed is one of fashion_mnist .* \(did you mean imagenet\?\)",
        ),
        (["study=my_studi"], r"\(did you mean my_study\?\)"),
        (["jobz=2"], "jobz=2: allowed is study=... runs_dir=... results_dir=..., and the words of a sweep"),
        (["smoke"], "smoke: allowed is study="),
        (["seeds=many"], "seeds=many"),
    ],
)
def test_a_study_that_is_not_there_is_refused_with_those_that_are(
    words: list[str], message: str, tmp_path: Path
) -> None:
    (tmp_path / "my_study" / "gelu" / "seed-0").mkdir(parents=True)
    with pytest.raises(ConfigError, match=message):
        study_options([*words, f"runs_dir={tmp_path}"], {})


def test_make_hands_the_same_words_to_all() -> None:
    asked = ["STUDY=photos", "ROOT=Anna's (2024)", "OPTIONS=data.num_classes=4", "DESIGN=add_one", "TRACKING=wandb"]
    make = ["make", "-n", "-o", ".venv/installed", *asked, "roadmap", "collate", "plot", "push", "view"]
    said = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    words = r"study=photos design=add_one tracking=wandb 'data.root=Anna'\''s (2024)' data.num_classes=4"
    for script, times in (("sweep", 1), ("collate", 2), ("plot", 2), ("push", 2), ("view", 1)):
        assert " ".join(said.split()).count(f"scripts/{script}.py {words}") == times, script


@pytest.mark.parametrize(
    "place", ["/tmp/café", "Anna's", "~/photos", "Photos (2024)", "a=b&c", "a,b", "x-{000..146}.tar", "back\\", "'x y'"]
)
def test_a_place_may_have_any_letters(place: str) -> None:
    words = [f"{key}={place}" for key in ("data.root", "data.train", "data.cache", "runs_dir")]
    config = compose([*words, "data.val=null", "study=imagenet", "data=webdataset"])
    plain = "x y" if place == "'x y'" else place  # whoever has put quotes there meant them for the command line
    assert [config.data.root, config.data.train, config.data.cache, config.runs_dir] == [plain] * 4
    assert config.data.val is None and config.study.name == "imagenet,data=webdataset"


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("study.name=a b (c)", "study.name=a b (c): this value needs quotes: \"study.name='a b (c)'\""),
        ("study.name=é", "study.name=é: this value needs quotes: \"study.name='é'\""),
        ("recipe.aa=x{0}", "recipe.aa=x{0}: this value needs quotes"),
        ("bogus", "bogus: write key=value"),
    ],
)
def test_what_needs_quotes_is_told_so(word: str, message: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        compose([word])
    assert str(refusal.value).startswith(message)
