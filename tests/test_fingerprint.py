"""Runs of one name on different images are neither resumed, nor shown, nor put into one table."""

import shutil
from pathlib import Path

import pytest
from helpers import synthetic
from helpers.containers import write_every
from helpers.photographs import SMALL, plant
from helpers.smoke import inside

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.data.records import listed
from roadmap.errors import ConfigError
from roadmap.results.compatibility import refuse_incompatible
from roadmap.training.run import execute

TINY = [*SMALL, "regime=nano", "study.name=one", "data.num_classes=4", "+step=patchify_stem"]


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two sets of photographs of the same classes, as many of each, but one by another name."""
    here = tmp_path_factory.mktemp("trees")
    tree, other = plant(here / "tree", train=4, val=2), plant(here / "other", train=4, val=2)
    (other / "train" / "coffee" / "1.JPEG").rename(other / "train" / "coffee" / "one.JPEG")
    return tree, other


def test_the_fingerprint_depends_on_names_and_not_on_places(trees: tuple[Path, Path], tmp_path: Path) -> None:
    found = [write_every(tree, tmp_path / name) for name, tree in zip("ab", trees, strict=True)]
    for source in ("imagefolder", "webdataset", "parquet"):
        ours, theirs = (listed(compose(words[source]).data) for words in found)
        assert ours and theirs and ours["train"] | {"names": ""} == {"images": 16, "classes": 4, "names": ""}, source
        assert ours["train"] != theirs["train"] and ours["val"] == theirs["val"], source
        moved = shutil.copytree(found[0][source][1].partition("=")[2], tmp_path / "moved" / source)
        assert listed(compose([*found[0][source], f"data.root={moved}"]).data) == ours, source
    assert listed(compose(["study=smoke"]).data) is None


def test_a_run_is_not_shown_or_resumed_for_other_images(trees: tuple[Path, Path], tmp_path: Path) -> None:
    tree, other = trees
    words = [*TINY, f"runs_dir={tmp_path / 'runs'}", "training.threads=1"]
    ours, theirs = (compose([*words, f"data.root={root}"]) for root in trees)
    directory = runs.prepare(ours)
    assert execute(directory)["data"] == listed(ours.data)
    frozen = (directory / runs.CONFIG).read_bytes()
    message = f"{directory} is of other images: train: 16 in 4 classes, names "

    def asked(root: Path, code: int, said: str) -> None:
        found, output = inside("train.py", *words, f"data.root={root}")
        assert found == code and said in output, output

    asked(other, 2, message)
    asked(shutil.copytree(tree, tmp_path / "moved"), 0, "top-1 ")
    assert (directory / runs.CONFIG).read_bytes() == frozen
    (directory / runs.RESULT).unlink()
    asked(other, 2, message)
    assert (directory / runs.CONFIG).read_bytes() == frozen
    (directory / runs.DATA).unlink()  # the checkpoint knows it too
    runs.prepare(theirs)
    with pytest.raises(ConfigError, match="is of other images: train: 16 in 4 classes"):
        execute(directory)
    shutil.rmtree(directory)
    runs.prepare(theirs)  # nothing is there any more


def test_a_sweep_over_other_images_is_refused_before_it_writes(trees: tuple[Path, Path], tmp_path: Path) -> None:
    words = [*TINY[:-1], f"runs_dir={tmp_path / 'runs'}", f"data.root={trees[0]}"]
    directory = runs.prepare(compose(words))
    runs.write_json(directory / runs.DATA, listed(compose(words).data) or {})
    (directory / runs.CHECKPOINT).touch()
    code, output = inside("scripts/sweep.py", *words, f"data.root={trees[1]}", "steps=[resnet,gelu]")
    assert code == 2 and "is of other images" in output, output
    assert [path.name for path in (tmp_path / "runs" / "one").glob("[a-z]*")] == ["resnet"]


def test_one_table_is_of_one_set_of_images() -> None:
    part = {"images": 10_000, "classes": 10, "names": "0123456789abcdef"}
    known = [synthetic.result(step) | {"data": {"val": part}} for step in ("training_recipe", "stage_ratio")]
    refuse_incompatible(known)
    refuse_incompatible([known[0], synthetic.result("stage_ratio")])  # from before there were fingerprints
    with pytest.raises(ConfigError, match=r"^data: val: 10,000 in 10 classes, names 01234567 in .*: one table is one"):
        refuse_incompatible([known[0], known[1] | {"data": {"val": part | {"names": "fedcba9876543210"}}}])
    with pytest.raises(ConfigError, match=r"^test_images: 10000 in training_recipe/seed-0; 9 in stage_ratio/seed-0"):
        refuse_incompatible([known[0], known[1] | {"test_images": 9}])
