"""The YAML files of conf/, read strictly: what a person writes wrong is refused in one line that names the file."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import EnumType
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from roadmap.errors import ConfigError, did_you_mean

CONF = Path(__file__).resolve().parents[1] / "conf"
LARGEST = 100_000  # bytes of a file
Data = dict[str, Any]
KINDS: Mapping[Any, str] = {
    int: "a whole number", float: "a number", str: "text (5 as text is '5')", bool: "true or false", NoneType: "null",
    list: "a list", dict: "keys with values",
}  # fmt: skip


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader without aliases, which can grow without bound, and without repeated keys."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            event = self.peek_event()
            raise yaml.constructor.ConstructorError(
                None, None, f"write the value, not *{event.anchor}", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        found = super().construct_mapping(node, deep=deep)
        if len(found) < len(node.value):
            raise yaml.constructor.ConstructorError(None, None, "a key stands here twice", node.start_mark)
        return found


# YAML 1.1 reads 1e-3, without a dot, as text.
_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+"), list("-+0123456789"))


def conf_files(folder: Path) -> Iterator[Path]:
    """The YAML files of a folder and of those in it, in order; hidden ones are those of editors and systems."""
    for path in sorted(folder.rglob("*.yaml")):
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(folder).parts):
            yield path


def choices(group: str) -> list[str]:
    """Names of the files in a folder of conf/."""
    return [path.stem for path in conf_files(CONF / group) if path.parent == CONF / group]


def shown(path: Path) -> str:
    """A file of conf/ as messages name it: conf/study/smoke.yaml."""
    return f"conf/{path.relative_to(CONF)}"


def read_yaml(path: Path) -> Data:
    """The content of a file of conf/ (ConfigError: it is none, too large, or not keys with values)."""
    try:
        size = path.stat().st_size
        content = _Loader(path.read_text(encoding="utf-8")).get_single_data() if size <= LARGEST else {}
    except yaml.MarkedYAMLError as error:
        where = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        raise ConfigError(f"{shown(path)}: {where}{error.problem}") from error
    except (OSError, ValueError, yaml.YAMLError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())[:200]
        raise ConfigError(f"{shown(path)}: {why}") from error
    if size > LARGEST:
        raise ConfigError(f"{shown(path)}: {size:,} bytes: allowed are {LARGEST:,}")
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError(f"{shown(path)}: {'it is empty' if content is None else 'allowed are keys with values'}")
    return content


def check_types(kind: Any, value: Any, *, file: str, key: str) -> None:
    """Refuse a value that is not of a type of the schema, and a key that a dataclass of it does not have.

    An interpolation (${...}) may become anything and is left to Hydra.
    """
    if get_origin(kind) in (Union, UnionType):
        kind = NoneType if value is None else get_args(kind)[0]
    if is_dataclass(kind):
        known = [field.name for field in fields(kind)]
        _require(isinstance(value, dict), file, f"{key}={value}", f"keys with values: {' '.join(known)}")
        for name in value:
            _require(name in known, file, f"{key}.{name}", f"one of {' '.join(known)}{did_you_mean(str(name), known)}")
        kinds = _hints(kind)
    else:
        _require(_fits(kind, value), file, f"{key}={value}", _described(kind))
        kinds = dict.fromkeys(value, get_args(kind)[1]) if get_origin(kind) is dict else {}
        for name in kinds:
            _require(isinstance(name, str), file, f"{key}.{name}", f"text as a key: '{name}'")
    for name in kinds:
        if name in value:
            check_types(kinds[name], value[name], file=file, key=f"{key}.{name}".removeprefix("."))


_hints = cache(get_type_hints)


def _require(ok: bool, file: str, what: str, allowed: str) -> None:
    if not ok:
        raise ConfigError(f"{file}: {what.removeprefix('.')}: allowed is {allowed}")


def _fits(kind: Any, value: Any) -> bool:
    if isinstance(value, str) and "${" in value:
        return True
    if get_origin(kind) is list:
        return isinstance(value, list) and all(_fits(get_args(kind)[0], each) for each in value)
    if isinstance(kind, EnumType):
        return value in kind.__members__
    return type(value) in ((int, float) if kind is float else (get_origin(kind) or kind,))


def _described(kind: Any) -> str:
    if isinstance(kind, EnumType):
        return f"one of {' '.join(kind.__members__)}"
    return KINDS.get(get_origin(kind) or kind, str(kind))
