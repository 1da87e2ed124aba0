"""The files of a run: one directory per run, finished exactly when its result is there."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from roadmap.answers import refuse_other_counts
from roadmap.config.aliases import renamed_result
from roadmap.config.compose import as_yaml, load
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest, identity, listed_difference
from roadmap.config.schema import Config
from roadmap.config.steps import Deviations, deviations
from roadmap.config.values import Name, conform
from roadmap.config.yaml_files import CONF
from roadmap.errors import ConfigError, one_line, require
from roadmap.files import in_use, write_atomic
from roadmap.run_files import DeviationsFile, EpochLine, FailureFile, Fingerprint, Metric, ResultFile

CONFIG = "config.yaml"
DEVIATIONS = "deviations.json"
METRICS = "metrics.jsonl"
CHECKPOINT = "checkpoint.pt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"
PROGRESS = "progress.json"
LOG = "log.txt"
FAILURE = "failure.json"
RESULT = "result.json"
DATA = "data.json"  # fingerprint of the images, for data sets whose name does not identify them
JOB = "job.json"  # cluster job, until the sweep has seen its end
PUBLISHED = "published"  # directory of committed results in results/, one directory per study
TRACKING = "tracking"  # directory of the tracker's files and of its process's log
TUNING = "tuning.json"  # of a tuned study, in its directory: the setting chosen for each step, and why
EXIT = "exit.json"  # how the training command of a job ended

CHECKSUM = "checksum"


def run_directory(config: Config) -> Path:
    """The directory of a run."""
    return Path(config.runs_dir).expanduser() / config.study.name / config.step.name / f"seed-{config.seed}"


def begun(directory: Path) -> bool:
    """Whether a directory holds trained weights or a result, which belong to one set of images."""
    return any((directory / name).exists() for name in (RESULT, CHECKPOINT, PREVIOUS_CHECKPOINT))


def refuse_other_data(where: Path, there: dict[str, Any] | None, now: dict[str, Any] | None) -> None:
    """Refuse two different fingerprints of images; older runs have none."""
    if there and now and there != now:
        raise ConfigError(
            f"{where} is of other images: {count_of(there)}, and now {count_of(now)}\n"
            "set data.root=..., or give these images a study of their own (study.name=...)"
        )


def count_of(data: dict[str, Any]) -> str:
    """A fingerprint of images as text."""
    return ", ".join(
        f"{part}: {of['images']:,} in {of['classes']:,} classes, names {of['names'][:8]}" for part, of in data.items()
    )


def refuse_other_run(config: Config, data: dict[str, Any] | None = None) -> None:
    """Refuse, by a ConfigError, a run whose directory holds another run, or the same one of other images than `data`.

    A directory without any work, for example because an illegal option stopped the run, may be taken over.
    """
    directory = run_directory(config)
    _refuse_other_step(config)
    if not _worked(directory):
        return
    different = listed_difference(identity(to_dict(load(directory / CONFIG))), identity(to_dict(config)))
    if different:
        raise ConfigError(
            f"{directory} holds another run: {different}\n"
            "give this one a study of its own (study.name=...), or move the old directory away"
        )
    if begun(directory):
        refuse_other_data(directory, read_json(directory / DATA, dict[Name, Fingerprint]), data)


def _worked(directory: Path) -> bool:
    """Whether a run has begun in a directory, however little it has done."""
    left = begun(directory) or any((directory / name).exists() for name in (METRICS, JOB))
    return (directory / CONFIG).exists() and (left or in_use(directory))


def _refuse_other_step(config: Config) -> None:
    """Refuse a step whose name another step has in this study, by a run of another seed (ConfigError)."""
    own = run_directory(config)
    for other in sorted(own.parent.glob("seed-*")):
        if other == own or not _worked(other):
            continue
        there = load(other / CONFIG)
        if different := listed_difference(*(identity(to_dict(replace(each, seed=0))) for each in (there, config))):
            raise ConfigError(
                f"{other} holds another step of this name: {different}\n"
                "give this one a name of its own (step.name=...) or a study of its own (study.name=...)"
            )
        return  # further seeds were compared with this one


def prepare(config: Config, data: dict[str, Any] | None = None) -> Path:
    """Freeze a run in its directory, which must not hold another run or a run of other images."""
    refuse_other_run(config, data)
    return freeze(config)


def freeze(config: Config) -> Path:
    """Write config.yaml and deviations.json; the directory must be free or hold the same run.

    A finished run keeps the configuration that its result was produced with.
    """
    directory = run_directory(config)
    directory.mkdir(parents=True, exist_ok=True)
    text, path = as_yaml(config), directory / CONFIG
    same = path.exists() and path.read_text() == text
    if (directory / RESULT).exists() if same else finished(directory, config):
        return directory
    if not same:
        write_atomic(path, text)
    if _stored_deviations(directory, config) is None:
        write_json(directory / DEVIATIONS, {"config_hash": digest(to_dict(config)), "deviations": deviations(config)})
    return directory


def read_deviations(directory: Path, config: Config) -> Deviations | None:
    """The deviations from the paper of a frozen run; None if they are neither stored nor computable without conf/."""
    stored = _stored_deviations(directory, config)
    return deviations(config) if stored is None and CONF.is_dir() else stored


def _stored_deviations(directory: Path, config: Config) -> Deviations | None:
    stored = read_json(directory / DEVIATIONS, DeviationsFile)
    if stored is None or stored["config_hash"] != digest(to_dict(config)):
        return None
    return {key: (here, paper) for key, (here, paper) in stored["deviations"].items()}


def read_json(path: Path, kind: Any = dict[str, Any]) -> dict[str, Any] | None:
    """A JSON object of a kind from a file; None if there is no file or no whole object in it.

    A ConfigError names a key whose value is not of the kind.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    checked(content, kind, path)
    return content


