"""One grammar: every command takes key=value words, names a study like its sweep, and refuses with suggestions."""

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.smoke import inside

from roadmap.__main__ import COMMANDS
from roadmap.cli import flag, name_of_study, positive, run, study_options, whole
from roadmap.config.compose import compose
from roadmap.errors import ConfigError
from roadmap.sweep.plan import make_plan

ROOT = Path(__file__).parents[1]
FOUR = "data.num_classes=4"


@pytest.mark.parametrize(
    "words",
    [
        ["study=smoke"],
        ["study=smoke", "seeds=3", "jobs=2", "steps=[gelu,resnet]", "only=main_sequence", "data.root=a b"],
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
def test_the_name_of_a_study_follows_from_the_words_of_its_sweep(words: list[str]) -> None:
    assert name_of_study(words) == make_plan(words).study.name


def test_commands_that_read_a_study_take_the_words_of_its_sweep(tmp_path: Path) -> None:
    assert name_of_study(["study=imagenet,7edd9f3634eb", "jobs=2"]) == "imagenet,7edd9f3634eb", "the whole name"
    name = "fashion_mnist,budget.epochs=4"
    assert name_of_study([f"study={name}"]) == name
    words = ["study=fashion_mnist", "budget.epochs=4", "jobs=1", f"runs_dir={tmp_path}", f"results_dir={tmp_path}"]
    for command, missing in (("collate", "finished run in "), ("push", "run in "), ("plot", ""), ("view", "")):
        code, said = inside(f"scripts/{command}.py", *words, "only=main_sequence")
        assert code == 2 and f"study={name}: no {missing}{tmp_path / name}" in said


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["study=imagent"], r"study=imagent: there is none; allowed is one of fashion_.* \(did you mean imagenet\?\)"),
        (["study=my_studi"], r"\(did you mean my_study\?\)"),
        (["jobz=2"], r"jobz=2: allowed is runs_dir=.*=..., and words of a sweep .* \(did you mean jobs\?\)"),
        (["smoke"], "smoke: allowed is runs_dir="),
        (["study=../x"], "study=../x: allowed is letters"),
        (["seeds=many"], "seeds=many"),
    ],
)
def test_an_unknown_study_or_word_is_refused_with_those_known(words: list[str], message: str, tmp_path: Path) -> None:
    (tmp_path / "my_study" / "gelu" / "seed-0").mkdir(parents=True)
    with pytest.raises(ConfigError, match=message):
        study_options([*words, f"runs_dir={tmp_path}"], {})


@pytest.mark.parametrize("name", COMMANDS)
def test_a_misspelt_key_is_refused_by_every_command(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    others = {
        "compare": "results_dir",
        "paper": "results_dir",
        "prepare": "quality",
        "costs": "regime",
        "split": "share",
    }
    likely = (others | {"costs": "regime", "show": "regime"}).get(name, "study")
    key = likely[:-2] + likely[-1]
    assert run(name, importlib.import_module(COMMANDS[name]).main, [f"{key}=1"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"{name}: ") and key in said and len(said.splitlines()) <= 2
    assert f"(did you mean {likely}?)" in said


def test_an_unknown_command_is_refused_with_the_likely_one() -> None:
    command = [sys.executable, "-m", "roadmap", "colate"]
    said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False).stderr
    assert re.fullmatch(r"colate: no such command; allowed is check_data collate .*\(did you mean collate\?\)\n", said)


def test_numbers_and_flags_are_checked() -> None:
    chosen = {"a": "3", "b": "0.5", "c": "wall", "d": "true", "bad": "-1"}
    assert (whole(chosen, "a", most=3), positive(chosen, "b"), flag(chosen, "d")) == (3, 0.5, True)
    for check, message in (
        (lambda: whole(chosen, "a", most=2), "a=3: allowed is 1 to 2"),
        (lambda: positive(chosen, "bad"), "bad=-1: allowed is more than 0, up to 1e\\+15"),
        (lambda: flag(chosen, "c"), "c=wall: allowed is one of true false"),
    ):
        with pytest.raises(ConfigError, match=f"^{message}$"):
            check()


@pytest.mark.parametrize(
    "path", ["/tmp", "Anna's, Al's", "~/é", "Photos (2024)", "a=b&c", "a,b", "x-{000..146}.tar", "back\\", "'x y'"]
)
def test_a_path_may_have_any_characters(path: str) -> None:
    words = [f"{key}={path}" for key in ("data.root", "data.train", "data.cache", "runs_dir")]
    config = compose([*words, "data.val=null", "study=imagenet", "data=webdataset"])
    plain = "x y" if path == "'x y'" else path  # quotes that the user typed
    assert [config.data.root, config.data.train, config.data.cache, config.runs_dir] == [plain] * 4
    assert config.data.val is None and config.study.name == "imagenet,data=webdataset"


@pytest.mark.parametrize("error", [MemoryError(), OSError(12, "Cannot allocate memory")])
def test_a_shortage_of_memory_in_any_command_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def main(_: list[str]) -> int:
        raise RuntimeError("wrapped by a library") from error

    assert run("x", main, []) == 1
    said = capsys.readouterr().err
    assert said.startswith("x: out of memory: ") and len(said.splitlines()) == 1


def test_a_reader_that_has_seen_enough_ends_a_command_without_a_word(tmp_path: Path) -> None:
    code = (
        "import sys; from roadmap import cli\n"
        "def main(words):\n"
        "    for number in range(100_000): print(number)\n"
        "    return 0\n"
        "sys.exit(cli.run('count', main, []))"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout and process.stdout.readline() == b"0\n"
        process.stdout.close()
        assert process.stderr and process.stderr.read() == b""
    assert process.returncode == 128 + 13
