"""Checks of a configuration before work begins."""

import math
import re
from collections.abc import Collection

from roadmap.config.conf import to_dict
from roadmap.config.length import images_used, refuse_few_images
from roadmap.config.schema import Config, ModelConfig, OnError, RecipeConfig
from roadmap.config.values import conform
from roadmap.data.datasets import dataset
from roadmap.errors import ConfigError, require, require_one_of
from roadmap.networks.ops import CHOICES, LISTS, OPS, REQUIRED, Site, map_sizes, of_role, placed

RANDAUGMENT = re.compile(r"none|rand(-(n\d\d?|(m|w|p|mstd|mmax|inc)\d{1,3}(\.\d{1,9})?))*")
SHARDS = 100_000


def check(config: Config) -> None:
    """Refuse a configuration that cannot be trained: a ConfigError in one line names the key and what is allowed."""
    conform(to_dict(config), Config, "")
    check_model(config.model)
    _check_recipe(config.recipe)
    _check_data(config)
    _check_batch_norm(config)


def _check_recipe(r: RecipeConfig) -> None:
    for key, pair in (("recipe.scale", r.scale), ("recipe.ratio", r.ratio)):
        require(len(pair) == 2 and pair[0] <= pair[1], key, pair, "two numbers, the smaller first")
    require(bool(RANDAUGMENT.fullmatch(r.aa)), "recipe.aa", r.aa, "none, or timm's notation: rand-m9-mstd0.5-inc1")
    known = ("bilinear", "bicubic")
    require(r.interpolation in known, "recipe.interpolation", r.interpolation, " or ".join(known))
    followed = r.batch_size == r.lr_base_size or r.batch_rule is not None
    rules = f"{r.lr_base_size}, the recipe's own, unless recipe.batch_rule=keep|linear|sqrt adapts the learning rate"
    require(followed, "recipe.batch_size", r.batch_size, rules)
    pinned = (r.init_weights is None) == (r.init_sha256 is None)
    require(pinned, "recipe.init_sha256", r.init_sha256, "the hash of recipe.init_weights, and unset without it")
    betas = r.opt_betas
    require(len(betas) == 2, "recipe.opt_betas", betas, "two numbers")
    require(r.warmup_epochs < r.epochs, "recipe.warmup_epochs", r.warmup_epochs, f"below recipe.epochs = {r.epochs}")
    whole = r.batch_size % min(r.bn_batch_size, r.batch_size) == 0
    require(whole, "recipe.bn_batch_size", r.bn_batch_size, f"a number that divides recipe.batch_size = {r.batch_size}")


def _check_data(config: Config) -> None:
    d, r, known = config.data, config.recipe, dataset(config.data.name)
    for key, values in (("data.mean", d.mean), ("data.std", d.std)):
        require(len(values) == d.in_chans, key, values, f"data.in_chans = {d.in_chans} numbers")
    least = map_sizes(config.model, d.img_size)[-1]
    require(least > 0, "data.img_size", d.img_size, "larger: stem and downsampling leave no pixel of it")
    for key, shards in (("data.train", d.train), ("data.val", d.val)):
        require(shards is None or d.name == "webdataset", key, shards, "unset, except for data=webdataset")
        require(shards is None or expansions(shards) <= SHARDS, key, shards, f"up to {SHARDS:,} shards")
    mixed = r.mixup_prob > 0 and (r.mixup > 0 or r.cutmix > 0)
    size, key = min((r.batch_size, "recipe.batch_size"), (r.bn_batch_size, "recipe.bn_batch_size"))
    require(not mixed or size % 2 == 0, key, size, "an even number with mixup")
    require(d.in_chans == known.channels, "data.in_chans", d.in_chans, f"{known.channels} for {d.name}")
    if known.in_memory:
        enough = d.num_classes >= known.classes
        require(enough, "data.num_classes", d.num_classes, f"{known.classes} for {d.name}")
        images, _ = images_used(d, *known.images)
        refuse_few_images(config, images)
    held = known.in_memory or d.in_memory
    require(not d.resize or held, "data.resize", d.resize, "unset for image files without data.in_memory=true")
    stops = d.on_error is OnError.stop
    require(not d.in_memory or stops, "data.on_error", d.on_error.name, "stop with data.in_memory=true")
    require(not d.resize or d.resize <= d.img_size, "data.resize", d.resize, f"up to data.img_size, {d.img_size}")


def _check_batch_norm(config: Config) -> None:
    """Refuse micro-batches of one image where batch norm would see one value per channel, which has no variance.

    Batch norm over all processes has more, and is refused later if there is one process.
    """
    d, r = config.data, config.recipe
    size, key = min((r.batch_size, "recipe.batch_size"), (r.bn_batch_size, "recipe.bn_batch_size"))
    norms = {op.size for op in placed(config.model, img_size=d.img_size) if op.name == "batch_norm"}
    alone = size == 1 and not r.sync_bn and 1 in norms
    where = f"at data.img_size={d.img_size} some maps are one pixel, over which batch norm needs several images"
    require(not alone, key, size, f"2 or more: {where}")


def expansions(pattern: str) -> float:
    """Number of names that a pattern of shards such as `a-{000..146}.tar` stands for."""
    spans = re.findall(r"\{(\d+)\.\.(\d+)", pattern)
    choices = re.findall(r"\{([^{}]*,[^{}]*)\}", pattern)
    return math.prod(abs(float(b) - float(a)) + 1 for a, b in spans) * math.prod(c.count(",") + 1 for c in choices)


def check_model(model: ModelConfig) -> None:
    """Refuse an illegal network: unknown or misplaced ops, no `add`, no spatial op, channels that do not match."""
    conform(to_dict(model), ModelConfig, "model")
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
    require(model.kernel_size % 2 == 1, "model.kernel_size", model.kernel_size, "an odd number")
    require(1 <= len(model.depths) <= 4, "model.depths", model.depths, "one to four numbers, one per stage")


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
