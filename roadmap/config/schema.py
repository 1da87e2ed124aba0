"""The typed configuration of a run.

Options are named as in timm where timm has a word for them.
"""

from dataclasses import dataclass, field
from enum import Enum
from typing import Annotated, Any

from roadmap.config.values import Line, Name, Range, Share

MISSING: Any = "???"  # as in OmegaConf, which takes half a second to import
Seed = Annotated[int, Range(0, 2**31 - 1)]
Seeds = Annotated[int, Range(1, 1000)]
Epochs = Annotated[int, Range(1, 100_000)]
PartOfEpochs = Annotated[float, Range(0, 100_000)]
Images = Annotated[int, Range(1, 10**9)]
Batch = Annotated[int, Range(1, 10**6)]
Depth = Annotated[int, Range(1, 1000)]
Width = Annotated[int, Range(1, 2**16)]
Ratio = Annotated[int, Range(1, 64)]
Pixels = Annotated[int, Range(32, 2**14)]  # a network shrinks its input 32 times
Channels = Annotated[int, Range(1, 1024)]
Classes = Annotated[int, Range(1, 10**6)]
Decay = Annotated[float, Range(0, 1, below=True)]
Rate = Annotated[float, Range(0, 1e38)]  # up to the largest number in float32
Beta = Annotated[float, Range(0, 1000)]  # parameter of a beta distribution
Gigabytes = Annotated[float, Range(0, 100_000, above=True)]


class Design(Enum):
    """Which networks a study compares."""

    ladder = "ladder"  # every step with its parent
    leave_one_out = "leave_one_out"  # the end of the main sequence with the same network without one change
    add_one = "add_one"  # the start of the ladder with the same network after one change


class Purpose(Enum):
    """What the numbers of a study are for."""

    comparison = "comparison"
    plumbing = "plumbing"  # a trial of the code path: its numbers mean nothing, and no table or figure compares them


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

    name: Name = MISSING
    parent: Name | None = MISSING
    section: Line = MISSING  # section of the paper; own: none
    group: Name = MISSING  # of the ladder's; steps of one group stand together in the figure
    title: Line = MISSING


@dataclass
class RegimeValues:
    """Numbers that a step takes from the regime."""

    depths: list[Depth] | None = None
    width: Width = MISSING


@dataclass
class RegimeConfig:
    """A size of network: the numbers of the start, and of the steps that depend on the size."""

    name: Name = MISSING
    depths: list[Depth] = MISSING
    width: Width = MISSING
    steps: dict[Name, RegimeValues] = field(default_factory=dict)
    """By name of step; its file refers to them as ${regime.steps.NAME.width}."""
    drop_path: Share = MISSING
    img_size: Pixels = MISSING  # height and width of the input in pixels


@dataclass
class ModelConfig:
    """A network as data: four lists of ops (`roadmap.networks.ops`) and a handful of numbers."""

    stem: list[str] = MISSING
    block: list[str] = MISSING
    downsample: list[str] = MISSING  # between stages; if empty, the spatial op of a stage's first block has stride 2
    head: list[str] = MISSING
    depths: list[Depth] = MISSING  # blocks per stage
    width: Width = MISSING  # stage i has width w = width * 2**i
    stream_ratio: Ratio = MISSING  # the residual stream has w * stream_ratio channels
    hidden_ratio: Ratio = MISSING  # inside, a block has w * hidden_ratio channels
    kernel_size: Annotated[int, Range(1, 255)] = MISSING  # an odd number
    patch_size: Annotated[int, Range(1, 1024)] = 4  # kernel size and stride of the patchify stem, in pixels
    act: str = MISSING  # the op that `act` stands for in the lists
    norm: str = MISSING  # the op that `norm` stands for in the lists, and the norm of a projected shortcut
    conv_bias: bool = MISSING  # whether the convs of a block have a bias
    ls_init_value: Annotated[float, Range(-1000, 1000)] = MISSING  # initial value of the layer scale's factors