def checked(content: Any, kind: Any, where: object) -> None:
    """`conform`, with the name of the file that the content is from."""
    try:
        conform(content, kind, "")
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics file, none without a file; a ConfigError names a line that is wrong."""
    lines = []
    for number, text in enumerate(path.read_bytes().splitlines() if path.exists() else (), start=1):
        where = f"{path}: line {number}"
        try:
            lines.append(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"{where}: not metrics: {one_line(text.decode(errors='replace')[:60])}") from error
        checked(lines[-1], EpochLine, where)
        checked(lines[-1], dict[Metric, float], where)
    return lines


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON object atomically."""
    write_atomic(path, json.dumps(content, indent=1) + "\n")


def failure_reason(directory: Path) -> str:
    """The error that a run recorded when it failed; empty if it recorded none."""
    try:
        failure = read_json(directory / FAILURE, FailureFile)
    except ConfigError as error:
        return str(error)
    return str(failure["error"]) if failure else ""


def json_lines(rows: list[dict[str, Any]]) -> str:
    """Rows as text, one JSON object per line."""
    return "".join(json.dumps(row) + "\n" for row in rows)


def checksum(result: dict[str, Any]) -> str:
    """SHA-256 of a result without its checksum."""
    content = {key: value for key, value in result.items() if key != CHECKSUM}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def write_result(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """Write a result with its checksum; returns it as `read_result` will."""
    whole = result | {CHECKSUM: checksum(result)}
    write_json(path, whole)
    return whole


def read_result(path: Path) -> dict[str, Any]:
    """A result, in the names of today whenever it was written; a ConfigError if it is not whole or was changed."""
    written = read_json(path, dict[str, Any])
    if written is None:
        raise ConfigError(f"{path}: not a result: no whole JSON object")
    try:
        config = written.get("config")
        result = renamed_result(written) if isinstance(config, dict) else written
        checked(result, ResultFile, f"{path}: not a result")
        for key, found in (("config_hash", digest(written["config"])), (CHECKSUM, checksum(written))):
            if written.get(key) != found:
                raise ConfigError(f"{path}: damaged: its {key} is not that of its content")
    except RecursionError as error:
        raise ConfigError(f"{path}: not a result: nested too deeply") from error
    _refuse_contradictions(result, path)
    return result


def _refuse_contradictions(result: dict[str, Any], path: Path) -> None:
    """Refuse a result whose parts contradict each other."""
    config, images = result["config"], result["test_images"]
    for key in ("study", "regime", "step"):
        there = config[key]["name"]
        require(result[key] == there, f"{path}: {key}", result[key], f"{there}, as in its config")
    require(result["seed"] == config["seed"], f"{path}: seed", result["seed"], f"{config['seed']}, as in its config")
    require("top1" in result["metrics"], f"{path}: metrics", " ".join(result["metrics"]), "top1 and others")
    for name, count in result["counts"].items():
        require(count <= images, f"{path}: counts.{name}", count, f"up to test_images={images}")
        share, stated = 100 * count / images, result["metrics"].get(name, 100 * count / images)
        require(
            abs(share - stated) < 1e-6, f"{path}: metrics.{name}", stated, f"{share:.6g}, by counts and test_images"
        )
    refuse_other_counts(result, f"{path}: answers")


def finished(directory: Path, config: Config | None = None) -> bool:
    """Whether a run directory holds a result that counts; `counted_result` says why one does not."""
    try:
        counted_result(directory, config)
    except ConfigError:
        return False
    return True


def counted_result(directory: Path, config: Config | None = None) -> dict[str, Any]:
    """The sound result in a run directory, of the configuration that is frozen there, and of `config`.

    A ConfigError says why there is none that counts.
    """
    path = directory / RESULT
    if not path.exists():
        raise ConfigError(f"{directory}: not finished, it has no {RESULT}: the command that began it continues it")
    result, frozen = read_result(path), load(directory / CONFIG)
    for wanted in (to_dict(each) for each in (frozen, config) if each):
        # The step's parent, group and title are not in the hash.
        if result["config_hash"] != digest(wanted) or result["config"]["step"] != wanted["step"]:
            different = listed_difference(identity(result["config"]), identity(wanted)) or "parent, group or title"
            raise ConfigError(f"{path}: the result of another configuration: {different}")
    return result


def published(config: Config, data: dict[str, Any] | None = None, results_dir: Path = Path("results")) -> Path | None:
    """The published result of a run, if the run has not begun; None without one.

    A ConfigError if it is damaged, of another run, or of other images than those of the fingerprint `data`.
    """
    path = results_dir / PUBLISHED / config.study.name / "runs" / config.step.name / f"seed-{config.seed}" / RESULT
    if not path.exists() or begun(run_directory(config)):
        return None
    result, own = read_result(path), to_dict(config)
    if different := listed_difference(identity(result["config"]), identity(own)):
        raise ConfigError(f"{path} is of another run: {different}; study.reuse_published=false trains this one")
    refuse_other_data(path, result.get("data"), data)
    return path if result["config"]["step"] == own["step"] else None


def find_results(study: Path) -> list[Path]:
    """All result files of a study's directory, by step and seed."""
    return sorted(study.glob(f"*/seed-*/{RESULT}"))
