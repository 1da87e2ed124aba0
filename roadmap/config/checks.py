"""What is refused before work begins."""

import math
import re
from typing import Any

from roadmap.config.schema import Config, ModelConfig, Op, RecipeConfig
from roadmap.data.datasets import dataset
from roadmap.errors import ConfigError, require

SPATIAL = (Op.conv, Op.dwconv)
VOCABULARY = {
    "stem": (Op.stem_conv, Op.patchify, Op.max_pool, Op.norm, Op.act),
    "block": (Op.pw_hidden, Op.pw_stream, *SPATIAL, Op.norm, Op.act, Op.layer_scale, Op.add),
    "downsample": (Op.norm, Op.act, Op.downsample_conv),
    "head": (Op.avg_pool, Op.norm, Op.act, Op.flatten, Op.linear),
}
RANDAUGMENT = re.compile(r"none|rand(-(m|n|w|p|mstd|mmax|inc)\d+(\.\d+)?)*")
NAME = re.compile(r"[A-Za-z0-9][\w.,=+\[\]-]*")


def check(config: Config) -> None:
    """Refuse what cannot be trained.

    Raises:
        ConfigError: in one line, naming the key and what is allowed.
    """
    check_model(config.model)
    for key, name in (("study.name", config.study.name), ("step.name", config.step.name)):
        require(bool(NAME.fullmatch(name)) and len(name) < 200, key, name, "letters, digits and _ . , = + -")
    require(0 <= config.seed < 2**31, "seed", config.seed, "0 to 2147483647")
    _check_numbers(config)
    _check_recipe(config.recipe)
    _check_data(config)


def _check_numbers(config: Config) -> None:
    r, t, d = config.recipe, config.training, config.data
    values: dict[str, Any] = {
        "study.seeds": config.study.seeds,
        "recipe.epochs": r.epochs,
        "recipe.batch_size": r.batch_size,
        "recipe.lr_base_size": r.lr_base_size,
        "recipe.bn_batch_size": r.bn_batch_size,
        "recipe.sync_bn": r.sync_bn,
        "recipe.lr": r.lr,
        "recipe.opt_eps": r.opt_eps,
        "recipe.decay_epochs": r.decay_epochs,
        "recipe.decay_rate": r.decay_rate,
        "data.num_classes": d.num_classes,
        "data.in_chans": d.in_chans,
        "data.max_train": d.max_train,
        "data.max_test": d.max_test,
        "training.threads": t.threads,
        "training.memory_gb": t.memory_gb,
        "training.eval_batch_size": t.eval_batch_size,
        "training.checkpoint_epochs": t.checkpoint_epochs,
    }
    for key, value in values.items():
        require(value is None or 0 < value < math.inf, key, value, "finite and more than 0")
    for name in ("momentum", "weight_decay", "warmup_epochs", "min_lr", "mixup", "cutmix"):
        value = getattr(r, name)
        require(0 <= value < math.inf, f"recipe.{name}", value, "0 or more")
    minutes = t.checkpoint_minutes
    require(0 <= minutes < math.inf, "training.checkpoint_minutes", minutes, "0 or more")
    for name in ("workers", "rollbacks"):
        require(getattr(t, name) >= 0, f"training.{name}", getattr(t, name), "0 or more")
    for name in ("hflip", "mixup_prob", "mixup_switch_prob", "reprob", "drop_path", "smoothing"):
        value = getattr(r, name)
        require(0 <= value <= 1, f"recipe.{name}", value, "0 to 1")
    require(0 <= config.budget.strength <= 1, "budget.strength", config.budget.strength, "0 to 1")


def _check_recipe(r: RecipeConfig) -> None:
    ascending = "two numbers, 0 < a <= b"
    require(0 <= r.model_ema_decay < 1, "recipe.model_ema_decay", r.model_ema_decay, "at least 0, below 1")
    require(len(r.scale) == 2 and 0 < r.scale[0] <= r.scale[1] <= 1, "recipe.scale", r.scale, f"{ascending} <= 1")
    require(len(r.ratio) == 2 and 0 < r.ratio[0] <= r.ratio[1], "recipe.ratio", r.ratio, ascending)
    require(bool(RANDAUGMENT.fullmatch(r.aa)), "recipe.aa", r.aa, "none, or as rand-m9-mstd0.5-inc1")
    known = ("bilinear", "bicubic")
    require(r.interpolation in known, "recipe.interpolation", r.interpolation, " or ".join(known))
    followed = r.batch_size == r.lr_base_size or r.batch_rule is not None
    rules = f"{r.lr_base_size}, the recipe's own, unless recipe.batch_rule=keep|linear|sqrt says how its rate follows"
    require(followed, "recipe.batch_size", r.batch_size, rules)
    betas = r.opt_betas
    require(len(betas) == 2 and all(0 <= b < 1 for b in betas), "recipe.opt_betas", betas, "two numbers of 0 to 1")
    require(r.warmup_epochs < r.epochs, "recipe.warmup_epochs", r.warmup_epochs, f"below recipe.epochs = {r.epochs}")
    whole = r.batch_size % min(r.bn_batch_size, r.batch_size) == 0
    require(whole, "recipe.bn_batch_size", r.bn_batch_size, f"what divides recipe.batch_size = {r.batch_size}")


