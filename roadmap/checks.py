"""What is refused before work begins."""

import re
from typing import Any

from roadmap.schema import Config, ConfigError, ModelConfig, Op

SPATIAL = (Op.conv, Op.dwconv)
VOCABULARY = {
    "stem": (Op.stem_conv, Op.patchify, Op.max_pool, Op.norm, Op.act),
    "block": (Op.pw_hidden, Op.pw_stream, *SPATIAL, Op.norm, Op.act, Op.layer_scale, Op.add),
    "downsample": (Op.norm, Op.act, Op.downsample_conv),
    "head": (Op.avg_pool, Op.norm, Op.act, Op.flatten, Op.linear),
}
NAME = re.compile(r"[A-Za-z0-9][\w.,=+\[\]-]*")


def check(config: Config) -> None:
    """Refuse what cannot be trained.

    Raises:
        ConfigError: in one line, naming the key and what is allowed.
    """
    check_model(config.model)
    for key, name in (("study.name", config.study.name), ("step.name", config.step.name)):
        require(bool(NAME.fullmatch(name)) and len(name) < 200, key, name, "letters, digits and _ . , = + -")
    r, t, d = config.recipe, config.training, config.data
    positive: dict[str, Any] = {
        "study.seeds": config.study.seeds,
        "recipe.epochs": r.epochs,
        "recipe.batch_size": r.batch_size,
        "recipe.bn_batch_size": r.bn_batch_size,
        "recipe.lr": r.lr,
        "recipe.decay_epochs": r.decay_epochs,
        "data.img_size": d.img_size,
        "data.num_classes": d.num_classes,
        "data.in_chans": d.in_chans,
        "data.max_train": 1 if d.max_train is None else d.max_train,
        "data.max_test": 1 if d.max_test is None else d.max_test,
        "training.threads": 1 if t.threads is None else t.threads,
        "training.eval_batch_size": t.eval_batch_size,
        "training.checkpoint_epochs": t.checkpoint_epochs,
    }
    for key, value in positive.items():
        require(value > 0, key, value, "more than 0")
    for name in ("hflip", "mixup_prob", "mixup_switch_prob", "reprob", "drop_path", "smoothing"):
        value = getattr(r, name)
        require(0 <= value <= 1, f"recipe.{name}", value, "0 to 1")
    require(0 <= r.model_ema_decay < 1, "recipe.model_ema_decay", r.model_ema_decay, "at least 0, below 1")
    require(0 <= config.budget.strength <= 1, "budget.strength", config.budget.strength, "0 to 1")
    require(0 <= config.seed < 2**31, "seed", config.seed, "0 to 2147483647")
    require(
        len(r.scale) == 2 and 0 < r.scale[0] <= r.scale[1] <= 1,
        "recipe.scale",
        r.scale,
        "two numbers, 0 < a <= b <= 1",
    )
    require(len(r.ratio) == 2 and 0 < r.ratio[0] <= r.ratio[1], "recipe.ratio", r.ratio, "two numbers, 0 < a <= b")
    for key, values in (("data.mean", d.mean), ("data.std", d.std)):
        require(len(values) == d.in_chans, key, values, f"data.in_chans = {d.in_chans} numbers")
    require(d.img_size >= 32, "data.img_size", d.img_size, "32 or more: a network shrinks its input 32 times")


def check_model(model: ModelConfig) -> None:
    """Refuse an illegal network: words out of place, no `add`, no spatial op, channels that do not meet.

    Raises:
        ConfigError: in one line, naming the list and what is allowed.
    """
    for part, allowed in VOCABULARY.items():
        for word in getattr(model, part):
            require(word in allowed, f"model.{part}", word.name, "one of " + " ".join(o.name for o in allowed))

    def exactly(part: str, ops: tuple[Op, ...], what: str) -> None:
        words = getattr(model, part)
        require(sum(w in ops for w in words) == 1, f"model.{part}", spell(words), f"exactly one {what}")

    exactly("stem", (Op.stem_conv, Op.patchify), "of stem_conv, patchify")
    exactly("block", (Op.add,), "add")
    exactly("block", SPATIAL, "spatial op: conv or dwconv")
    if model.downsample:
        exactly("downsample", (Op.downsample_conv,), "downsample_conv, or an empty list")
    order = [w for w in model.head if w in (Op.avg_pool, Op.flatten, Op.linear)]
    require(
        order == [Op.avg_pool, Op.flatten, Op.linear] and model.head[-1] is Op.linear,
        "model.head",
        spell(model.head),
        "avg_pool, flatten and linear once each, in this order, linear last",
    )
    require(
        Op.norm not in model.head[model.head.index(Op.flatten) :],
        "model.head",
        spell(model.head),
        "norm before flatten",
    )
    for key in ("width", "stream_ratio", "hidden_ratio"):
        require(getattr(model, key) > 0, f"model.{key}", getattr(model, key), "more than 0")
    k = model.kernel_size
    require(k > 0 and k % 2 == 1, "model.kernel_size", k, "an odd number")
    require(
        len(model.depths) > 0 and min(model.depths) > 0,
        "model.depths",
        model.depths,
        "numbers of blocks, each more than 0",
    )
    require(len(model.depths) == 4, "model.depths", model.depths, "four numbers, one a stage")
    channels = ends = model.stream_ratio
    for word in model.block[: model.block.index(Op.add)]:
        channels = {Op.pw_hidden: model.hidden_ratio, Op.pw_stream: model.stream_ratio}.get(word, channels)
    if channels != ends or Op.pw_stream not in model.block[: model.block.index(Op.add)]:
        raise ConfigError(
            f"model.block={spell(model.block)}: channels do not match at add, a branch must end in the stream: "
            "put pw_stream after the last pw_hidden"
        )
    after = model.block[model.block.index(Op.add) :]
    require(
        not {Op.pw_hidden, Op.pw_stream, *SPATIAL} & set(after),
        "model.block",
        spell(model.block),
        "only norm, act, layer_scale after add",
    )


def spell(words: list[Op]) -> str:
    """A list of words as it is written in YAML."""
    return "[" + ",".join(word.name for word in words) + "]"


def require(ok: bool, key: str, value: object, allowed: str) -> None:
    """Raise a ConfigError that names key, value and what is allowed, unless ok."""
    if not ok:
        raise ConfigError(f"{key}={value}: allowed is {allowed}")
