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


def test_a_recipe_and_a_step_of_ones_own_are_compared_with_the_papers() -> None:
    listed = deviations(compose(["study=imagenet", "+step=gelu", "recipe=original"]))
    assert listed["recipe.name"] == ("original", "modern")
    own = compose(["study=imagenet", "+step=large_kernel", "step.name=kernel_13", "model.kernel_size=13"])
    assert list(deviations(own)) == ["augmentation"]
    assert deviations(compose(["study=imagenet", "data.on_error=skip"]))["data.on_error"] == ("skip", "stop")


def test_the_rate_follows_the_batch_by_a_rule_without_which_another_batch_is_refused() -> None:
    words = ["study=imagenet", STEP, "recipe.batch_size=1024"]
    for rule, changed in (("keep", {}), ("linear", {"recipe.lr": (1e-3, 4e-3)}), ("sqrt", {"recipe.lr": (2e-3, 4e-3)})):
        listed = deviations(compose([*words, f"recipe.batch_rule={rule}"]))
        assert listed.pop("augmentation")
        assert listed == {"recipe.batch_size": (1024, 4096), "recipe.batch_rule": (rule, None)} | changed
    with pytest.raises(ConfigError, match=r"recipe.batch_size=1024: allowed is 4096, the recipe's own, unless recipe"):
        compose(words)
    with pytest.raises(ConfigError, match=r"expected one of \[keep, linear, sqrt\]"):
        compose([*words, "recipe.batch_rule=half"])
