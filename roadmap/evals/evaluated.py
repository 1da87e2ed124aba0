"""The configuration that weights are evaluated with: what comes with them, and what words say instead."""

from collections.abc import Sequence
from typing import Any, cast

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from roadmap.config.checks import check
from roadmap.config.compose import compose, parse, to_dict
from roadmap.config.identity import under
from roadmap.config.overrides import parse_overrides
from roadmap.config.schema import Config
from roadmap.data.datasets import TEST_SETS
from roadmap.errors import ConfigError, require

SEEN_WHOLE = {"crop_pct": 1.0}
"""For ImageNet-C, as its file in conf/data says: not what a library or a run does with larger images."""


def with_options(options: Sequence[str], words: list[str]) -> Config:
    """What words ask for, else a library's options; ImageNet's test sets imply study=imagenet.

    Raises:
        ConfigError: one or two lines that name the key and the allowed values.
    """
    given = parse_overrides(words)
    test = given.get("data", "")
    fixed = {*given, *(f"data.{key}" for key in SEEN_WHOLE if test == "imagenet_c")}
    implied = ["study=imagenet"] if test in TEST_SETS and "study" not in given else []
    return compose([*implied, *(option for option in options if option.partition("=")[0] not in fixed), *words])


def elsewhere(config: Config, words: list[str]) -> Config:
    """The configuration of a run with its data at another place, on one of ImageNet's test sets, or otherwise done.

    Raises:
        ConfigError: words for anything else.
    """
    given = parse_overrides(words)
    for key in given:
        allowed = key == "data" or under(key, ("data.root", "training"))
        require(allowed, key, " ".join(words), "data.root and training.* for a run of ours")
    plain = to_dict(config)
    if test := given.get("data"):
        fits = test in TEST_SETS and config.data.name == "imagenet"
        require(fits, "data", test, f"one of {' '.join(TEST_SETS)}, for a run on imagenet")
        require("data.root" in given, "data.root", "", f"the place of {test}")
        plain["data"] |= {"name": test, "max_test": None, **(SEEN_WHOLE if test == "imagenet_c" else {})}
    changed = OmegaConf.merge(plain, OmegaConf.from_dotlist([word for word in words if not word.startswith("data=")]))
    try:
        moved = parse(cast(dict[str, Any], OmegaConf.to_container(changed)))
    except OmegaConfBaseException as error:
        raise ConfigError(f"{' '.join(words)}: {str(error).splitlines()[0]}") from error
    check(moved)
    return moved
