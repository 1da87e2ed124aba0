"""Which options act, and that deviations from the paper list only those."""

from dataclasses import fields

import pytest
from helpers.synthetic import result

from roadmap.config.acting import ACTS_IF, acts
from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import flatten
from roadmap.config.schema import Config
from roadmap.results.paper import deviations


@pytest.mark.parametrize(
    ("key", "acting", "idle"),
    [
        ("recipe.mixup", "recipe.mixup_prob=0.5", "recipe.mixup_prob=0"),
        ("recipe.mixup_switch_prob", "recipe.cutmix=1.0", "recipe.cutmix=0"),
        ("recipe.momentum", "recipe.opt=sgd", "recipe.opt=adamw"),
        ("recipe.opt_betas", "recipe.opt=adamw", "recipe.opt=sgd"),
        ("recipe.decay_rate", "recipe.sched=step", "recipe.sched=cosine"),
        ("recipe.min_lr", "recipe.sched=cosine", "recipe.sched=step"),
        ("recipe.lr_base_size", "recipe.batch_rule=linear", "recipe.batch_rule=keep"),
        ("recipe.filter_bias_and_bn", "recipe.weight_decay=0.1", "recipe.weight_decay=0"),
        ("data.crop_pct", "data=imagefolder", "regime.img_size=384"),
        ("model.ls_init_value", "+step=layer_scale", "+step=gelu"),
        ("model.patch_size", "+step=patchify_stem", "+step=stage_ratio"),
        ("recipe.lr", "recipe.opt=sgd", "data.num_classes=4"),
    ],
)
def test_an_option_acts_where_its_condition_holds(key: str, acting: str, idle: str) -> None:
    base = ["study=imagenet", "recipe=modern", "data.num_classes=4"]
    first, second = (flatten(to_dict(compose([*base, word]))) for word in (acting, idle))
    assert key in first and acts(key, first) and acts(key, second) == (key not in ACTS_IF)


def test_conditions_name_options_that_exist() -> None:
    parts = {part.name: part.type for part in fields(Config)}
    for key in ACTS_IF:
        part, _, name = key.partition(".")
        assert name in {each.name for each in fields(parts[part])}  # type: ignore[arg-type]


def test_deviations_are_those_that_act_in_words_of_people() -> None:
    run = result("training_recipe", recipe__mixup_prob=0.0, recipe__warmup_epochs=4 / 15)
    run["deviations"] = {
        "recipe.mixup": [0.0, 0.8], "recipe.mixup_prob": [0.0, 1.0], "recipe.warmup_epochs": [4 / 15, 20.0],
        "recipe.batch_rule": ["keep", None],
    }  # fmt: skip
    assert deviations([run]) == [
        ("recipe.mixup_prob", "0", "1"), ("recipe.warmup_epochs", "0.2667", "20"),
        ("recipe.batch_rule", "keep", "unset"), ("seeds", "1", "3"),
    ]  # fmt: skip