@dataclass
class DataConfig:
    """A data set and what is done to every image."""

    name: Name = MISSING  # a key of `roadmap.data.datasets.DATASETS`
    root: str = "data"
    train: str | None = None  # training shards of data=webdataset: names or URLs with {000..146}; unset: those in root
    val: str | None = None  # validation shards, likewise
    cache: str = "data/cache"  # directory of downloaded shards, indexes and unpacked tables
    in_chans: Channels = MISSING
    num_classes: Classes = MISSING
    mean: list[Annotated[float, Range(-1000, 1000)]] = MISSING
    std: list[Annotated[float, Range(1e-6, 1000)]] = MISSING
    img_size: Pixels = "${regime.img_size}"  # type: ignore[assignment]
    """Height and width. Smaller images in memory are padded with zeros on all sides before normalization."""
    resize: Annotated[int, Range(1, 2**14)] | None = None
    """Height and width that images in memory are scaled to, bicubically, before they are padded. Unset: theirs."""
    in_memory: bool = False
    """Whether image files, all of one size, are decoded once, when a run begins. They are then augmented by batches, as
    data sets in memory are."""
    crop_pct: Annotated[float, Range(0, 1, above=True)] = 0.875
    """For evaluation, the short side of an image file is resized to img_size / crop_pct and the center is cropped.
    From img_size 384 on, the whole image is resized instead."""
    on_error: OnError = OnError.stop  # for training images; a test image that cannot be read always stops the run
    fraction: Annotated[float, Range(0, 1, above=True)] = (
        1.0  # share of the training images of each class, a part of any larger share
    )
    holdout: Annotated[float, Range(0, 1, below=True)] = 0.0
    """Share of the training images of each class that is held out of training and evaluated instead of the test
    images: to choose options without them (docs/studies.md)."""
    subset_seed: Seed = 0  # of the images that fraction and holdout choose, whatever the seed of the run
    max_train: Images | None = None
    """Number of training images: the first ones of data in memory, evenly spread ones of files. Unset: all."""
    max_test: Images | None = None


@dataclass
class BudgetConfig:
    """Smaller values for a small study; unset values leave the recipe as published (docs/studies.md)."""

    epochs: Epochs | None = None
    original_epochs: Epochs | None = "${budget.epochs}"  # type: ignore[assignment]
    """Epochs of the original recipe."""
    batch_size: Batch | None = None
    batch_rule: BatchRule | None = None
    bn_batch_size: Batch | None = None
    strength: Share = 1.0  # factor of 0 to 1 on augmentation and stochastic depth, which a short training needs less
    aa: str | None = None
    model_ema_decay: Decay | None = None


@dataclass
class RecipeConfig:
    """How a network is trained."""

    name: Name = MISSING
    epochs: Epochs = MISSING
    batch_size: Batch = MISSING  # images per optimizer step
    lr_base_size: Batch = MISSING  # the batch_size that the learning rate was published for
    batch_rule: BatchRule | None = None  # required if batch_size differs from lr_base_size
    bn_batch_size: Batch = MISSING
    """Images per micro-batch, the batch that batch norm sees; gradients are accumulated to batch_size."""
    sync_bn: bool = False
    """Batch norm over the micro-batches of all processes at once: torch.nn.SyncBatchNorm, on GPUs only."""
    init: Init = MISSING
    init_weights: str | None = None
    """A file of weights to start from, of the same network with any number of classes; unset: those of `init`."""
    init_sha256: str | None = None  # of that file; set when a run is composed, and part of its identity
    opt: Opt = MISSING
    lr: Annotated[float, Range(0, 1e38, above=True)] = MISSING
    momentum: Share = 0.9
    opt_betas: list[Decay] = field(default_factory=lambda: [0.9, 0.999])
    opt_eps: Annotated[float, Range(0, 1, above=True)] = 1e-8
    weight_decay: Annotated[float, Range(0, 1000)] = MISSING
    filter_bias_and_bn: bool = MISSING  # no weight decay on biases and one-dimensional parameters
    sched: Sched = MISSING
    warmup_epochs: PartOfEpochs = 0.0
    min_lr: Rate = 0.0
    decay_epochs: Annotated[float, Range(0, 100_000, above=True)] = 30.0
    decay_rate: Annotated[float, Range(0, 1000, above=True)] = 0.1
    smoothing: Share = 0.0  # label smoothing
    scale: list[Annotated[float, Range(0, 1, above=True)]] = (
        MISSING  # range of the area of a random resized crop, relative to the image
    )
    ratio: list[Annotated[float, Range(0.01, 100)]] = MISSING  # range of its aspect ratio
    hflip: Share = 0.0
    interpolation: str = "bicubic"  # bilinear or bicubic, for image files in training and evaluation
    aa: str = "none"  # RandAugment in timm's notation, or none
    mixup: Beta = 0.0
    cutmix: Beta = 0.0
    mixup_prob: Share = 0.0
    mixup_switch_prob: Share = 0.5
    reprob: Share = 0.0  # probability of random erasing with per-pixel noise
    drop_path: Share = 0.0  # stochastic depth of the last block, linear from 0 at the first
    model_ema_decay: Decay = MISSING
    precision: Precision = Precision.float32  # the paper's published commands do not use mixed precision


