"""The life of a run as files: one directory a run, finished exactly when its result is there."""

import hashlib
import json
from pathlib import Path
from typing import Any

from roadmap.config import compose as configuration
from roadmap.config.aliases import renamed_result
from roadmap.config.identity import digest, identity, told
from roadmap.config.schema import Config
from roadmap.errors import ConfigError
from roadmap.files import in_use, write_atomic

CONFIG = "config.yaml"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.pt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"
PROGRESS = "progress.json"
LOG = "log.txt"
FAILURE = "failure.json"
RESULT = "result.json"
DATA = "data.json"  # the fingerprint of the images, where the name of a data set does not tell them
JOB = "job.json"  # of a cluster, as long as the sweep has not seen its end
TRACKING = "tracking"  # a directory: what a tracker keeps of the run, and what its process had to say
EXIT = "exit.json"  # how the training command of a job ended

CHECKSUM = "checksum"
REQUIRED = (
    "study", "regime", "step", "parent", "title", "seed", "metrics", "counts", "test_images", "params", "macs",
    "wall_seconds", "config_hash", "config",
)  # fmt: skip
"""Keys without which a file is not a result."""


def study_directory(config: Config) -> Path:
    """Where the runs of a study live."""
    return Path(config.runs_dir).expanduser() / config.study.name


def run_directory(config: Config) -> Path:
    """Where a run lives: the same for every process that works on it."""
    return directory_of(study_directory(config), config.step.name, config.seed)


def directory_of(study: Path, step: str, seed: int) -> Path:
    """Where a run lives in the directory of its study."""
    return study / step / f"seed-{seed}"


def begun(directory: Path) -> bool:
    """Whether there is anything of a run that another set of images must not be mixed with."""
    return any((directory / name).exists() for name in (RESULT, CHECKPOINT, PREVIOUS_CHECKPOINT))


def refuse_other_data(where: Path, there: dict[str, Any] | None, now: dict[str, Any] | None) -> None:
    """See that two fingerprints of images are the same, where both are known: runs of before had none.

    Raises:
        ConfigError: they are not.
    """
    if there and now and there != now:
        raise ConfigError(
            f"{where} is of other images: {count_of(there)}, and now {count_of(now)}\n"
            "say their place (data.root=...), or give these a study of their own (study.name=...)"
        )


def count_of(data: dict[str, Any]) -> str:
    """A fingerprint in words."""
    return ", ".join(
        f"{part}: {of['images']:,} in {of['classes']:,} classes, names {of['names'][:8]}" for part, of in data.items()
    )


def refuse_mixing(config: Config, data: dict[str, Any] | None = None) -> None:
    """See that a run's directory is free, or holds the same run, of the images with this fingerprint if it is known.

    Raises:
        ConfigError: another configuration lives there, and it names the keys that differ; or it is of other images.
    """
    directory = run_directory(config)
    if not (directory / CONFIG).exists() or _came_to_nothing(directory):
        return
    there, wanted = (
        configuration.to_dict(configuration.load(directory / CONFIG)),
        configuration.to_dict(config),
    )
    listed = told(identity(there), identity(wanted))
    if listed:
        raise ConfigError(
            f"{directory} holds another run: {listed}\n"
            "give this one a study of its own (study.name=...), or move the old directory away"
        )
    if begun(directory):
        refuse_other_data(directory, read_json(directory / DATA), data)


def _came_to_nothing(directory: Path) -> bool:
    """Whether a run was frozen there and left no work behind, such as one that failed at once for its words."""
    left = begun(directory) or any((directory / name).exists() for name in (METRICS, JOB))
    return not left and not in_use(directory)


def prepare(config: Config, data: dict[str, Any] | None = None) -> Path:
    """Make a run's directory and freeze its configuration there; how it is carried out may change, what it is may not.

    Raises:
        ConfigError: another configuration lives there already, or a run of other images.
    """
    refuse_mixing(config, data)
    return freeze(config)


def freeze(config: Config) -> Path:
    """`prepare` for a directory that is known to be free, or to hold the same run."""
    directory = run_directory(config)
    directory.mkdir(parents=True, exist_ok=True)
    text = configuration.as_yaml(config)
    same = (directory / CONFIG).exists() and (directory / CONFIG).read_text() == text
    if not same and not _told(directory, configuration.to_dict(config)):  # beside a result stays what it was made with
        write_atomic(directory / CONFIG, text)
    return directory


def read_json(path: Path) -> dict[str, Any] | None:
    """A JSON object from a file; None where there is no file or no whole object in it."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object, atomically."""
    write_atomic(path, json.dumps(content, indent=1) + "\n")


def checksum(result: dict[str, Any]) -> str:
    """Of all that a result says but its own checksum."""
    said = {key: value for key, value in result.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def write_result(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Write a result with its checksum; returns it as `read_result` will."""
    whole = result | {CHECKSUM: checksum(result)}
    write_json(path, whole)
    return whole


def json_lines(rows: list[dict[str, Any]]) -> str:
    """Rows as text, a JSON object a line."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def read_result(path: Path) -> dict[str, Any]:
    """A result, in the names of today whenever it was written.

    Raises:
        ConfigError: it is not a whole result, or its content was changed after it was written.
    """
    written = read_json(path)
    if written is None:
        raise ConfigError(f"{path}: not a result: no whole JSON object")
    try:
        result = renamed_result(written)
        sound = digest(written["config"]) == written["config_hash"]
    except (KeyError, TypeError, AttributeError):
        result, sound = written, False
    missing = [key for key in REQUIRED if key not in result]
    if missing:
        raise ConfigError(f"{path}: not a result: {', '.join(missing[:3])} missing")
    if not sound:
        raise ConfigError(f"{path}: damaged: config_hash does not belong to its config")
    if CHECKSUM in written and written[CHECKSUM] != checksum(written):  # the first results had none
        raise ConfigError(f"{path}: damaged: its checksum is not that of its content")
    return result


def finished(directory: Path) -> bool:
    """Whether a run directory holds a whole result of the configuration and of the step that are frozen there."""
    if not (directory / RESULT).exists():
        return False
    try:
        frozen = configuration.to_dict(configuration.load(directory / CONFIG))
        result = read_result(directory / RESULT)
    except ConfigError:
        return False
    return _is_of(result, frozen)


def _told(directory: Path, config: dict[str, Any]) -> bool:
    """Whether a directory holds the result of a configuration, and the configuration that it came from."""
    return finished(directory) and _is_of(read_result(directory / RESULT), config)


def _is_of(result: dict[str, Any], config: dict[str, Any]) -> bool:
    """Whether a result is of a configuration, and of its step with all that is said of it."""
    same_run = bool(result["config_hash"] == digest(config))
    return same_run and bool(result["config"]["step"] == config["step"])


def find_results(study: Path) -> list[Path]:
    """All result files of a study's directory, by step and seed."""
    return sorted(study.glob(f"*/seed-*/{RESULT}"))
