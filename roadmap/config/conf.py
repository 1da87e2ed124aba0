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
from roadmap.config.overrides import explain, with_placeholders
from roadmap.config.schema import BatchRule, Config
from roadmap.errors import ConfigError, require
from roadmap.files import write_atomic

if TYPE_CHECKING:
    from omegaconf import DictConfig

CONF = Path(__file__).resolve().parents[1] / "conf"
FORMULAS = ("budget", "shrink", "share", "scaled")
OTHER_FORMULA = re.compile(rf"\$\{{(?!\s*({'|'.join(FORMULAS)}):)([^}}]*?:|\s*\$\{{)")
"""Interpolations by other functions than these: of Hydra and OmegaConf, which read the environment or the time."""
DAYS_KEPT = 30
Data = dict[str, Any]


def choices(group: str) -> list[str]:
    """Names of the files in a folder of conf/."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def reference(name: str) -> list[dict[str, str]]:
    """The rows of a table of published numbers, a file of roadmap/reference/."""
    path = CONF.with_name("reference") / f"{name}.csv"
    return list(csv.DictReader(path.read_text().splitlines()))


def composed(overrides: list[str]) -> Data:
    """The configuration of these overrides as plain data, typed and resolved; missing values are "???".

    Composing takes a quarter of a second, so its outcome is kept in the user's cache directory under everything it
    depends on: the overrides except paths and names, conf/, this package's schema, the versions of Hydra and OmegaConf.
    A ConfigError names the key and the allowed values in one or two lines.
    """
    words, paths = with_placeholders(overrides)
    text = _read(_cache_path(words)) or _compose(words)
    for placeholder, path in paths.items():
        text = text.replace(placeholder, json.dumps(path)[1:-1])
    return cast(Data, json.loads(text))


def _compose(overrides: list[str]) -> str:
    """A configuration as JSON, which is kept in the cache."""
    from hydra import compose, initialize_config_dir
    from hydra.errors import HydraException
    from omegaconf import OmegaConf
    from omegaconf.errors import OmegaConfBaseException

    _register()
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
    _write(_cache_path(overrides), text)
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
def _fingerprint() -> str:
    """A hash of everything but the overrides that a composed configuration depends on."""
    total = hashlib.sha256(f"{version('hydra-core')} {version('omegaconf')}".encode())
    for path in sorted([*CONF.rglob("*.yaml"), *Path(__file__).parent.glob("*.py")]):
        content = path.read_bytes()
        total.update(f"\0{path.parent.name}/{path.name} {len(content)}\0".encode() + content)
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
