"""What the files of a run hold, as kinds that `conform` checks when a file is read; more keys are tolerated."""

import re
from dataclasses import dataclass
from typing import Annotated, Any

from roadmap.config.schema import Config, Epochs, Images, Seed
from roadmap.config.values import LARGEST, Line, Name, Range, Text

Count = Annotated[int, Range(0, 10**18)]
Nanoseconds = Annotated[int, Range(0, LARGEST)]  # since 1970, of which today's number has 19 digits
Seconds = Annotated[float, Range(0, 1e12)]
Percent = Annotated[float, Range(0, 100)]
Metric = Annotated[str, Text(re.compile(r"[A-Za-z][\w.]{0,99}", re.ASCII), "letters, digits, _ and .")]
Hash = Annotated[str, Text(re.compile(r"[0-9a-f]{8,64}"), "hexadecimal digits")]
Key = Annotated[str, Text(re.compile(r"[\w.]{1,200}", re.ASCII), "letters, digits, _ and .")]

Numbers = Annotated[str, Text(re.compile(r"\d{1,18}( \d{1,18})*", re.ASCII), "whole numbers with spaces between them")]


@dataclass
class Fingerprint:
    """Of the image files of a part."""

    images: Count
    classes: Count
    names: Hash


@dataclass
class StageCost:
    name: Line
    channels: Count
    size: Count
    params: Count
    macs: Count


@dataclass
class AnswersFile:
    """What a network answered on the test images: `roadmap.evals.accuracy.stored`."""

    right: dict[Metric, Annotated[str, Text(re.compile(r"[A-Za-z0-9+/]*={0,2}"), "base64")]]
    confusion: list[Numbers] | None = None
    by_class: list[Numbers] | None = None


@dataclass
class Hardware:
    cpu: Line
    cores: Count | None
    threads: Count
    gpu: Line | None = None
    processes: Count = 1


@dataclass
class ResultFile:
    """result.json, in the names of today."""

    study: Name
    regime: Name
    step: Name
    parent: Name | None
    title: Line
    seed: Seed
    metrics: dict[Metric, float]
    counts: dict[Metric, Count]
    test_images: Images
    params: Count
    macs: Count
    wall_seconds: Seconds
    config_hash: Hash
    config: Config
    finished_at: Line
    epochs: Epochs
    group: Name = "own"
    section: Line = "own"
    stages: list[StageCost] | None = None
    images_per_second: Annotated[float, Range(0, 1e12)] | None = None
    overhead_share: Annotated[float, Range(0, 1)] | None = None
    rollbacks: Count = 0
    skipped_images: Count = 0
    deviations: dict[Key, list[Any]] | None = None
    data: dict[Name, Fingerprint] | None = None
    classes: list[str] | None = None
    answers: AnswersFile | None = None
    commit: Hash | None = None
    dirty: bool = False
    versions: dict[Name, Line] | None = None
    hardware: Hardware | None = None


@dataclass
class EpochLine:
    """A line of metrics.jsonl."""

    epoch: Epochs
    loss: float
    top1: Percent
    ema_top1: Percent


@dataclass
class CurvePoint(EpochLine):
    """A line of curves.csv."""

    step: Name
    seed: Seed


@dataclass
class ProgressFile:
    """progress.json."""

    step: Count
    steps: Annotated[int, Range(1, 10**18)]
    epoch: Count
    epochs: Epochs
    top1: Percent | None
    seconds: Seconds = 0.0


@dataclass
class JobFile:
    """job.json."""

    job: Annotated[str, Text(re.compile(r"[0-9_]{1,40}"), "the number of a SLURM job")]
    submitted: Seconds
    found: Nanoseconds
    tries: Count


@dataclass
class ExitFile:
    """exit.json."""

    code: Annotated[int, Range(-255, 255)]


@dataclass
class FailureFile:
    """failure.json."""

    error: str


@dataclass
class DeviationsFile:
    """deviations.json."""

    config_hash: Line
    deviations: dict[Key, list[Any]]


@dataclass
class ClockSeconds:
    compute: Seconds
    data: Seconds
    other: Seconds
    evaluation: Seconds


@dataclass
class CheckpointFile:
    """checkpoint.pt: a state of training, and the run that it belongs to."""

    config_hash: Hash
    identity: dict[Key, Any]
    step: Count
    loss_sum: float
    skipped: Count
    rollbacks: Count
    seconds: Seconds
    history: list[EpochLine]
    clock: ClockSeconds
    processes: Count
    model: dict[str, Any]
    ema: dict[str, Any]
    optimizer: dict[str, Any]
    versions: dict[Name, Line] | None = None
    data: dict[Name, Fingerprint] | None = None
    answers: AnswersFile | None = None