def _check_data(config: Config) -> None:
    d, r, known = config.data, config.recipe, dataset(config.data.name)
    for key, values in (("data.mean", d.mean), ("data.std", d.std)):
        require(len(values) == d.in_chans, key, values, f"data.in_chans = {d.in_chans} numbers")
    require(all(std > 0 for std in d.std), "data.std", d.std, "more than 0")
    require(d.img_size >= 32, "data.img_size", d.img_size, "32 or more: a network shrinks its input 32 times")
    for key, shards in (("data.train", d.train), ("data.val", d.val)):
        require(shards is None or d.name == "webdataset", key, shards, "nothing, but for data=webdataset")
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
        require(r.aa == "none", "recipe.aa", r.aa, "none for data held in memory: RandAugment works image by image")


def check_model(model: ModelConfig) -> None:
    """Refuse an illegal network: words out of place, no `add`, no spatial op, channels that do not meet.

    Raises:
        ConfigError: in one line, naming the list and what is allowed.
    """
    for part, allowed in VOCABULARY.items():
        for word in getattr(model, part):
            require(word in allowed, f"model.{part}", word.name, "one of " + " ".join(o.name for o in allowed))
    _exactly_one(model, "stem", (Op.stem_conv, Op.patchify), "of stem_conv, patchify")
    _exactly_one(model, "block", (Op.add,), "add")
    _exactly_one(model, "block", SPATIAL, "spatial op: conv or dwconv")
    if model.downsample:
        _exactly_one(model, "downsample", (Op.downsample_conv,), "downsample_conv, or an empty list")
    _check_channels(model)
    head = model.head
    order = [word for word in head if word in (Op.avg_pool, Op.flatten, Op.linear)]
    in_order = order == [Op.avg_pool, Op.flatten, Op.linear] and head[-1] is Op.linear
    require(in_order, "model.head", spell(head), "avg_pool, flatten and linear once each, in this order, linear last")
    require(Op.norm not in head[head.index(Op.flatten) :], "model.head", spell(head), "norm before flatten")
    for key in ("width", "stream_ratio", "hidden_ratio", "patch_size"):
        require(getattr(model, key) > 0, f"model.{key}", getattr(model, key), "more than 0")
    k, depths = model.kernel_size, model.depths
    require(k > 0 and k % 2 == 1, "model.kernel_size", k, "an odd number")
    whole = 1 <= len(depths) <= 4 and min(depths) > 0
    require(whole, "model.depths", depths, "one to four numbers more than 0, one a stage")


def _exactly_one(model: ModelConfig, part: str, ops: tuple[Op, ...], what: str) -> None:
    words = getattr(model, part)
    require(sum(word in ops for word in words) == 1, f"model.{part}", spell(words), f"exactly one {what}")


def _check_channels(model: ModelConfig) -> None:
    """See that a branch ends as wide as the stream, and that nothing after the add changes its width."""
    add = model.block.index(Op.add)
    branch, after = model.block[:add], model.block[add:]
    channels = model.stream_ratio
    for word in branch:
        channels = {Op.pw_hidden: model.hidden_ratio, Op.pw_stream: model.stream_ratio}.get(word, channels)
    if channels != model.stream_ratio or Op.pw_stream not in branch:
        raise ConfigError(
            f"model.block={spell(model.block)}: channels do not match at add, a branch must end in the stream: "
            "put pw_stream after the last pw_hidden"
        )
    narrow = not {Op.pw_hidden, Op.pw_stream, *SPATIAL} & set(after)
    require(narrow, "model.block", spell(model.block), "only norm, act, layer_scale after add")


def spell(words: list[Op]) -> str:
    """A list of words as it is written in YAML."""
    return "[" + ",".join(word.name for word in words) + "]"
