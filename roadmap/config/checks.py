"""Checks of a configuration before work begins."""

import math
import re
from collections.abc import Collection
from operator import attrgetter
from typing import Any

from roadmap.config.schema import Config, ModelConfig, RecipeConfig
from roadmap.data.datasets import dataset
from roadmap.errors import ConfigError, require, require_one_of
from roadmap.networks.ops import CHOICES, LISTS, OPS, REQUIRED, Site, map_sizes, of_role

RANDAUGMENT = re.compile(r"none|rand(-(m|n|w|p|mstd|mmax|inc)\d+(\.\d+)?)*")
NAME = re.compile(r"[A-Za-z0-9][\w.,=+\[\]-]*")

POSITIVE = """
study.seeds recipe.epochs recipe.batch_size recipe.lr_base_size recipe.bn_batch_size recipe.lr recipe.opt_eps
recipe.decay_epochs recipe.decay_rate data.num_classes data.in_chans data.max_train data.max_test training.threads
training.memory_gb training.eval_batch_size training.checkpoint_epochs
"""
NOT_NEGATIVE = """
recipe.momentum recipe.weight_decay recipe.warmup_epochs recipe.min_lr recipe.mixup recipe.cutmix
training.checkpoint_minutes training.workers training.rollbacks
"""
SHARES = """
budget.strength recipe.hflip recipe.mixup_prob recipe.mixup_switch_prob recipe.reprob recipe.drop_path recipe.smoothing
"""


def check(config: Config) -> None:
    """Refuse a configuration that cannot be trained: a ConfigError in one line names the key and what is allowed."""
    check_model(config.model)
    for key, name in (("study.name", config.study.name), ("step.name", config.step.name)):
        require(bool(NAME.fullmatch(name)) and len(name) < 200, key, name, "letters, digits and _ . , = + -")
    require(0 <= config.seed < 2**31, "seed", config.seed, "0 to 2147483647")
    _check_numbers(config)
    _check_recipe(config.recipe)
    _check_data(config)


def _check_numbers(config: Config) -> None:
    def values(keys: str) -> list[tuple[str, Any]]:
        return [(key, attrgetter(key)(config)) for key in keys.split()]

    for key, value in values(POSITIVE):
        require(value is None or 0 < value < math.inf, key, value, "finite and more than 0")
    for key, value in values(NOT_NEGATIVE):
        require(0 <= value < math.inf, key, value, "0 or more")
    for key, value in values(SHARES):
        require(0 <= value <= 1, key, value, "0 to 1")


def _check_recipe(r: RecipeConfig) -> None:
    ascending = "two numbers, 0 < a <= b"
    require(0 <= r.model_ema_decay < 1, "recipe.model_ema_decay", r.model_ema_decay, "at least 0, below 1")
    require(len(r.scale) == 2 and 0 < r.scale[0] <= r.scale[1] <= 1, "recipe.scale", r.scale, f"{ascending} <= 1")
    require(len(r.ratio) == 2 and 0 < r.ratio[0] <= r.ratio[1], "recipe.ratio", r.ratio, ascending)
    require(bool(RANDAUGMENT.fullmatch(r.aa)), "recipe.aa", r.aa, "none, or timm's notation: rand-m9-mstd0.5-inc1")
    known = ("bilinear", "bicubic")
    require(r.interpolation in known, "recipe.interpolation", r.interpolation, " or ".join(known))
    followed = r.batch_size == r.lr_base_size or r.batch_rule is not None
    rules = f"{r.lr_base_size}, the recipe's own, unless recipe.batch_rule=keep|linear|sqrt adapts the learning rate"
    require(followed, "recipe.batch_size", r.batch_size, rules)
    pinned = (r.init_weights is None) == (r.init_sha256 is None)
    require(pinned, "recipe.init_sha256", r.init_sha256, "the hash of recipe.init_weights, and unset without it")
    betas = r.opt_betas
    require(len(betas) == 2 and all(0 <= b < 1 for b in betas), "recipe.opt_betas", betas, "two numbers of 0 to 1")
    require(r.warmup_epochs < r.epochs, "recipe.warmup_epochs", r.warmup_epochs, f"below recipe.epochs = {r.epochs}")
    whole = r.batch_size % min(r.bn_batch_size, r.batch_size) == 0
    require(whole, "recipe.bn_batch_size", r.bn_batch_size, f"a number that divides recipe.batch_size = {r.batch_size}")


