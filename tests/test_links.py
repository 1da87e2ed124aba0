"""Places that libraries write to, delete in or lock: none of them is a link to somebody's files."""

import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from helpers.photographs import small
from helpers.smoke import inside, prepared
from PIL import Image

from roadmap import runs
from roadmap.config.schema import Tracking
from roadmap.data.fetch import fetch
from roadmap.data.records import find
from roadmap.data.resize import Resized, resize
from roadmap.errors import DataError
from roadmap.sweep.plan import make_plan
from roadmap.sweep.slurm import executor
from roadmap.tracking.sidecar import mirrored
from roadmap.tracking.trackers import Record, open_tracker, scratch

LINK = "a link, through which somebody's file might be written: remove it"


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """Somebody's folder, which must stay as it is."""
    folder = tmp_path / "victim"
    for name in ("tmp", "tensorboard", "wandb"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text("somebody's")
    return folder


def unchanged(victim: Path) -> bool:
    return sorted(path.name for path in victim.rglob("*") if path.is_file()) == ["file"] * 3


def test_a_run_is_not_mirrored_through_a_link(
    victim: Path, tmp_path: Path, data_root: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    directory = prepared(tmp_path, data_root)
    (directory / runs.TRACKING).symlink_to(victim)
    with mirrored(directory, Tracking.tensorboard):
        pass
    assert f"not mirrored: [Errno 40] {LINK}: '{directory / runs.TRACKING}'" in capfd.readouterr().err
    (directory / runs.METRICS).touch()
    code, said = inside("scripts/push.py", "study=tiny", f"runs_dir={tmp_path}", "tracking=tensorboard")
    assert code == 2 and f"{directory / runs.TRACKING}: {LINK}" in said
    assert unchanged(victim)


def test_folders_of_a_tracker_that_are_links_are_replaced(victim: Path, tmp_path: Path) -> None:
    (place := tmp_path / "tracking").mkdir()
    for name in ("tmp", "tensorboard"):
        (place / name).symlink_to(victim / name)
    with scratch(place):
        open_tracker(Tracking.tensorboard, Record("a", "a", "a", "run", {}), place, live=False).close(None)
    assert unchanged(victim) and list((place / "tensorboard").iterdir()) and not (place / "tensorboard").is_symlink()


def test_slurm_jobs_are_not_written_through_a_link(victim: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    plan = make_plan(["study=smoke", f"runs_dir={tmp_path}", "cluster=slurm", "steps=resnet"])
    plan.study.mkdir()
    (plan.study / "slurm").symlink_to(victim)
    with pytest.raises(OSError, match=LINK):
        executor(plan)
    assert unchanged(victim)


@pytest.mark.parametrize("name", ["cifar-10-python.tar.gz", "cifar-10-batches-py"])
def test_torchvision_downloads_nothing_through_a_link(victim: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / name).symlink_to(victim / "tmp" / "file" if name.endswith("gz") else victim)
    with pytest.raises(OSError, match=LINK):
        fetch("cifar10", tmp_path)
    assert unchanged(victim)


def test_shards_are_not_fetched_through_a_link(victim: Path, tmp_path: Path) -> None:
    place = tmp_path / "cache" / "shards" / "localhost:1"
    place.mkdir(parents=True)
    (place / "train.tar.temp1").symlink_to(victim / "tmp" / "file")
    words = ["data=webdataset", "data.train=http://localhost:1/train.tar", f"data.cache={tmp_path / 'cache'}"]
    with pytest.raises(DataError, match=LINK):
        find(small(["data.root=.", *words]).data, "train")
    assert unchanged(victim)


@pytest.mark.parametrize("name", ["parquet", "_a.lock"])
def test_tables_are_not_unpacked_through_a_link(victim: Path, tmp_path: Path, name: str) -> None:
    pq.write_table(
        pa.Table.from_pylist([{"image": {"bytes": b"x", "path": None}, "label": 0}]), tmp_path / "train.parquet"
    )
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / name).symlink_to(victim)
    words = ["data=parquet", f"data.root={tmp_path}", f"data.cache={tmp_path / 'cache'}", "data.num_classes=1"]
    with pytest.raises(OSError, match=LINK):
        find(small(words).data, "train")
    assert unchanged(victim)


def test_a_resized_copy_is_not_written_through_a_link(victim: Path, tmp_path: Path) -> None:
    (tmp_path / "source" / "train" / "cat").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(tmp_path / "source" / "train" / "cat" / "a.png")
    wanted = Resized(str(tmp_path / "source"), 4, 90, ("train",))
    (tmp_path / "to" / "train").mkdir(parents=True)
    (tmp_path / "to" / "train" / "cat").symlink_to(victim)
    (tmp_path / "to" / "resized.json").write_text(
        f'{{"source": "{tmp_path / "source"}", "short_side": 4, "quality": 90, "parts": ["train"]}}'
    )
    with pytest.raises(OSError, match=LINK):
        list(resize(wanted, tmp_path / "to", workers=1))
    assert unchanged(victim)
