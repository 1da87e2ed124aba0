"""What a run is made of: the typed configuration, its words, and the checks that need no torch.

Options are named as in timm where timm has a word for them.
"""

import re
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from omegaconf import MISSING


class ConfigError(ValueError):
    """A configuration that is refused; the message names the key and the allowed values."""


class Op(str, Enum):
    """The words a network is written in: one word, one layer."""

    stem_conv = "stem_conv"  # 7x7 conv, stride 2, to the width
    patchify = "patchify"  # 4x4 conv, stride 4, to the width
    max_pool = "max_pool"  # 3x3, stride 2
    pw_hidden = "pw_hidden"  # 1x1 conv to the hidden width
    pw_stream = "pw_stream"  # 1x1 conv back to the stream
    conv = "conv"  # k x k conv, channels unchanged
    dwconv = "dwconv"  # k x k depthwise conv
    norm = "norm"
    act = "act"
    layer_scale = "layer_scale"  # learnt factor a channel
    add = "add"  # the shortcut joins
    downsample_conv = "downsample_conv"  # 2x2 conv, stride 2, to the next stage's stream
    avg_pool = "avg_pool"  # global
    flatten = "flatten"
    linear = "linear"  # to the classes


class Act(Enum):
    """Activations."""

    relu = "relu"
    gelu = "gelu"


class Norm(Enum):
    """Normalizations: batch_norm with eps 1e-5, layer_norm over the channels with eps 1e-6."""

    batch_norm = "batch_norm"
    layer_norm = "layer_norm"


class Init(Enum):
    """Initial weights of conv and linear layers: see `roadmap.model.network.initialize`."""

    torch = "torch"
    kaiming_normal = "kaiming_normal"
    trunc_normal = "trunc_normal"


class Opt(Enum):
    """Optimizers."""

    sgd = "sgd"
    adamw = "adamw"


class Sched(Enum):
    """Learning-rate schedules."""

    step = "step"
    cosine = "cosine"


class Device(Enum):
    """Where a run computes; auto takes CUDA where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


class Dataset(Enum):
    """Data sets."""

    fashion_mnist = "fashion_mnist"
    cifar10 = "cifar10"
    cifar100 = "cifar100"
    imagenet = "imagenet"


@dataclass
class StepConfig:
    """Which rung of the ladder this is; a step's file states all five."""

    name: str = "resnet"
    parent: str | None = None
    section: str = ""
    """Section of the paper."""
    group: str = "start"
    """The rungs of a group stand together in the figure."""
    title: str = "ResNet"


@dataclass
class RegimeValues:
    """The numbers that a step takes from the regime."""

    depths: list[int] | None = None
    width: int = MISSING


@dataclass
class RegimeConfig:
    """A size of network: where it starts and the numbers that depend on the size."""

    name: str = MISSING
    depths: list[int] = MISSING
    width: int = MISSING
    stage_ratio: RegimeValues = field(default_factory=RegimeValues)
    increase_width: RegimeValues = field(default_factory=RegimeValues)
    drop_path: float = MISSING
    img_size: int = MISSING
    """Height and width of the input in pixels."""


@dataclass
class ModelConfig:
    """A network as data: four lists of words and a handful of numbers."""

    stem: list[Op] = MISSING
    block: list[Op] = MISSING
    downsample: list[Op] = MISSING
    """Between stages; while it is empty, the first block of a stage carries the stride."""
    head: list[Op] = MISSING
    depths: list[int] = MISSING
    """Blocks a stage."""
    width: int = MISSING
    """Channels: a stage i works at w = width * 2**i."""
    stream_ratio: int = MISSING
    """The residual stream has w * stream_ratio channels."""
    hidden_ratio: int = MISSING
    """The inside of a block has w * hidden_ratio channels."""
    kernel_size: int = MISSING
    act: Act = MISSING
    norm: Norm = MISSING
    conv_bias: bool = MISSING
    """Whether the convs of a block have a bias."""
    ls_init_value: float = MISSING
    """Initial value of a layer scale."""
    init: Init = MISSING


@dataclass
class DataConfig:
    """A data set and what is done to every image."""

    name: Dataset = MISSING
    root: str = "data"
    in_chans: int = MISSING
    num_classes: int = MISSING
    mean: list[float] = MISSING
    std: list[float] = MISSING
    img_size: int = "${regime.img_size}"  # type: ignore[assignment]
    """Images smaller than this are padded with zeros (before normalization) on all sides."""
    max_train: int | None = None
    """Only the first so many training images."""
    max_test: int | None = None


