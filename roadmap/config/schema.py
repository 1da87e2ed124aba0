"""The typed configuration of a run.

Options are named as in timm where timm has a word for them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

MISSING: Any = "???"  # as in OmegaConf, which takes half a second to import


class Design(Enum):
    """Which networks a study compares."""

    ladder = "ladder"  # every step with its parent
    leave_one_out = "leave_one_out"  # the end of the main sequence with the same network without one change
    add_one = "add_one"  # the start of the ladder with the same network after one change


class Init(Enum):
    """Initial weights of conv and linear layers: see `roadmap.networks.ladder.initialize`."""

    torch = "torch"
    kaiming_normal = "kaiming_normal"
    trunc_normal = "trunc_normal"


class Opt(Enum):
    sgd = "sgd"
    adamw = "adamw"


class Sched(Enum):
    step = "step"
    cosine = "cosine"


class Precision(Enum):
    """Number format of forward and backward passes; weights, statistics of norms and averages are float32."""

    float32 = "float32"
    bfloat16 = "bfloat16"


class OnNonfinite(Enum):
    """Reaction to a loss, gradient or weight that is not finite."""

    stop = "stop"  # the run fails and names the first module
    rollback = "rollback"  # the run returns to its last checkpoint, at most training.rollbacks times


class OnError(Enum):
    """Reaction to a training image that cannot be read."""

    stop = "stop"  # the run fails and names the file
    skip = "skip"  # the next file takes its place; the result counts skipped images


class Tracking(Enum):
    """Tracker that mirrors the files of a run; nothing is read back from it."""

    none = "none"
    wandb = "wandb"  # Weights & Biases: its server if there is a key, else local files
    tensorboard = "tensorboard"


class BatchRule(Enum):
    """How the learning rate follows a batch size that is not the recipe's own."""

    keep = "keep"
    linear = "linear"  # proportional to the batch size (Goyal et al., arXiv 1706.02677)
    sqrt = "sqrt"  # proportional to its square root


