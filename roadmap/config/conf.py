"""The files of conf/, composed by Hydra and cached: a composed configuration as plain data."""

import contextlib
import csv
import hashlib
import json
import os
import re
import time
from enum import Enum, EnumType
from functools import cache
from importlib.metadata import version
from pathlib import Path
from shutil import rmtree
from types import UnionType
from typing import TYPE_CHECKING, Any, Union, cast, get_args, get_origin, get_type_hints

from roadmap.config.identity import flatten
from roadmap.config.overrides import LADDER, explain, with_placeholders
from roadmap.config.schema import BatchRule, Config
from roadmap.config.step_files import naming_file, read_ladder
from roadmap.config.yaml_files import CONF, Data, conf_files, read_yaml, shown
from roadmap.errors import ConfigError, require
from roadmap.files import write_atomic

if TYPE_CHECKING:
    from omegaconf import DictConfig

FORMULAS = ("budget", "shrink", "share", "scaled")
OTHER_FORMULA = re.compile(rf"\$\{{(?!\s*({'|'.join(FORMULAS)}):)([^}}]*?:|\s*\$\{{)")
"""Interpolations by other functions than these: of Hydra and OmegaConf, which read the environment or the time."""
DAYS_KEPT = 30
WHOLE = "# @package _global_"
STEP = "+step="


def reference(name: str) -> list[dict[str, str]]:
    """The rows of a table of published numbers, a file of roadmap/reference/."""
    path = CONF.with_name("reference") / f"{name}.csv"
    return list(csv.DictReader(path.read_text().splitlines()))


def composed(overrides: list[str]) -> Data:
    """The configuration of these overrides as plain data, typed and resolved; missing values are "???".

    Without +step=NAME it is that of the start of the study's ladder. Composing takes a tenth of a second and Hydra's
    import more, so its outcome is kept in the user's cache directory under everything it depends on: the overrides
    except paths and names, conf/, this package's schema, the versions of Hydra and OmegaConf. A ConfigError names the
    key and the allowed values in one or two lines.
    """
    words, paths = with_placeholders(overrides)
    text = _read(_cache_path(words)) or _compose_step(words)
    for placeholder, path in paths.items():
        text = text.replace(placeholder, json.dumps(path)[1:-1])
    return cast(Data, json.loads(text))


def ladder_of(overrides: list[str]) -> str:
    """The name of the ladder of a study: study.ladder as given, else as the study's file has it."""
    given = dict(word.split("=", 1) for word in overrides if "=" in word)
    if LADDER in given:
        return given[LADDER].strip("'\"")
    words = [f"study={given['study']}"] if "study" in given else []
    kept = _cache_path(["no step", *words])
    return cast(str, json.loads(_read(kept) or _compose(words, kept))["study"]["ladder"])


def without_own_ladder(given: dict[str, str], study: list[str]) -> dict[str, str]:
    """Overrides without study.ladder, if it is the ladder that the study of the word `study` has anyway."""
    same = LADDER in given and given[LADDER].strip("'\"") == ladder_of(study)
    return {key: value for key, value in given.items() if not (same and key == LADDER)}


def _compose_step(overrides: list[str]) -> str:
    """The configuration of a step, for which Hydra is given the changes of all steps to it as one file."""
    from hydra.core.config_store import ConfigStore

    ladder = read_ladder(ladder_of(overrides))
    rest = [word for word in overrides if not word.startswith(STEP)]
    name = next((word.removeprefix(STEP) for word in overrides if word not in rest), ladder.start)
    ConfigStore.instance().store("chain", ladder.content(name), group="step", package="_global_")
    with naming_file(ladder.chain(name), [word.partition("=")[0].lstrip("+") for word in rest]):
        return _compose([*rest, f"{STEP}chain"], _cache_path(overrides))


