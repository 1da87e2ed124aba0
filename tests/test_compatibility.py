"""Which runs may stand in one table."""

from typing import Any

import pytest
from helpers.synthetic import ladder, result

from roadmap.errors import ConfigError
from roadmap.results.compatibility import refuse_incompatible


def test_a_ladder_and_runs_carried_out_elsewhere_are_one_table() -> None:
    refuse_incompatible(ladder(seeds=2))
    other = {"training__threads": 7, "runs_dir": "elsewhere", "study__seeds": 9, "data__root": "/mnt"}
    reworded = result("gelu", 1, step__title="Reworded", **other)
    refuse_incompatible([result("gelu", 0), reworded, result("resnet", **other)])


@pytest.mark.parametrize(
    ("step", "changes", "message"),
    [
        ("resnet", {"study__name": "x"}, "study.name: smoke in resnet/seed-0, x in gelu/seed-3"),
        ("resnet", {"regime__img_size": 64}, "regime.img_size: 32 in .* 64 in gelu/seed-3"),
        ("resnet", {"data__max_train": 9}, "data.max_train: 512 in .* 9 in gelu/seed-3"),
        ("resnet", {"budget__epochs": 5}, "budget.epochs: 2 in .* 5 in gelu/seed-3: one table is"),
        ("gelu", {"model__width": 8}, "model.width: 24 in gelu/seed-0, 8 in .* in their seed alone"),
        ("gelu", {"recipe__lr": 1.0}, "recipe.lr: .* in gelu/seed-0, 1.0 in gelu/seed-3"),
        ("gelu", {"step__parent": "resnet"}, "step.parent: large_kernel in .* resnet in gelu/seed-3"),
        ("layer_scale", {"recipe__lr": 1.0}, "recipe.lr: .* both call their recipe modern"),
        ("large_kernel", {"model__kernel_size": 9}, "model.kernel_size: 7 in .*only model.act may change"),
        ("large_kernel", {"recipe__name": "mine"}, "recipe.name: modern in large_kernel/seed-0, mine in"),
        ("move_up_depthwise", {"model__norm": "layer_norm"}, "to gelu only model.act, model.kernel_size may change"),
    ],
)
def test_runs_that_differ_in_more_are_refused(step: str, changes: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        refuse_incompatible([result(step), result("gelu", 3, **changes)])


def test_changes_that_a_step_declares_are_allowed_and_all_without_step_file() -> None:
    refuse_incompatible([result("large_kernel"), result("gelu", model__act="relu")])
    refuse_incompatible([result("resnet"), result("gelu", recipe__name="mine")])  # training_recipe lies between
    refuse_incompatible([*ladder(), result("mine", like="gelu", model__width=48, model__norm="layer_norm")])


def test_runs_that_deviate_from_the_paper_differently_are_refused() -> None:
    results = [result("training_recipe"), result("stage_ratio")]
    for each in results:
        each["deviations"] = {"recipe.epochs": [2, 300], "augmentation": ["timm 1.0", "timm 0.3.2"]}
    refuse_incompatible(results)
    results[1]["deviations"]["augmentation"] = ["timm 2.0", "timm 0.3.2"]
    with pytest.raises(ConfigError, match=r"^augmentation: timm 1.0 in training_recipe/seed-0, timm 2.0 in"):
        refuse_incompatible(results)
    del results[1]["deviations"]["augmentation"]
    with pytest.raises(ConfigError, match=r"as in the paper in stage_ratio/seed-0"):
        refuse_incompatible(results)