class Device(Enum):
    """auto: CUDA if available."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


@dataclass
class StepConfig:
    """The step of a run."""

    name: str = MISSING
    parent: str | None = MISSING
    section: str = MISSING  # section of the paper; own: none
    group: str = MISSING  # of the ladder's; steps of one group stand together in the figure
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
    img_size: int = MISSING  # height and width of the input in pixels


@dataclass
class ModelConfig:
    """A network as data: four lists of ops (`roadmap.networks.ops`) and a handful of numbers."""

    stem: list[str] = MISSING
    block: list[str] = MISSING
    downsample: list[str] = MISSING  # between stages; if empty, the spatial op of a stage's first block has stride 2
    head: list[str] = MISSING
    depths: list[int] = MISSING  # blocks per stage
    width: int = MISSING  # stage i has width w = width * 2**i
    stream_ratio: int = MISSING  # the residual stream has w * stream_ratio channels
    hidden_ratio: int = MISSING  # inside, a block has w * hidden_ratio channels
    kernel_size: int = MISSING
    patch_size: int = 4  # kernel size and stride of the patchify stem, in pixels
    act: str = MISSING  # the op that `act` stands for in the lists
    norm: str = MISSING  # the op that `norm` stands for in the lists, and the norm of a projected shortcut
    conv_bias: bool = MISSING  # whether the convs of a block have a bias
    ls_init_value: float = MISSING  # initial value of the layer scale's factors


@dataclass
class DataConfig:
    """A data set and what is done to every image."""

    name: str = MISSING  # a key of `roadmap.data.datasets.DATASETS`
    root: str = "data"
    train: str | None = None  # training shards of data=webdataset: names or URLs with {000..146}; unset: those in root
    val: str | None = None  # validation shards, likewise
    cache: str = "data/cache"  # directory of downloaded shards, indexes and unpacked tables
    in_chans: int = MISSING
    num_classes: int = MISSING
    mean: list[float] = MISSING
    std: list[float] = MISSING
    img_size: int = "${regime.img_size}"  # type: ignore[assignment]
    """Height and width. Smaller images in memory are padded with zeros on all sides before normalization."""
    resize: int | None = None
    """Height and width that images in memory are scaled to, bicubically, before they are padded. Unset: theirs."""
    crop_pct: float = 0.875
    """For evaluation, the short side of an image file is resized to img_size / crop_pct and the center is cropped.
    From img_size 384 on, the whole image is resized instead."""
    on_error: OnError = OnError.stop  # for training images; a test image that cannot be read always stops the run
    max_train: int | None = None
    """Number of training images: the first ones of data in memory, evenly spread ones of files. Unset: all."""
    max_test: int | None = None


@dataclass
class BudgetConfig:
    """Smaller values for a small study; unset values leave the recipe as published (docs/studies.md)."""

    epochs: int | None = None
    original_epochs: int | None = "${budget.epochs}"  # type: ignore[assignment]
    """Epochs of the original recipe."""
    batch_size: int | None = None
    batch_rule: BatchRule | None = None
    bn_batch_size: int | None = None
    strength: float = 1.0  # factor of 0 to 1 on augmentation and stochastic depth, which a short training needs less
    aa: str | None = None
    model_ema_decay: float | None = None


@dataclass
class RecipeConfig:
    """How a network is trained."""

    name: str = MISSING
    epochs: int = MISSING
    batch_size: int = MISSING  # images per optimizer step
    lr_base_size: int = MISSING  # the batch_size that the learning rate was published for
    batch_rule: BatchRule | None = None  # required if batch_size differs from lr_base_size
    bn_batch_size: int = MISSING
    """Images per micro-batch, the batch that batch norm sees; gradients are accumulated to batch_size."""
    sync_bn: bool = False
    """Batch norm over the micro-batches of all processes at once: torch.nn.SyncBatchNorm, on GPUs only."""
    init: Init = MISSING
    init_weights: str | None = None
    """A file of weights to start from, of the same network with any number of classes; unset: those of `init`."""
    init_sha256: str | None = None  # of that file; set when a run is composed, and part of its identity
    opt: Opt = MISSING
    lr: float = MISSING
    momentum: float = 0.9
    opt_betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
    opt_eps: float = 1e-8
    weight_decay: float = MISSING
    filter_bias_and_bn: bool = MISSING  # no weight decay on biases and one-dimensional parameters
    sched: Sched = MISSING
    warmup_epochs: float = 0.0
    min_lr: float = 0.0
    decay_epochs: float = 30.0
    decay_rate: float = 0.1
    smoothing: float = 0.0  # label smoothing
    scale: list[float] = MISSING  # range of the area of a random resized crop, relative to the image
    ratio: list[float] = MISSING  # range of its aspect ratio
    hflip: float = 0.0
    interpolation: str = "bicubic"  # bilinear or bicubic, for image files in training and evaluation
    aa: str = "none"  # RandAugment in timm's notation, or none
    mixup: float = 0.0
    cutmix: float = 0.0
    mixup_prob: float = 0.0
    mixup_switch_prob: float = 0.5
    reprob: float = 0.0  # probability of random erasing with per-pixel noise
    drop_path: float = 0.0  # stochastic depth of the last block, linear from 0 at the first
    model_ema_decay: float = MISSING
    precision: Precision = Precision.float32  # the paper's published commands do not use mixed precision


@dataclass
class TrainingConfig:
    """How a run is carried out; no option changes its outcome beyond rounding."""

    device: Device = Device.auto
    threads: int | None = None  # CPU threads. Unset: all cores.
    workers: int = 0  # processes that decode image files; 0: the training process decodes
    channels_last: bool = True
    memory_gb: float | None = None
    """Memory limit of a training process: larger micro-batches are split, or with batch norm use gradient
    checkpointing. Unset: no limit."""
    compile: bool | None = None
    """torch.compile, which takes one or two minutes. Unset: for long runs on a GPU in bfloat16."""
    eval_batch_size: int = 500
    checkpoint_minutes: float = 5.0  # minutes between checkpoints within an epoch; 0: none
    checkpoint_epochs: int = 1
    on_nonfinite: OnNonfinite = OnNonfinite.stop
    rollbacks: int = 3  # rollbacks that on_nonfinite=rollback allows per run


@dataclass
class StudyConfig:
    """A named experiment; the name is that of its directories in runs/ and results/."""

    name: str = MISSING
    seeds: int = 1  # seeds 0 to seeds - 1 are a full sweep
    ladder: str = "network"  # a folder of conf/ladder
    design: Design = Design.ladder  # set by the option design=... of a sweep
    reuse_published: bool = False
    """Whether a sweep takes runs with a published result (results/published) as finished."""


@dataclass
class Config:
    """The complete configuration of a run."""

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
    """Options of a sweep that are not options of its runs."""

    seeds: int | None = None  # seeds 0 to seeds - 1; unset: study.seeds
    jobs: int | str = "auto"
    """Concurrent runs; auto: as many as fit the cores with training.threads each, or cluster.array_parallelism."""
    steps: list[str] = field(default_factory=list)  # only these steps; empty: all of `only`
    only: Only = Only.all
    design: Design = Design.ladder
    cluster: str = "local"  # a file of conf/cluster. Options of a cluster are set as cluster.partition=gpu.
