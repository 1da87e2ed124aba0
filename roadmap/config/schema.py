"""The typed configuration of a run.

Options are named as in timm where timm has a word for them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

MISSING: Any = "???"
"""As in OmegaConf, which takes half a second to import."""


class Ladder(Enum):
    """What a ladder changes from rung to rung; its value is the word that adds a rung on the command line."""

    network = "step"  # from ResNet to ConvNeXt; the recipe changes once
    recipe = "recipe_step"  # from the original recipe to the modern one; the network stays


class Design(Enum):
    """Which networks a study compares."""

    ladder = "ladder"  # every step with its parent
    leave_one_out = "leave_one_out"  # the end of the path, each time without one change, with the whole
    add_one = "add_one"  # the start of the path, each time with one change alone, with the bare one


class Init(Enum):
    """Initial weights of conv and linear layers: see `roadmap.networks.ladder.initialize`."""

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


class Precision(Enum):
    """Numbers that forward and backward passes compute with; weights, norms' statistics and averages are float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class OnNonfinite(Enum):
    """What becomes of a run whose loss, gradients or weights are not finite numbers."""

    stop = "stop"  # it fails, and says where it began
    rollback = "rollback"  # it returns to its last checkpoint, training.rollbacks times at most


class OnError(Enum):
    """What becomes of an image file for training that cannot be read."""

    stop = "stop"  # the run stops, with its path
    skip = "skip"  # the next file takes its place, and it is counted


class Tracking(Enum):
    """What mirrors the files of a run for people to look at; nothing reads back from it."""

    none = "none"
    wandb = "wandb"  # Weights & Biases: on its server with a key, in local files without
    tensorboard = "tensorboard"


class BatchRule(Enum):
    """How the learning rate follows from a batch that is not the recipe's own."""

    keep = "keep"
    linear = "linear"  # with the batch (Goyal et al., arXiv 1706.02677)
    sqrt = "sqrt"  # with its square root


class Device(Enum):
    """Where a run computes; auto takes CUDA where there is one."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass
class StepConfig:
    """The step of a run; a step's file states all five."""

    name: str = MISSING
    parent: str | None = MISSING
    section: str = MISSING
    """Section of the paper."""
    group: str = MISSING
    """Steps of one group stand together in the figure."""
    title: str = MISSING


@dataclass
class RegimeValues:
    """Numbers that a step takes from the regime."""

    depths: list[int] | None = None
    width: int = MISSING


@dataclass
class RegimeConfig:
    """A size of network: the numbers of the start, and of the steps that depend on the size."""

    name: str = MISSING
    depths: list[int] = MISSING
    width: int = MISSING
    steps: dict[str, RegimeValues] = field(default_factory=dict)
    """By name of step; its file refers to them as ${regime.steps.NAME.width}."""
    drop_path: float = MISSING
    img_size: int = MISSING
    """Height and width of the input in pixels."""


@dataclass
class ModelConfig:
    """A network as data: four lists of ops (`roadmap.networks.ops`) and a handful of numbers."""

    stem: list[str] = MISSING
    block: list[str] = MISSING
    downsample: list[str] = MISSING
    """Between stages; if empty, the spatial op of a stage's first block has stride 2."""
    head: list[str] = MISSING
    depths: list[int] = MISSING
    """Blocks per stage."""
    width: int = MISSING
    """Stage i has width w = width * 2**i."""
    stream_ratio: int = MISSING
    """The residual stream has w * stream_ratio channels."""
    hidden_ratio: int = MISSING
    """Inside, a block has w * hidden_ratio channels."""
    kernel_size: int = MISSING
    patch_size: int = 4
    """Kernel size and stride of the patchify stem, in pixels."""
    act: str = MISSING
    """The op that `act` stands for in the lists."""
    norm: str = MISSING
    """The op that `norm` stands for in the lists, and the norm of a projected shortcut."""
    conv_bias: bool = MISSING
    """Whether the convs of a block have a bias."""
    ls_init_value: float = MISSING
    """Initial value of the layer scale's factors."""


