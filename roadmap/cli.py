"""The grammar that all commands share: `key=value` words and `--help`.

A command is a function `main(words: list[str]) -> int` in the module that does its work; its docstring is the help
text. `roadmap.__main__` lists the commands; `scripts/` starts the same functions.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from errno import EACCES, EEXIST, EISDIR, ELOOP, ENAMETOOLONG, ENOENT, ENOTDIR, EPERM, EROFS
from inspect import cleandoc
from pathlib import Path
from typing import cast

from roadmap.config.aliases import renamed_override
from roadmap.config.conf import ladder_of, to_dict, without_own_ladder
from roadmap.config.overrides import likely_option, parse_overrides, refuse_hydras, study_name
from roadmap.config.schema import Config, SweepOptions
from roadmap.config.step_files import read_ladder
from roadmap.config.values import conform
from roadmap.config.yaml_files import choices
from roadmap.errors import (
    ConfigError,
    DataError,
    Locked,
    NoSpace,
    causes,
    did_you_mean,
    printable,
    require,
    require_one_of,
    require_plain_name,
    shortage,
)
from roadmap.runs import PUBLISHED
from roadmap.signals import cursor_shown
from roadmap.terminal import escape_unencodable

Main = Callable[[list[str]], int]
DEFAULT_STUDY = "fashion_mnist"  # the study of conf/config.yaml
RUN_KEYS = [field.name for field in fields(Config)]
SWEEP_KEYS = [field.name for field in fields(SweepOptions)]
PATH_ERRORS = (EACCES, EPERM, EROFS, ENOENT, EEXIST, ENOTDIR, EISDIR, ENAMETOOLONG, ELOOP)
"""Errors of a path that the user gave: missing, too long, a link, something else is there, access is denied."""


def run(name: str, main: Main, words: Sequence[str]) -> int:
    """Run a command and return its exit code.

    0 success, 1 failure, 2 refused input, 130 Ctrl-C, 128 + signal number if stopped by a signal. `--help` or `-h`
    prints the docstring of `main`. Refusals are printed in one or two lines, without a traceback.
    """
    escape_unencodable()
    if any(word in ("--help", "-h") for word in words):
        print(cleandoc(main.__doc__ or name))
        return 0
    try:
        with cursor_shown():
            code = main(list(words))
        sys.stdout.flush()
        return code
    except BrokenPipeError:  # of `... | head`: the reader has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (Exception, KeyboardInterrupt) as error:
        ending = _ending(error)
        if ending is None:
            raise
        code, message = ending
        print(f"{name}: {printable(message)}", file=sys.stderr)
        return code


def options(words: Iterable[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """The defaults, updated by `key=value` words; a ConfigError for any other word or key."""
    chosen = dict(defaults)
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or key not in defaults:
            raise ConfigError(f"{word}: allowed is {_listed(defaults)}{did_you_mean(key, defaults)}")
        chosen[key] = value
    return chosen


def study_options(words: Sequence[str], defaults: Mapping[str, str]) -> dict[str, str]:
    """`options` of a command that reads a study: `runs_dir` and `results_dir` too, and the study's name as `study`.

    The name follows from the words of the study's sweep, or `study=` gives it whole. Words of a sweep that are no
    part of a study's name (jobs, data.root) change nothing. A ConfigError for an unknown word, key or study.
    """
    defaults = {**defaults, "runs_dir": "runs", "results_dir": "results"}
    own, of_sweep = split(words, defaults)
    chosen = options(own, defaults) | {"study": name_of_study(of_sweep)}
    directories = [Path(chosen[key]).expanduser() for key in ("runs_dir", "results_dir")]
    _require_study(chosen["study"], directories)
    return chosen | dict(zip(("runs_dir", "results_dir"), map(str, directories), strict=True))


def split(words: Iterable[str], own: Iterable[str], *, sweep: bool = True) -> tuple[list[str], list[str]]:
    """Words with a key in `own`, and words of a sweep (or only of a run); a ConfigError for any other word."""
    found: tuple[list[str], list[str]] = ([], [])
    known = [*own, *RUN_KEYS, *(SWEEP_KEYS if sweep else [])]
    words = [renamed_override(word) for word in words]
    refuse_hydras(words)
    for word in words:
        key, equals, _ = word.partition("=")
        if not equals or not (key in own or key.lstrip("+~").partition(".")[0] in known):
            rest = f"{'words of a sweep' if sweep else 'options of conf/'} (study=..., recipe.lr=...)"
            raise ConfigError(f"{word}: allowed is {_listed(own)}, and {rest}{likely_option(key, known)}")
        found[key not in own].append(word)
    return found


def sweep_words(words: Iterable[str]) -> tuple[SweepOptions, list[str], list[str]]:
    """The options of a sweep, the words of its cluster, and the overrides of its runs; else a ConfigError."""
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    own, rest = split(words, SWEEP_KEYS)
    own = [_names(word) if word.startswith("steps=") else word for word in own]
    tunings = [word.partition("=")[2] for word in own if word.startswith("tune=")]  # not in Hydra's grammar
    require(len(tunings) < 2, "tune", " ".join(tunings), "one option")
    own = [word for word in own if not word.startswith("tune=")]
    given = parse_overrides([*own, *rest])
    for key in {"seed", "step"} & given.keys():
        allowed = "seeds=N and steps=[NAME,...] in a sweep, or +step=NAME step.name=... for a step of your own"
        require(key == "step" and "step.name" in given, key, given[key], allowed)
    of_cluster = [word for word in rest if word.startswith("cluster.")]
    overrides = [word for word in rest if word not in of_cluster]
    try:
        merged = OmegaConf.merge(OmegaConf.structured(SweepOptions), OmegaConf.from_dotlist(own))
        chosen = cast(SweepOptions, OmegaConf.to_object(merged))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(own)}: {str(error).splitlines()[0]}") from error
    conform(to_dict(chosen), SweepOptions, "")
    require(chosen.jobs == "auto" or isinstance(chosen.jobs, int), "jobs", chosen.jobs, "auto, or a whole number")
    chosen.tune = "".join(tunings)
    return chosen, of_cluster, overrides


def _names(word: str) -> str:
    """`steps=a,b` or `steps=[a,b]` as a list of text, so that a step may be called 2024 or true."""
    names = [name.strip(" '\"") for name in word.removeprefix("steps=").strip("[]").split(",")]
    return f"steps={json.dumps([name for name in names if name])}"


def name_of_study(words: Iterable[str]) -> str:
    """The name of the study of a sweep with these words. A ConfigError if they are no words."""
    study, rest = DEFAULT_STUDY, []
    for word in words:
        if word.startswith("study="):  # may be a whole name, with the commas and equals signs that Hydra refuses
            study = word.removeprefix("study=")
        else:
            rest.append(word)
    require_plain_name("study", study)
    chosen, _, overrides = sweep_words(rest)
    given, base = parse_overrides(overrides), study.partition(",")[0]
    of_study, changes = [f"study={base}"] if base in choices("study") else [], list[str]()
    given = without_own_ladder(given, of_study)
    if "step.name" in given:  # options that make a step of one's own are no part of the name
        changes = read_ladder(ladder_of([*overrides, *of_study])).options.changes
    return study_name(study, given, design=chosen.design, own_parts=changes, tune=chosen.tune)


def choice(chosen: Mapping[str, str], key: str, allowed: Sequence[str]) -> str:
    """The value of `key`; a ConfigError if it is not in `allowed`."""
    require_one_of(key, chosen[key], allowed)
    return chosen[key]


def whole(chosen: Mapping[str, str], key: str, *, most: int = 1_000_000) -> int:
    """The value of `key` as a whole number from 1 to `most`; a ConfigError for any other."""
    value = chosen[key]
    number = int(value) if value.isdecimal() and len(value) < 20 else 0
    require(0 < number <= most, key, value, f"1 to {most}")
    return number


def positive(chosen: Mapping[str, str], key: str) -> float:
    """The value of `key` as a number more than 0, up to 1e15; a ConfigError for any other."""
    try:
        number = float(chosen[key])
    except ValueError:
        number = 0.0
    require(0 < number <= 1e15, key, chosen[key], "more than 0, up to 1e+15")
    return number


def flag(chosen: Mapping[str, str], key: str) -> bool:
    """Whether the value of `key` is true; a ConfigError if it is neither true nor false."""
    return choice(chosen, key, ("true", "false")) == "true"


def warned(lines: Sequence[str]) -> int:
    """The exit code of a command that has done its work without some bad files, which these lines name."""
    for line in lines:
        print(printable(line), file=sys.stderr)
    return 1 if lines else 0


def counted(number: float, thing: str) -> str:
    """A number of things: 1 run, 2 runs."""
    return f"{number:,g} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A duration to read: 42 s, 3 min 20 s, 5 h 12 min, 2.5 days."""
    whole, minutes = round(seconds), round(seconds / 60)
    if whole < 60:
        return f"{whole} s"
    if minutes < 60:
        return f"{whole // 60} min {whole % 60} s"
    return f"{minutes // 60} h {minutes % 60} min" if minutes < 2 * 24 * 60 else f"{seconds / 86400:.1f} days"