def _check_data(config: Config) -> None:
    d, r, known = config.data, config.recipe, dataset(config.data.name)
    for key, values in (("data.mean", d.mean), ("data.std", d.std)):
        require(len(values) == d.in_chans, key, values, f"data.in_chans = {d.in_chans} numbers")
    require(all(std > 0 for std in d.std), "data.std", d.std, "more than 0")
    require(d.img_size >= 32, "data.img_size", d.img_size, "32 or more: a network shrinks its input 32 times")
    least = map_sizes(config.model, d.img_size)[-1]
    require(least > 0, "data.img_size", d.img_size, "larger: stem and downsampling leave no pixel of it")
    for key, shards in (("data.train", d.train), ("data.val", d.val)):
        require(shards is None or d.name == "webdataset", key, shards, "unset, except for data=webdataset")
    require(0 < d.crop_pct <= 1, "data.crop_pct", d.crop_pct, "more than 0, up to 1")
    mixed = r.mixup_prob > 0 and (r.mixup > 0 or r.cutmix > 0)
    size, key = min((r.batch_size, "recipe.batch_size"), (r.bn_batch_size, "recipe.bn_batch_size"))
    require(not mixed or size % 2 == 0, key, size, "an even number with mixup")
    require(d.in_chans == known.channels, "data.in_chans", d.in_chans, f"{known.channels} for {d.name}")
    if known.in_memory:
        enough = d.num_classes >= known.classes
        require(enough, "data.num_classes", d.num_classes, f"{known.classes} for {d.name}")
        images = min(known.images[0], d.max_train or known.images[0])
        require(r.batch_size <= images, "recipe.batch_size", r.batch_size, f"up to {images}, the training images")
    require(not d.resize or known.in_memory, "data.resize", d.resize, "unset, except for data held in memory")
    require(not d.resize or d.resize <= d.img_size, "data.resize", d.resize, f"up to data.img_size, {d.img_size}")


def check_model(model: ModelConfig) -> None:
    """Refuse an illegal network: unknown or misplaced ops, no `add`, no spatial op, channels that do not match."""
    for part in LISTS:
        allowed = [name for name, op in OPS.items() if part in op.lists]
        for name in getattr(model, part):
            require_one_of(f"model.{part}", name, allowed)
    for key, names in CHOICES.items():
        require_one_of(f"model.{key}", getattr(model, key), names)
    _exactly_one(model, "block", ["add"], "add")
    for part, role in REQUIRED.items():
        if part != "downsample" or model.downsample:
            _exactly_one(model, part, of_role(role), f"{role}: {' or '.join(of_role(role))}")
    _check_channels(model)
    head = model.head
    order = [name for name in head if not OPS[name].follows]
    in_order = order == ["avg_pool", "flatten", "linear"] and head[-1] == "linear"
    require(in_order, "model.head", spell(head), "avg_pool, flatten and linear once each, in this order, linear last")
    late_norm = any(OPS[name].kind == "norm" for name in head[head.index("flatten") :])
    require(not late_norm, "model.head", spell(head), "norm before flatten")
    for key in ("width", "stream_ratio", "hidden_ratio", "patch_size"):
        require(getattr(model, key) > 0, f"model.{key}", getattr(model, key), "more than 0")
    k, depths = model.kernel_size, model.depths
    require(k > 0 and k % 2 == 1, "model.kernel_size", k, "an odd number")
    whole = 1 <= len(depths) <= 4 and min(depths) > 0
    require(whole, "model.depths", depths, "one to four numbers more than 0, one per stage")


def _exactly_one(model: ModelConfig, part: str, names: Collection[str], what: str) -> None:
    ops = getattr(model, part)
    require(sum(name in names for name in ops) == 1, f"model.{part}", spell(ops), f"exactly one {what}")


def _check_channels(model: ModelConfig) -> None:
    """Require that a branch ends in the channels of the stream, whatever it receives, and no layers after the add."""
    add, key, written = model.block.index("add"), "model.block", spell(model.block)
    at = Site(model, channels=0, width=model.width)
    for name in model.block[:add]:
        at = at._replace(channels=OPS[name].channels(at))
    if at.channels != at.stream:
        raise ConfigError(
            f"{key}={written}: channels do not match at add, a branch must end in the stream: "
            "put pw_stream after the last pw_hidden"
        )
    followers = [name for name, op in OPS.items() if "block" in op.lists and op.follows]
    only = all(name in followers for name in model.block[add + 1 :])
    require(only, key, written, f"only {', '.join(followers)} after add")


def spell(value: object) -> str:
    """A value as it is written on a command line: lists without spaces."""
    return f"[{','.join(map(spell, value))}]" if isinstance(value, list) else str(value)
