"""Options of a script as key=value words, like those of a run."""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from roadmap.config.schema import Config
from roadmap.config.steps import CONF
from roadmap.errors import ConfigError, did_you_mean
from roadmap.sweep.plan import Options, study_name

OF_A_SWEEP = {"cluster", *(field.name for kind in (Config, Options) for field in fields(kind))}


def options(words: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """The defaults with what the words say instead.

    Raises:
        ConfigError: a word that is not key=value, or an unknown key.
    """
    chosen = dict(defaults)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in defaults:
            raise ConfigError(f"{word}: allowed is {_listed(defaults)}")
        chosen[key] = value
    return chosen


def study_options(words: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """`options` of a script that looks at a study, with runs_dir and results_dir; and as `study` the study's name.

    It follows from the same words that its sweep was given, or `study=` says it whole. Words of a sweep that name no
    study, such as jobs or data.root, change nothing.

    Raises:
        ConfigError: a word that is not key=value, an unknown key, or a study that is not to be found.
    """
    defaults = {**defaults, "runs_dir": "runs", "results_dir": "results"}
    own, of_sweep = apart(words, defaults)
    chosen = options(own, defaults) | {"study": study_name(of_sweep)}
    for key in ("runs_dir", "results_dir"):
        chosen[key] = str(Path(chosen[key]).expanduser())
    require_study(chosen["study"], [Path(chosen["runs_dir"]), Path(chosen["results_dir"])])
    return chosen


def apart(words: Sequence[str], own: Mapping[str, str]) -> tuple[list[str], list[str]]:
    """A script's own words, and those that a sweep takes.

    Raises:
        ConfigError: a word that is not key=value, or neither's.
    """
    found: tuple[list[str], list[str]] = ([], [])
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals or not (key in own or key.lstrip("+~").partition(".")[0] in OF_A_SWEEP):
            allowed = f"study=... {_listed(own)}, and the words of a sweep"
            raise ConfigError(f"{word}: allowed is {allowed}{did_you_mean(key, [*own, *OF_A_SWEEP])}")
        found[key not in own].append(word)
    return found


def require_study(study: str, places: Sequence[Path]) -> None:
    """See that a study is one of conf/study, with options or without, or has a directory in one of some places.

    Raises:
        ConfigError: it is none, with those there are.
    """
    known = sorted(path.stem for path in (CONF / "study").glob("*.yaml"))
    held = {path.parent for place in places for path in place.glob("*/ladder.csv")}
    held |= {path.parents[1] for place in places for path in place.glob("*/*/seed-*")}
    there = sorted({path.name for path in held} - {*known})
    if study in there or study.partition(",")[0] in known:
        return
    names = [*known, *there]
    raise ConfigError(f"study={study}: there is none; allowed is one of {' '.join(names)}{did_you_mean(study, names)}")


def _listed(keys: Mapping[str, str]) -> str:
    return " ".join(f"{key}=..." for key in keys)