def _require_study(study: str, directories: Sequence[Path]) -> None:
    """Refuse a study that is neither in conf/study, with or without options, nor in one of the directories."""
    known = choices("study")
    tables = ("*/ladder.csv", f"{PUBLISHED}/*/ladder.csv")
    found = {path.parent for directory in directories for table in tables for path in directory.glob(table)}
    found |= {path.parents[1] for directory in directories for path in directory.glob("*/*/seed-*")}
    others = sorted({path.name for path in found} - {*known})
    if study in others or study.partition(",")[0] in known:
        return
    names = [*known, *others]
    raise ConfigError(f"study={study}: there is none; allowed is one of {' '.join(names)}{did_you_mean(study, names)}")


def _listed(keys: Iterable[str]) -> str:
    return " ".join(f"{key}=..." for key in keys)


def _ending(error: BaseException) -> tuple[int, str] | None:
    """Exit code and message for errors that the user can fix; None for a bug."""
    if any(isinstance(each, KeyboardInterrupt) for each in causes(error)):
        return 130, "interrupted"
    if isinstance(error, (ConfigError, DataError, Locked)):
        return 2, str(error)
    if isinstance(error, OSError) and error.errno in PATH_ERRORS and error.filename:
        return 2, f"{error.filename}: {error.strerror}"
    if failure := shortage(error):
        return 1, failure
    if isinstance(error, OSError):
        return 1, str(error) if isinstance(error, NoSpace) else f"{type(error).__name__}: {error}"
    return None
