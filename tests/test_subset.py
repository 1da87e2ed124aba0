"""data.fraction and data.holdout: stratified, nested, seeded; and training.max_steps."""

import json
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from helpers.batches import DATA
from helpers.photographs import on_folders
from helpers.smoke import computed, interrupt, prepared, tiny
from torch import Tensor

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.config.conf import to_dict
from roadmap.config.identity import digest
from roadmap.config.length import images_used, run_steps
from roadmap.config.steps import deviations
from roadmap.data.loader import load
from roadmap.data.records import fingerprint
from roadmap.data.subset import subset
from roadmap.errors import ConfigError
from roadmap.results.collate import report, rows
from roadmap.results.sources import read
from roadmap.training.recipe import learning_rate
from roadmap.training.run import execute

LABELS = torch.tensor([2, 0, 1, 0] * 25 + [2] * 100)  # 50 of class 0, 25 of 1, 125 of 2
WORDS = ["data.holdout=0.25", "data.fraction=0.5"]


def chosen(train: bool = True, **options: float) -> set[int]:
    index = subset(LABELS, replace(DATA, **options), train=train)
    assert torch.equal(index, index.sort().values)
    return {*index.tolist()}


def counts(index: set[int]) -> list[int]:
    return torch.bincount(LABELS[sorted(index)], minlength=3).tolist()


def test_a_fraction_has_its_share_of_every_class_and_larger_ones_contain_it() -> None:
    sizes = {0.01: [1, 1, 1], 0.2: [10, 5, 25], 0.5: [25, 12, 62], 1.0: [50, 25, 125]}
    parts = [chosen(fraction=fraction) for fraction in sizes]
    assert [counts(part) for part in parts] == [*sizes.values()]
    assert all(small < large for small, large in pairwise(parts))
    assert chosen(fraction=0.2) == parts[1] != chosen(fraction=0.2, subset_seed=1)
    assert counts(chosen(fraction=0.2, subset_seed=1)) == [10, 5, 25]


def test_held_out_images_are_a_share_of_every_class_and_never_trained_on() -> None:
    for fraction in (0.2, 1.0):
        train, held = (chosen(part, holdout=0.2, fraction=fraction) for part in (True, False))
        assert counts(held) == [10, 5, 25] and not train & held
        assert counts(train) == ([40, 20, 100] if fraction == 1 else [8, 4, 20])
    assert chosen(fraction=0.2, holdout=0.2) < chosen(holdout=0.2)
    assert chosen(False, fraction=0.2) == {*range(200)}, "a fraction is of the training images alone"
    with pytest.raises(ConfigError, match=r"data\.holdout=0\.5: allowed is 0 where no class has two training images"):
        subset(torch.arange(3), replace(DATA, holdout=0.5), train=False)


def test_data_in_memory_and_files_are_held_out_of_training_and_the_test_images_are_not_read(
    photographs: Path, data_root: Path, tmp_path: Path
) -> None:
    config = compose([f"data.root={data_root}", "data.holdout=0.1"])
    train, held = (load(config, train=part) for part in (True, False))
    assert [torch.bincount(part.labels).tolist() for part in (train, held)] == [[5400] * 10, [600] * 10]
    (tmp_path / "train").symlink_to(photographs / "train")  # there is no val
    config = on_folders(tmp_path, *WORDS)
    train, held = (load(config, train=part) for part in (True, False))
    assert [torch.bincount(part.labels).tolist() for part in (train, held)] == [[3] * 4, [2] * 4]
    names: list[Tensor] = [part.chosen for part in (train, held)]  # type: ignore[union-attr]
    assert not {*names[0].tolist()} & {*names[1].tolist()}
    found = fingerprint(train, held)
    assert found is not None and found["train"] == found["val"]
    assert images_used(config.data, 32, 16) == (12, 8)


def test_the_options_are_part_of_a_run_and_of_its_deviations_and_refused_beyond_their_range() -> None:
    plain, *others = (
        compose(["study=smoke", *words]) for words in ([], *([w] for w in [*WORDS, "training.max_steps=5"]))
    )
    assert len({digest(to_dict(each)) for each in (plain, *others)}) == 4
    assert [each.study.name for each in others] == [f"smoke,{w}" for w in [*WORDS, "training.max_steps=5"]]
    assert deviations(others[0])["data.holdout"] == (0.25, 0.0)
    assert deviations(others[2])["training.max_steps"] == (5, None)
    for word in ("data.fraction=0", "data.fraction=1.1", "data.holdout=1", "data.holdout=-0.1", "training.max_steps=0"):
        with pytest.raises(ConfigError, match=word.partition("=")[0]):
            compose([word])
    for given, left in ((["data.fraction=0.001"], 60), (["data.fraction=0.001", "data.holdout=0.6"], 24)):
        said = f"{' '.join(given)}: allowed is what leaves a batch of training images or more, recipe.batch_size=128"
        with pytest.raises(ConfigError, match=f"^{re.escape(said)}; now {left}$"):
            compose(given)
    with pytest.raises(ConfigError, match=r"^data\.max_train=60: allowed is"):
        compose(["data.max_train=60", "+step=gelu"])


def test_a_run_ends_after_max_steps_with_its_whole_schedule_and_resumes(tmp_path: Path, data_root: Path) -> None:
    whole, stopped = (prepared(tmp_path / n, data_root, "training.max_steps=6", "data.holdout=0.2") for n in "ab")
    result = execute(whole)
    lines = [json.loads(line) for line in (whole / runs.METRICS).read_text().splitlines()]
    config = tiny(tmp_path, data_root, "+step=gelu", "training.max_steps=6")
    assert [line["step"] for line in lines] == [4, 6] and result["epochs"] == 2
    assert lines[-1]["lr"] == learning_rate(config.recipe, step=5, steps=6) < lines[0]["lr"]
    assert [run_steps(config, per_epoch) for per_epoch in (2, 3, 4)] == [4, 6, 6]
    interrupt(stopped, 5)
    execute(stopped)
    assert computed(stopped) == computed(whole)
    found = [*read(tmp_path / "a" / "tiny", "tiny").values()]
    text = "Top-1 on 70 images that were held out of the training images (0.2 of each class), raw weights"
    assert text in report(rows(found), found)
