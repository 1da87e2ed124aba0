"""Kinds of plain data: what `conform` refuses, and that every number of an option has a finite range."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, is_dataclass
from enum import Enum
from typing import Annotated, Any, get_args, get_type_hints

import pytest

from roadmap.config.compose import compose
from roadmap.config.schema import MISSING, Config, SweepOptions
from roadmap.config.values import Line, Name, Range, conform
from roadmap.errors import ConfigError
from roadmap.sweep.cluster import ClusterConfig, read_cluster
from roadmap.sweep.plan import make_plan


def numbers(kind: Any, where: str = "", rules: tuple[Any, ...] = ()) -> Iterator[tuple[str, list[Range]]]:
    """Every number in a kind with its ranges."""
    if is_dataclass(kind):
        for name, hint in get_type_hints(kind, include_extras=True).items():
            yield from numbers(hint, f"{where}.{name}")
    elif kind in (int, float):
        yield where, [rule for rule in rules if isinstance(rule, Range)]
    elif hasattr(kind, "__metadata__"):
        yield from numbers(kind.__origin__, where, kind.__metadata__)
    else:
        for each in get_args(kind):
            yield from numbers(each, where)


@pytest.mark.parametrize(("kind", "least"), [(Config, 55), (SweepOptions, 2), (ClusterConfig, 11)])
def test_every_number_of_an_option_has_a_finite_range(kind: type, least: int) -> None:
    found = list(numbers(kind))
    assert len(found) >= least
    for where, ranges in found:
        assert len(ranges) == 1 and math.isfinite(ranges[0].low) and math.isfinite(ranges[0].high), where


ENDLESS = {
    "training.threads=1000000": "training.threads=1000000: allowed is 1 to 1024",
    "recipe.ratio=[1,inf]": "recipe.ratio=inf: allowed is a number, 0.01 to 100",
    "data.std=[inf]": "data.std=inf: allowed is a number, 1e-06 to 1000",
    "data.mean=[nan]": "data.mean=nan: allowed is a number, -1000 to 1000",
    "data.img_size=1000000": "data.img_size=1000000: allowed is 32 to 16384",
    "model.width=9999999": "model.width=9999999: allowed is 1 to 65536",
    "data.num_classes=1000000000": "data.num_classes=1000000000: allowed is 1 to 1000000",
    f"training.eval_batch_size={10**20}": f"training.eval_batch_size={10**20}: allowed is a whole number, 1 to 1000000",
    f"recipe.epochs={10**23}": f"recipe.epochs={10**23}: allowed is a whole number, 1 to 100000",
    f"budget.epochs={'9' * 5000}": f"budget.epochs={'9' * 5000}: Exceeds the limit",
    "recipe.lr_base_size=0": "recipe.lr_base_size=0: allowed is 1 to 1000000",  # by which the learning rate is divided
    "recipe.aa=rand-n999999": "recipe.aa=rand-n999999: allowed is none, or timm's notation",
}


@pytest.mark.parametrize("word", ENDLESS, ids=lambda word: word[:40])
def test_a_number_beyond_its_range_is_refused_with_the_range(word: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        compose([word])
    assert str(refusal.value).startswith(ENDLESS[word])


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("jobs=1000000000", "jobs=1000000000: allowed is 1 to 10000"),
        ("seeds=1000000000", "seeds=1000000000: allowed is 1 to 1000"),
        ("cluster.time=1000000000", "cluster.time=1000000000: allowed is 30 to 527040"),
        ("cluster.mem_gb=inf", "cluster.mem_gb=inf: allowed is a number, more than 0, up to 100000 or null"),
    ],
)
def test_a_number_of_a_sweep_is_refused_with_its_range(word: str, said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        make_plan(["study=smoke", word])
    assert str(refusal.value) == said
    assert read_cluster("local", ["cluster.retries=0"]).retries == 0


def test_billions_of_shards_are_refused_before_their_names_are_made() -> None:
    shards = ["study=imagenet", "data=webdataset", "data.val=v.tar"]
    assert compose([*shards, "data.train=a-{000..999}-{0..99}.tar"]).data.name == "webdataset"
    for pattern in (
        "{0..999999999}.tar",
        "{0..9999}{0..9999}.tar",
        f"a{'{1,2,3,4}' * 10}.tar",
        "{0.." + "9" * 400 + "}",
    ):
        with pytest.raises(ConfigError, match=r"^data\.train=.*: allowed is up to 100,000 shards$"):
            compose([*shards, f"data.train={pattern}"])


class Colour(Enum):
    red = "red"


@dataclass
class Inner:
    share: Annotated[float, Range(0, 1, below=True)] = 0.0


@dataclass
class Outer:
    name: Name
    note: Line | None = None
    counts: dict[str, int] | None = None
    colour: Colour = Colour.red
    inner: list[Inner] = MISSING


GOOD: dict[str, Any] = {"name": "a,b=[c]", "inner": [{"share": 0}], "counts": {"a": 3}, "more": object()}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": "a/b"}, "f.name=a/b: allowed is letters, digits and _ . , = + -"),
        ({"name": "a\nb"}, r"f.name=a\nb: allowed is letters, digits and _ . , = + -"),
        ({"name": 5}, "f.name=5: allowed is text, letters, digits and _ . , = + -"),
        ({"note": "a\x1b[2J"}, r"f.note=a\x1b[2J: allowed is one line without control characters"),
        ({"counts": {"a": True}}, "f.counts.a=True: allowed is a whole number"),
        ({"counts": {"a": 10**400}}, f"f.counts.a=1{'0' * 56}...: allowed is a whole number"),
        ({"counts": [1]}, "f.counts=[1]: allowed is named values or null"),
        ({"colour": "blue"}, "f.colour=blue: allowed is one of red"),
        ({"inner": [{"share": 1}]}, "f.inner.share=1: allowed is at least 0, below 1"),
        ({"inner": [{"share": math.nan}]}, "f.inner.share=nan: allowed is a number, at least 0, below 1"),
        ({"inner": None}, "f.inner=null: allowed is a list: named values"),
    ],
)
def test_data_of_another_kind_is_refused_with_key_value_and_what_is_allowed(change: dict[str, Any], said: str) -> None:
    conform(GOOD, Outer, "f")
    with pytest.raises(ConfigError) as refusal:
        conform(GOOD | change, Outer, "f")
    assert str(refusal.value) == said


def test_a_key_without_a_default_is_needed() -> None:
    with pytest.raises(ConfigError, match=r"^f\.inner is missing$"):
        conform({"name": "a"}, Outer, "f")