@dataclass
class DataConfig:
    """A data set and what is done to every image."""

    name: str = MISSING
    """A key of `roadmap.data.datasets.DATASETS`."""
    root: str = "data"
    train: str | None = None
    """Of webdataset: the shards for training, names or URLs with {000..146} for each of them; unset: those in root."""
    val: str | None = None
    """Likewise for evaluation."""
    cache: str = "data/cache"
    """Where what is made of shards and tables lies: downloads, indexes, unpacked tables."""
    in_chans: int = MISSING
    num_classes: int = MISSING
    mean: list[float] = MISSING
    std: list[float] = MISSING
    img_size: int = "${regime.img_size}"  # type: ignore[assignment]
    """Height and width. Images in memory that are smaller are padded with zeros, before normalization, on all sides."""
    crop_pct: float = 0.875
    """Of files: for evaluation the short side is resized to img_size / crop_pct, and the middle cropped. From an
    img_size of 384 on the whole image is resized instead."""
    on_error: OnError = OnError.stop
    """Of files for training that cannot be read; for evaluation one always stops the run."""
    max_train: int | None = None
    """Only so many training images: the first of data in memory, of files some evenly spread."""
    max_test: int | None = None


@dataclass
class BudgetConfig:
    """What a small study may spend; unset values leave a recipe as published (docs/studies.md has the rule)."""

    epochs: int | None = None
    original_epochs: int | None = "${budget.epochs}"  # type: ignore[assignment]
    """Of the original recipe."""
    batch_size: int | None = None
    batch_rule: BatchRule | None = None
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
    lr_base_size: int = MISSING
    """The batch_size that the recipe's rate was published for."""
    batch_rule: BatchRule | None = None
    """Needed for another batch_size: how the rate follows."""
    bn_batch_size: int = MISSING
    """Images a forward pass, and so the batch that batch norm sees; gradients are accumulated to batch_size."""
    sync_bn: bool = False
    """Batch norm over the micro-batches of all processes at once: torch.nn.SyncBatchNorm, on GPUs only."""
    init: Init = MISSING
    """Initial weights."""
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
    interpolation: str = "bicubic"
    """How image files are resized, for training and evaluation: bilinear or bicubic."""
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
    precision: Precision = Precision.float32
    """The paper's published commands leave its code's mixed precision off."""


@dataclass
class TrainingConfig:
    """How a run is carried out; nothing here may change what it computes beyond rounding."""

    device: Device = Device.auto
    threads: int | None = None
    """CPU threads; unset: all cores."""
    workers: int = 0
    """Processes that decode image files for this one; 0: none but itself."""
    channels_last: bool = True
    memory_gb: float | None = None
    """Most memory of each process of a run, without those that decode: a pass that does not fit is computed in parts,
    or with batch norm each block twice. Unset: whatever it takes."""
    compile: bool | None = None
    """By torch.compile, half a minute or two before the first step; unset: on a GPU in bfloat16, if the run is long."""
    eval_batch_size: int = 500
    checkpoint_minutes: float = 5.0
    """At least so often in mid-epoch; 0: never."""
    checkpoint_epochs: int = 1
    on_nonfinite: OnNonfinite = OnNonfinite.stop
    """Of a loss, gradient or weight that is not a finite number."""
    rollbacks: int = 3
    """How often a run may return to its last checkpoint with on_nonfinite=rollback, all in all."""


@dataclass
class StudyConfig:
    """A named experiment; its name is the directory of its runs and of its results."""

    name: str = MISSING
    seeds: int = 1
    """Seeds 0 to seeds - 1 make a full sweep."""
    ladder: Ladder = Ladder.network
    design: Design = Design.ladder
    """Set by a sweep's word design=..., whose variants are no rungs."""


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
    tracking: Tracking = Tracking.none
    runs_dir: str = "runs"


class Only(Enum):
    """Steps that a sweep trains."""

    main_sequence = "main_sequence"
    all = "all"  # the side steps as well


@dataclass
class SweepOptions:
    """Options of a sweep besides those of its runs."""

    seeds: int | None = None
    """Seeds 0 to seeds - 1; unset: study.seeds."""
    jobs: int | str = "auto"
    """Runs at a time; auto: as many as fit the cores with training.threads each, or cluster.array_parallelism."""
    steps: list[str] = field(default_factory=list)
    """Only these steps; empty: all of `only`."""
    only: Only = Only.all
    design: Design = Design.ladder
    cluster: str = "local"
    """A file of conf/cluster. Options of a cluster are set as cluster.partition=gpu."""
