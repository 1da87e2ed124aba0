"""Deviations from the paper: what is listed, and with what a run is compared."""

import pytest

from roadmap.config.compose import compose
from roadmap.config.steps import deviations
from roadmap.errors import ConfigError

STEP = "+step=training_recipe"


def test_the_papers_studies_deviate_in_the_augmentation_library_alone() -> None:
    for study in ("imagenet", "imagenet_r200"):
        for words in ([], [STEP], ["+step=layer_scale"]):
            assert list(deviations(compose([f"study={study}", *words]))) == ["augmentation"]


def test_the_default_study_says_what_it_is() -> None:
    known = {"data.name": ("fashion_mnist", "imagenet"), "regime.name": ("nano", "resnet50")}
    known |= {"recipe.epochs": (4, 300), "augmentation": ("by batches", "timm 0.3.2")}
    assert known.items() <= deviations(compose([STEP])).items()
    assert deviations(compose([]))["recipe.epochs"] == (4, 90)
    assert deviations(compose([STEP, "recipe.name=own"]))["recipe.epochs"] == (4, 300)


def test_a_recipe_of_ones_own_is_compared_with_the_steps() -> None:
    listed = deviations(compose(["study=imagenet", "+step=gelu", "recipe=original"]))
    assert listed["recipe.name"] == ("original", "modern")
    own = compose(["study=imagenet", "+step=large_kernel", "step.name=kernel_13", "model.kernel_size=13"])
    assert list(deviations(own)) == ["augmentation"]
    assert deviations(compose(["study=imagenet", "data.on_error=skip"]))["data.on_error"] == ("skip", "stop")


@pytest.mark.parametrize(("rule", "rate"), [("keep", 4e-3), ("linear", 1e-3), ("sqrt", 2e-3)])
def test_the_rate_follows_the_batch_by_the_rule(rule: str, rate: float) -> None:
    listed = deviations(compose(["study=imagenet", STEP, "recipe.batch_size=1024", f"recipe.batch_rule={rule}"]))
    keys = {"recipe.batch_size", "recipe.batch_rule", "augmentation"}
    assert listed.keys() == (keys if rule == "keep" else keys | {"recipe.lr"})
    assert listed["recipe.batch_size"] == (1024, 4096) and listed["recipe.batch_rule"] == (rule, None)
    assert rule == "keep" or listed["recipe.lr"] == (pytest.approx(rate), 4e-3)


def test_another_batch_without_a_rule_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"recipe.batch_size=1024: allowed is 4096, the recipe's own, unless recipe"):
        compose(["study=imagenet", STEP, "recipe.batch_size=1024"])
    with pytest.raises(ConfigError, match=r"expected one of \[keep, linear, sqrt\]"):
        compose(["study=imagenet", STEP, "recipe.batch_size=1024", "recipe.batch_rule=half"])
