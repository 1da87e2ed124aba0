"""Composed configurations: cached under everything they depend on, and never trusted if damaged."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from roadmap.config import conf
from roadmap.config.compose import compose
from roadmap.config.conf import composed, instance, to_dict, typed
from roadmap.config.schema import Config, Init
from roadmap.errors import ConfigError

WORDS = ["study=smoke", "+step=gelu"]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache directory of the user."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_a_composed_configuration_is_read_from_the_cache(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = composed(WORDS)
    assert len([*cache.rglob("*.json")]) == 2, "its study, which names the ladder, and the step"
    monkeypatch.setattr("hydra.compose", None)  # is not called
    assert composed(WORDS) == first
    assert to_dict(compose(WORDS)) == first | {"study": first["study"]}


@pytest.mark.parametrize("damage", [b"", b"{}", b"\xff\xfe", b"cut"])
def test_a_damaged_entry_is_composed_again(damage: bytes, cache: Path) -> None:
    first = composed(WORDS)
    (path,) = (path for path in cache.rglob("*.json") if '"gelu"' in path.read_text())
    whole = path.read_bytes()
    path.write_bytes(whole[:-20] if damage == b"cut" else damage)
    assert composed(WORDS) == first
    assert path.read_bytes() == whole
    path.write_bytes(whole.replace(b'"gelu"', b'"relu"'))
    assert composed(WORDS) == first


def test_other_files_of_conf_are_another_cache_and_none_is_needed(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = composed(WORDS)
    monkeypatch.setattr(conf, "_fingerprint", lambda: "other")
    assert composed(WORDS) == first
    assert len({path.parent for path in cache.rglob("*.json")}) == 2
    shutil.rmtree(cache)
    cache.write_text("a file, not a directory")
    assert composed(WORDS) == first


def test_the_environment_is_not_read_and_no_refusal_is_cached(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET", "oc.env")
    for value in (
        "${oc.env:SECRET}",
        "${now:%Y}",
        "a/${ oc.env:SECRET}",
        "${${study.name}:1}",
        "${shrink:${oc.env:SECRET}}",
    ):
        with pytest.raises(ConfigError, match=r"allowed is one of \$\{budget:...\}"):
            composed([f"runs_dir='{value}'"])
    with pytest.raises(ConfigError, match="recipe/nope"):
        composed(["recipe=nope"])
    assert not any("oc.env" in path.read_text() for path in cache.rglob("*.json"))
    assert len([*cache.rglob("*.json")]) == 1, "the study alone"


def test_plain_data_becomes_a_configuration_and_back() -> None:
    data = composed(WORDS)
    config = instance(Config, data)
    assert config.recipe.init is Init.torch and config.regime.steps["stage_ratio"].depths == [3, 3, 9, 3]
    assert to_dict(config) == data == typed(data)


def test_importing_the_package_is_light() -> None:
    code = "import sys, roadmap; print(len(roadmap.steps())); sys.exit(any(m in sys.modules for m in {}))"
    heavy = ("hydra", "omegaconf", "torch", "pandas", "matplotlib")
    assert subprocess.run([sys.executable, "-c", code.format(heavy)], check=False).returncode == 0
