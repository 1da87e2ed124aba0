"""The ladder from the original recipe to the modern one: its steps, its sweep, its table and figure."""

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from helpers.smoke import TINY

from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import difference
from roadmap.config.schema import Config
from roadmap.config.steps import deviations, find, steps
from roadmap.report.plot import plot
from roadmap.results.collate import collate
from roadmap.results.table import read_csv
from roadmap.sweep.plan import make_plan
from roadmap.training.run import execute

LADDER = [
    "resnet", "optimizer", "epochs", "randaugment", "mixup", "cutmix", "random_erasing", "label_smoothing",
    "stochastic_depth",
]  # fmt: skip
STUDIES = ["imagenet_recipe", "fashion_mnist_recipe", "smoke_recipe"]


@cache
def config(study: str, step: str) -> Config:
    return compose([f"study={study}", *([f"+recipe_step={step}"] if step != "resnet" else [])])


def test_the_recipe_ladder_is_one_main_sequence() -> None:
    ladder = steps(ladder="recipe")
    assert [step.name for step in ladder] == LADDER
    assert all(step.main_sequence for step in ladder)
    assert find("cutmix", ladder="recipe").changes == {"recipe.cutmix": (0.0, 1.0)}
    assert find("epochs", ladder="recipe").changes["recipe.epochs"] == (90, 300)


@pytest.mark.parametrize("study", STUDIES)
def test_it_leads_from_the_original_recipe_to_the_modern_one(study: str) -> None:
    base = compose([f"study={study}", "study.ladder=network", "study.name=other", "+step=training_recipe"])
    assert replace(config(study, LADDER[-1]).recipe, name="modern") == base.recipe
    assert config(study, "resnet").recipe == compose([f"study={study}", "study.ladder=network"]).recipe


@pytest.mark.parametrize("study", STUDIES)
def test_a_step_changes_what_its_file_states_and_nothing_else(study: str) -> None:
    for step in steps(ladder="recipe")[1:]:
        before, after = (to_dict(config(study, name)) for name in (step.parent or "", step.name))
        changed = {key for key in difference(before, after) if not key.startswith("step.")}
        assert changed <= step.declares, step.name
        assert study != "imagenet_recipe" or changed == step.declares - {"recipe.decay_epochs"}, step.name


def test_ingredients_of_the_imagenet_recipe_by_hand() -> None:
    ladder = [config("imagenet_recipe", name).recipe for name in LADDER]
    schedules = [(r.epochs, r.batch_size, r.lr, r.warmup_epochs) for r in ladder]
    assert schedules == [(90, 256, 0.1, 0), (90, 4096, 4e-3, 6), *[(300, 4096, 4e-3, 20)] * 7]
    assert [r.aa != "none" for r in ladder] == [False] * 3 + [True] * 6
    assert [(r.mixup, r.mixup_prob) for r in ladder] == [(0, 0)] * 4 + [(0.8, 1)] * 5
    assert [r.cutmix for r in ladder] == [0] * 5 + [1] * 4
    assert [r.reprob for r in ladder] == [0] * 6 + [0.25] * 3
    assert [r.smoothing for r in ladder] == [0] * 7 + [0.1] * 2
    assert [r.drop_path for r in ladder] == [0] * 8 + [0.1]


def test_a_step_of_ones_own_stands_in_the_same_study() -> None:
    own = compose(["study=smoke_recipe", "+recipe_step=mixup", "step.name=mixup_02", "recipe.mixup=0.2"])
    assert (own.study.name, own.step.parent, own.recipe.name) == ("smoke_recipe", "mixup", "mixup_02")


def test_a_step_is_compared_with_the_same_step_at_full_size() -> None:
    listed = deviations(config("smoke_recipe", "label_smoothing"))
    assert listed["recipe.epochs"] == (3, 300)
    assert "recipe.drop_path" not in listed and "recipe.smoothing" not in listed
    assert list(deviations(config("imagenet_recipe", "mixup"))) == ["augmentation"]


def test_it_is_swept_collated_and_drawn_by_the_same_code(tmp_path: Path, data_root: Path) -> None:
    study = [
        "study=smoke_recipe",
        "study.name=tiny_recipe",
        "study.purpose=comparison",
        f"runs_dir={tmp_path}",
        f"data.root={data_root}",
    ]
    plan = make_plan([*study, *TINY[1:], "data.max_train=64", "data.max_test=20", "budget.epochs=2"])
    assert [each.step for each in plan.runs] == LADDER
    plan.freeze()
    results = {each.step: execute(each.directory) for each in plan.runs}
    losses = [results[name]["metrics"]["train_loss"] for name in LADDER]
    assert results["randaugment"]["metrics"]["train_loss"] == results["epochs"]["metrics"]["train_loss"]
    assert len(set(losses)) == len(LADDER) - 1
    table, page, _ = collate("tiny_recipe", tmp_path, tmp_path / "results")
    _, drawing = plot("tiny_recipe", tmp_path / "results")
    rows = read_csv(table)
    assert [(row.step, row.ladder, row.n) for row in rows] == [(name, "recipe", 1) for name in LADDER]
    assert [row.paper_top1 for row in rows] == [76.13, *[None] * 7, 78.82]
    assert "from resnet to stochastic_depth not known yet, in the paper +2.69" in page.read_text(), "all but guesses"
    assert drawing.stat().st_size > 10_000
