"""The YAML files of conf/, read strictly: what a person writes wrong is refused in one line that names the file."""

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from roadmap.config.values import conform, options
from roadmap.errors import ConfigError, did_you_mean, require

CONF = Path(__file__).resolve().parents[1] / "conf"
LARGEST = 100_000  # bytes of a file
Data = dict[str, Any]


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


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, which quotes what `_Loader` would take for a number."""


for _each in (_Loader, _Dumper):  # YAML 1.1 reads 1e-3, without a dot, as text
    _each.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+[eE][-+]?\d+$"), list("-+0123456789"))


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


def parse_yaml(text: str) -> Any:
    """YAML as plain data, without aliases and repeated keys (yaml.YAMLError, ValueError, RecursionError)."""
    return _Loader(text).get_single_data()


def to_yaml(content: Data) -> str:
    """Plain data as YAML, which `parse_yaml` reads."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False)


def read_yaml(path: Path) -> Data:
    """The content of a file of conf/ (ConfigError: it is none, too large, or not keys with values)."""
    try:
        size = path.stat().st_size
        content = parse_yaml(path.read_text(encoding="utf-8")) if size <= LARGEST else {}
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


def check_options(kind: type, values: Any, where: str) -> None:
    """Refuse options that a dataclass of the schema does not have, and values that are not of their kind.

    Options may be missing. An interpolation (${...}) may become anything and is left to Hydra.
    """
    known = [field.name for field in fields(kind)]
    allowed = f"keys with values: {' '.join(known)}"
    require(isinstance(values, dict), where, "null" if values is None else values, allowed)
    for key, value in values.items():
        if key not in known:
            listed = " ".join(known) + did_you_mean(str(key), known)
            raise ConfigError(f"{where}.{key}: allowed is one of {listed}")
        if "${" not in str(value):
            conform(value, options(kind)[key], f"{where}.{key}")