@dataclass
class TrainingConfig:
    """How a run is carried out; no option but max_steps changes its outcome beyond rounding."""

    device: Device = Device.auto
    threads: Annotated[int, Range(1, 1024)] | None = None  # CPU threads. Unset: all cores.
    workers: Annotated[int, Range(0, 256)] = 0  # processes that decode images, up to the cores; 0: the training one
    channels_last: bool = True
    memory_gb: Gigabytes | None = None
    """Memory limit of a training process: larger micro-batches are split, or with batch norm use gradient
    checkpointing. Unset: no limit."""
    compile: bool | None = None
    """torch.compile, which takes one or two minutes. Unset: for long runs on a GPU in bfloat16."""
    eval_batch_size: Batch = 500
    checkpoint_minutes: Annotated[float, Range(0, 10**6)] = 5.0  # minutes between checkpoints within an epoch; 0: none
    checkpoint_epochs: Epochs = 1
    on_nonfinite: OnNonfinite = OnNonfinite.stop
    max_steps: Annotated[int, Range(1, 10**12)] | None = None
    """Optimizer steps after which a run ends, and its schedule with it. Unset: those of recipe.epochs, the most in any
    case."""
    rollbacks: Annotated[int, Range(0, 1000)] = 3  # rollbacks that on_nonfinite=rollback allows per run


@dataclass
class StudyConfig:
    """A named experiment; the name is that of its directories in runs/ and results/."""

    name: Name = MISSING
    seeds: Seeds = 1  # seeds 0 to seeds - 1 are a full sweep
    ladder: Name = "network"  # a folder of conf/ladder
    design: Design = Design.ladder  # set by the option design=... of a sweep
    tune: str = ""  # set by the option tune=... of a sweep
    purpose: Purpose = Purpose.comparison
    reuse_published: bool = False
    """Whether a sweep takes runs with a published result (results/published) as finished."""


@dataclass
class Config:
    """The complete configuration of a run."""

    study: StudyConfig = field(default_factory=StudyConfig)
    step: StepConfig = field(default_factory=StepConfig)
    seed: Seed = 0
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

    seeds: Seeds | None = None  # seeds 0 to seeds - 1; unset: study.seeds
    jobs: Annotated[int, Range(1, 10_000)] | str = "auto"
    """Concurrent runs; auto: as many as fit the cores with training.threads each, or cluster.array_parallelism."""
    steps: list[str] = field(default_factory=list)  # only these steps; empty: all of `only`
    only: Only = Only.all
    design: Design = Design.ladder
    tune: str = ""
    """An option and settings, as recipe.lr:[0.5,1,2] (factors) or recipe.lr=[0.001,0.002]: every step is trained at
    each and takes its best, chosen by training images that are held out (docs/statistics.md)."""
    cluster: str = "local"  # a file of conf/cluster. Options of a cluster are set as cluster.partition=gpu.