@dataclass
class BudgetConfig:
    """What a small study may spend; unset values leave a recipe as published (docs/studies.md has the rule)."""

    epochs: int | None = None
    batch_size: int | None = None
    bn_batch_size: int | None = None
    strength: float = 1.0
    """Factor in 0..1 on what guards against seeing an image many times: augmentation and stochastic depth."""
    aa: str | None = None
    model_ema_decay: float | None = None


@dataclass
class RecipeConfig:
    """How a network is trained."""

    name: str = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING
    """Images an optimizer step."""
    bn_batch_size: int = MISSING
    """Images a forward pass, and so the batch that batch norm sees; gradients are accumulated to batch_size."""
    opt: Opt = MISSING
    lr: float = MISSING
    momentum: float = 0.9
    opt_betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    opt_eps: float = 1e-8
    weight_decay: float = MISSING
    filter_bias_and_bn: bool = MISSING
    """No weight decay on biases and one-dimensional parameters."""
    sched: Sched = MISSING
    warmup_epochs: float = 0.0
    min_lr: float = 0.0
    decay_epochs: float = 30.0
    decay_rate: float = 0.1
    smoothing: float = 0.0
    """Label smoothing."""
    scale: list[float] = MISSING
    """Area of a random resized crop, as a share of the image."""
    ratio: list[float] = MISSING
    """Aspect ratio of a random resized crop."""
    hflip: float = 0.0
    aa: str = "none"
    """RandAugment in timm's notation, or none."""
    mixup: float = 0.0
    cutmix: float = 0.0
    mixup_prob: float = 0.0
    mixup_switch_prob: float = 0.5
    reprob: float = 0.0
    """Probability of random erasing, by noise a pixel."""
    drop_path: float = 0.0
    """Stochastic depth of the last block; linear from 0 at the first."""
    model_ema_decay: float = MISSING


@dataclass
class TrainingConfig:
    """How a run is carried out; nothing here may change what it computes beyond rounding."""

    device: Device = Device.auto
    threads: int | None = None
    """CPU threads; unset: all cores."""
    channels_last: bool = True
    eval_batch_size: int = 500
    checkpoint_minutes: float = 5.0
    """At least so often in mid-epoch; 0: never."""
    checkpoint_epochs: int = 1


@dataclass
class StudyConfig:
    """A named experiment; its name is the directory of its runs and of its results."""

    name: str = MISSING
    seeds: int = 1
    """Seeds 0 to seeds - 1 make a full sweep."""


@dataclass
class Config:
    """One run, completely."""

    study: StudyConfig = field(default_factory=StudyConfig)
    step: StepConfig = field(default_factory=StepConfig)
    seed: int = 0
    regime: RegimeConfig = field(default_factory=RegimeConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    data: DataConfig = field(default_factory=DataConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    recipe: RecipeConfig = field(default_factory=RecipeConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    runs_dir: str = "runs"


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
    require(len(r.scale) == 2 and 0 < r.scale[0] <= r.scale[1] <= 1, "recipe.scale", r.scale, "two numbers, 0 < a <= b <= 1")
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
        "model.head", spell(model.head), "avg_pool, flatten and linear once each, in this order, linear last",
    )
    require(Op.norm not in model.head[model.head.index(Op.flatten):], "model.head", spell(model.head), "norm before flatten")
    for key in ("width", "stream_ratio", "hidden_ratio"):
        require(getattr(model, key) > 0, f"model.{key}", getattr(model, key), "more than 0")
    k = model.kernel_size
    require(k > 0 and k % 2 == 1, "model.kernel_size", k, "an odd number")
    require(len(model.depths) > 0 and min(model.depths) > 0, "model.depths", model.depths, "numbers of blocks, each more than 0")
    require(len(model.depths) == 4, "model.depths", model.depths, "four numbers, one a stage")
    channels = ends = model.stream_ratio
    for word in model.block[: model.block.index(Op.add)]:
        channels = {Op.pw_hidden: model.hidden_ratio, Op.pw_stream: model.stream_ratio}.get(word, channels)
    if channels != ends or Op.pw_stream not in model.block[: model.block.index(Op.add)]:
        raise ConfigError(
            f"model.block={spell(model.block)}: channels do not match at add, a branch must end in the stream: "
            "put pw_stream after the last pw_hidden"
        )
    after = model.block[model.block.index(Op.add):]
    require(not {Op.pw_hidden, Op.pw_stream, *SPATIAL} & set(after), "model.block", spell(model.block), "only norm, act, layer_scale after add")


def spell(words: list[Op]) -> str:
    """A list of words as it is written in YAML."""
    return "[" + ",".join(word.name for word in words) + "]"


def require(ok: bool, key: str, value: object, allowed: str) -> None:
    """Raise a ConfigError that names key, value and what is allowed, unless ok."""
    if not ok:
        raise ConfigError(f"{key}={value}: allowed is {allowed}")
