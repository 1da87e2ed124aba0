"""Which options act: some have an effect only beside certain values of other options."""

from collections.abc import Callable, Mapping
from typing import Any

from roadmap.data.datasets import DATASETS

Flat = Mapping[str, Any]  # a configuration with dotted keys


def _mixes(config: Flat) -> bool:
    return config["recipe.mixup_prob"] > 0 and config["recipe.mixup"] + config["recipe.cutmix"] > 0


def _reads_files(config: Flat) -> bool:
    return not DATASETS[config["data.name"]].in_memory


def _has(op: str) -> Callable[[Flat], bool]:
    return lambda config: any(op in config[f"model.{part}"] for part in ("stem", "block", "downsample", "head"))


ACTS_IF: dict[str, Callable[[Flat], bool]] = {
    "recipe.mixup": _mixes,
    "recipe.cutmix": _mixes,
    "recipe.mixup_switch_prob": lambda config: (
        _mixes(config) and min(config["recipe.mixup"], config["recipe.cutmix"]) > 0
    ),
    "recipe.momentum": lambda config: config["recipe.opt"] == "sgd",
    "recipe.opt_betas": lambda config: config["recipe.opt"] == "adamw",
    "recipe.opt_eps": lambda config: config["recipe.opt"] == "adamw",
    "recipe.decay_epochs": lambda config: config["recipe.sched"] == "step",
    "recipe.decay_rate": lambda config: config["recipe.sched"] == "step",
    "recipe.min_lr": lambda config: config["recipe.sched"] == "cosine",
    "recipe.lr_base_size": lambda config: config["recipe.batch_rule"] in ("linear", "sqrt"),
    "recipe.batch_rule": lambda config: config["recipe.batch_size"] != config["recipe.lr_base_size"],
    "recipe.filter_bias_and_bn": lambda config: config["recipe.weight_decay"] > 0,
    "recipe.interpolation": _reads_files,
    "data.crop_pct": lambda config: _reads_files(config) and config["data.img_size"] < 384,
    "data.on_error": _reads_files,
    "model.ls_init_value": _has("layer_scale"),
    "model.patch_size": _has("patchify"),
}
"""The condition of each option that needs one; all others always act."""


def acts(key: str, config: Flat) -> bool:
    """Whether an option has an effect beside the others of a configuration; so has one that a result is too old for."""
    try:
        return key not in ACTS_IF or ACTS_IF[key](config)
    except KeyError:
        return True