def _compose(overrides: list[str], kept: Path) -> str:
    """A configuration as JSON, which is kept in a file of the cache."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _register()
    _check_files()
    try:
        with initialize_config_dir(version_base="1.3", config_dir=str(CONF)):
            raw = cast(Data, OmegaConf.to_container(compose("config", overrides)))
        if found := OTHER_FORMULA.search(str(raw)):
            raise ConfigError(f"{found[0]}...}}: allowed is one of {' '.join(f'${{{name}:...}}' for name in FORMULAS)}")
        data = typed(raw)
        for key, value in flatten(data).items():
            require("${" not in str(value), key, value, "no ${ but in a reference to another option, as ${recipe.lr}")
        text = json.dumps(data)
    except (HydraException, OmegaConfBaseException, ValueError) as error:  # ValueError: Hydra's checks of overrides
        raise ConfigError(explain(error, overrides)) from error
    _write(kept, text)
    return text


def typed(raw: Data) -> Data:
    """Plain data with the types and defaults of the schema, interpolations resolved; else an OmegaConfBaseException."""
    from omegaconf import OmegaConf

    merged = OmegaConf.merge(_register(), raw)
    OmegaConf.resolve(cast("DictConfig", merged))
    return cast(Data, OmegaConf.to_container(merged, enum_to_str=True))


def instance(kind: Any, value: Any) -> Any:
    """A dataclass of the schema from the plain data that `typed` returns."""
    if value is None or kind is Any:
        return value
    if get_origin(kind) in (Union, UnionType):
        return instance(get_args(kind)[0], value)
    if get_origin(kind) is list:
        return [instance(get_args(kind)[0], each) for each in value]
    if get_origin(kind) is dict:
        return {key: instance(get_args(kind)[1], each) for key, each in value.items()}
    if isinstance(kind, EnumType):
        return kind[value]
    return kind(**{k: instance(_hints(kind)[k], v) for k, v in value.items()}) if isinstance(value, dict) else value


def to_dict(value: Any) -> Any:
    """A dataclass of the schema as plain data: the inverse of `instance`."""
    if isinstance(value, Enum):
        return value.name
    if isinstance(value, list):
        return [to_dict(each) for each in value]
    items = value.items() if isinstance(value, dict) else vars(value).items() if hasattr(value, "__dict__") else None
    return value if items is None else {key: to_dict(each) for key, each in items}


_hints = cache(get_type_hints)


def budget(key: str, published: Any, *, _root_: "DictConfig") -> Any:
    """The study's budget of `key`, or the published value where the study has none."""
    value = _root_.budget[key]
    return published if value is None else value


def shrink(published: float, neutral: float = 0.0, *, _root_: "DictConfig") -> float:
    """The published strength, linearly towards the neutral value: all of it at budget.strength 1, none at 0."""
    strength = _root_.budget.strength
    return published * strength + neutral * (1 - strength)


def share(part: float, whole: float, *, _root_: "DictConfig") -> float:
    """The share part/whole of this run's epochs."""
    return _root_.recipe.epochs * part / whole


def scaled(lr: float, *, _root_: "DictConfig") -> float:
    """The published learning rate, scaled to this run's batch size by recipe.batch_rule."""
    recipe = _root_.recipe
    power = {BatchRule.linear: 1.0, BatchRule.sqrt: 0.5}.get(recipe.batch_rule, 0.0)
    return lr * (recipe.batch_size / recipe.lr_base_size) ** power


@cache
def _register() -> "DictConfig":
    """The schema. Hydra knows it, and OmegaConf the formulas that conf/ writes as ${name:...}, from now on."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    schema: DictConfig = OmegaConf.structured(Config)
    ConfigStore.instance().store("schema", schema)
    for formula in (budget, shrink, share, scaled):
        OmegaConf.register_new_resolver(formula.__name__, formula, replace=True)
    return schema


@cache
def _check_files() -> None:
    """Refuse a file that Hydra would end in a traceback or hang on, before Hydra reads it."""
    for path in conf_files(CONF):
        read_yaml(path)
        if path.parent == CONF / "study" and not path.read_text().lstrip().startswith(WHOLE):
            raise ConfigError(
                f"{shown(path)}: the first line of a study is {WHOLE}, since it sets options of all groups"
            )


@cache
def _fingerprint() -> str:
    """A hash of everything but the overrides that a composed configuration depends on."""
    total = hashlib.sha256(f"{version('hydra-core')} {version('omegaconf')}".encode())
    for path in [*conf_files(CONF), *sorted(Path(__file__).parent.glob("*.py"))]:
        content = path.read_bytes()
        total.update(f"\0{'/'.join(path.parts[-3:])} {len(content)}\0".encode() + content)
    return total.hexdigest()[:16]


def _cache_path(overrides: list[str]) -> Path:
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    name = hashlib.sha256("\0".join(overrides).encode(errors="surrogateescape")).hexdigest()[:16]
    return Path(home).expanduser() / "convnet-roadmap" / _fingerprint() / f"{name}.json"


def _read(path: Path) -> str | None:
    """What `_write` wrote; None where nothing was written or it is damaged."""
    try:
        digest, _, text = path.read_text().partition("\n")
    except (OSError, ValueError):
        return None
    return text if digest == hashlib.sha256(text.encode()).hexdigest() else None


def _write(path: Path, text: str) -> None:
    """Keep a composed configuration, and remove those of files that have changed since; without a cache all works."""
    with contextlib.suppress(OSError):
        if not path.parent.is_dir():
            path.parent.mkdir(parents=True, exist_ok=True)
            for other in path.parents[1].iterdir():
                if other.stat().st_mtime < time.time() - DAYS_KEPT * 86400:
                    rmtree(other, ignore_errors=True)
        write_atomic(path, f"{hashlib.sha256(text.encode()).hexdigest()}\n{text}")
