"""Words of a command line: those of Hydra, those that need quotes, and those that stay what was typed."""

import shlex
import subprocess

import pytest

from roadmap.cli import name_of_study, sweep_words
from roadmap.config.compose import compose
from roadmap.config.overrides import HYDRA, kinds, parse_overrides
from roadmap.errors import ConfigError
from roadmap.sweep.plan import make_plan

OWN = ["+step=gelu", "step.name=mine"]


@pytest.mark.parametrize(
    ("word", "here"),
    [
        ("hydra.run.dir=/x", "runs_dir=DIR"),
        ("++hydra.sweep.dir=/x", "runs_dir=DIR"),
        ("hydra/launcher=joblib", "jobs=N, or cluster=slurm"),
        ("hydra.launcher.n_jobs=4", "jobs=N, or cluster=slurm"),
        ("hydra/sweeper=optuna", "seeds=N"),
        ("--multirun", "scripts/sweep.py"),
        ("--config-name=imagenet", "study=NAME"),
        ("job", "train.py ... --cfg"),
        ("hydra.verbose=true", "the options that train.py --cfg prints"),
    ],
)
def test_hydras_own_words_are_refused_with_the_option_that_does_it_here(word: str, here: str) -> None:
    for read in (compose, make_plan, name_of_study):
        with pytest.raises(ConfigError) as refusal:
            read(["study=smoke", word])
        said = str(refusal.value)
        assert said.startswith(f"{word}: Hydra's own option; here: ") and here in said and "\n" not in said
    assert len({here for here in HYDRA.values()}) == len(HYDRA)


@pytest.mark.parametrize(
    "title", ["a, b", "a (b)", "[x]", "{x: 1}", "a [b]", "it's", "a=b", "$x, `y`", 'the "best"', "100 %, é", "a,b]"]
)
def test_a_refused_text_says_how_to_quote_it_and_that_works_in_a_shell(title: str) -> None:
    with pytest.raises(ConfigError, match=r"^step\.title=") as refusal:
        compose([*OWN, f"step.title={title}"])
    (written,) = str(refusal.value).rpartition("needs quotes: ")[2].split("; several")[:1]
    said = subprocess.run(["sh", "-c", f"printf %s {written}"], capture_output=True, text=True, check=True).stdout
    assert compose([*OWN, said]).step.title == title
    assert shlex.split(written) == [said]


@pytest.mark.parametrize(
    ("word", "remedy"),
    [
        ("model.block=a,b", r"one value per run; a list is written model\.block=\[a,b\]"),
        ("model.block=[a", r"a list is written model\.block=\[a,b\]"),
        ("recipe.lr=0.1,0.2", r"^recipe\.lr=0\.1,0\.2: one value per run; several steps are"),
        ("data.root=${HOME}/x", r"^data\.root=\$\{HOME\}/x: .*\n.* variable of the shell stands in double quotes"),
        ("step.title=${nope}", r"^step\.title=\$\{nope\}: .*\n\$\{\.\.\.\} is another option"),
        (r"step.title='\${x}'", r"^step\.title=\$\{x\}: allowed is no \$\{ but in a reference to another option"),
    ],
)
def test_lists_and_references_say_how_they_are_written(word: str, remedy: str) -> None:
    with pytest.raises(ConfigError, match=remedy):
        compose([*OWN, word])


@pytest.mark.parametrize("typed", ["true", "True", "null", "1e3", "007", "1_000", "2.10", "nan", "gelu"])
def test_names_stay_what_was_typed(typed: str) -> None:
    assert compose(["study=smoke", f"study.name={typed}"]).study.name == typed
    assert name_of_study(["study=smoke", f"study.name={typed}"]) == typed
    own = compose(["step.parent=gelu", f"step.title={typed}", f"step.section={typed}", "step.name=x" + typed]).step
    assert (own.name, own.title, own.section) == ("x" + typed, typed, typed)
    assert parse_overrides([f"step.title={typed}", "recipe.lr=1_000"]) == {"step.title": typed, "recipe.lr": "1000"}


@pytest.mark.parametrize("steps", ["2024,true,007", "[2024,true,007]", "['2024', \"true\", 007]"])
def test_names_of_steps_stay_what_was_typed(steps: str) -> None:
    assert sweep_words([f"steps={steps}"])[0].steps == ["2024", "true", "007"]
    assert sweep_words(["steps=[]"])[0].steps == []


def test_options_that_are_no_text_are_read_by_their_type() -> None:
    config = compose(["study=smoke", "seed=007", "data.train=null", "step.name=x", "step.title='a ${study.name}'"])
    assert (config.seed, config.data.train, config.step.title) == (7, None, "a smoke")
    assert kinds()["seed"] is int and kinds()["step.name"] is str
