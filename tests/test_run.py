"""Faults around a run: the disk, the clock, its files."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
import torch
from helpers.photographs import plant, small
from helpers.smoke import at_step, computed, finished, inside, prepared, words

from roadmap import runs
from roadmap.errors import ConfigError, DataError, NonFiniteLoss, NoSpace, shortage
from roadmap.training.run import execute, reason


@pytest.fixture
def directory(tmp_path: Path, data_root: Path) -> Path:
    """The directory of a run that has not begun, and which ends as `undisturbed` does."""
    return prepared(tmp_path, data_root)


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    place = tmp_path / "device"
    place.mkdir()
    if subprocess.run(f"mount -t tmpfs -o size=8m tmpfs {place}", shell=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


@pytest.mark.parametrize("name", [f"{runs.CHECKPOINT}.new", runs.METRICS, runs.RESULT])
def test_disk_full_stops_the_run_which_resumes_when_there_is_space(
    name: str, undisturbed: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if f".{name}." in str(Path(f"/proc/self/fd/{descriptor}").resolve()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NoSpace) as refusal:
            execute(directory)
    told = "No space left on device: free some and run the same command again"
    assert str(refusal.value) == f"{directory / name}: {told}"
    assert not (directory / runs.RESULT).exists()
    execute(directory)
    assert computed(directory) == computed(undisturbed)


@pytest.mark.slow
def test_disk_full_on_a_real_device_is_reported_in_one_line(device: Path, undisturbed: Path, data_root: Path) -> None:
    directory = prepared(device, data_root)
    filler = device / "filler"  # leaves no byte
    subprocess.run(["dd", "if=/dev/zero", f"of={filler}", "bs=4096"], stderr=subprocess.DEVNULL, check=False)
    code, output = finished("train.py", f"run={directory}")
    assert code == 1 and "No space left on device: free some and run the same command again" in output
    filler.unlink()
    assert not (directory / runs.RESULT).exists()
    execute(directory)
    assert computed(directory) == computed(undisturbed)
    assert not (directory / runs.FAILURE).exists()


def test_a_directory_that_cannot_be_written_is_named(device: Path, data_root: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(device)], check=True)
    code, output = inside("train.py", *words(device / "runs", data_root))
    assert code == 2 and f"{device / 'runs'}" in output and "Read-only file system" in output


def test_a_deleted_directory_stops_the_run_which_can_be_started_again(
    undisturbed: Path, directory: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: shutil.rmtree(directory))
        with pytest.raises(FileNotFoundError, match=re.escape(str(directory))):
            execute(directory)
    assert not directory.exists()
    execute(prepared(tmp_path, data_root))
    assert computed(directory) == computed(undisturbed)


def test_a_failure_that_cannot_be_recorded_is_still_raised(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: object) -> None:
        raise NoSpace(f"{path}: no room")

    def fail() -> None:
        monkeypatch.setattr("roadmap.runs.write_atomic", full)
        raise ArithmeticError("the first error")

    at_step(monkeypatch, 1, fail)
    with pytest.raises(ArithmeticError, match="the first error"):
        execute(directory)
    assert not (directory / runs.FAILURE).exists()


def test_a_signal_does_not_end_the_record_of_a_failure(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torchrun sends it to the other processes of a run as soon as one is gone."""

    def signalled(error: Exception) -> str:
        signal.raise_signal(signal.SIGTERM)
        return str(error)

    heard: list[int] = []
    monkeypatch.setattr("roadmap.training.run.reason", signalled)
    directory = prepared(tmp_path, data_root, "recipe.lr=1e30", "recipe.warmup_epochs=0")
    before = signal.signal(signal.SIGTERM, lambda number, _frame: heard.append(number))
    try:
        with pytest.raises(NonFiniteLoss):
            execute(directory)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert (directory / runs.FAILURE).exists() and not heard


def test_a_changed_result_is_refused_and_the_run_repeated(undisturbed: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(undisturbed, tmp_path / "run"))
    path = directory / runs.RESULT
    whole, count = path.read_text(), runs.read_result(path)["counts"]["top1"]
    for text, complaint in (
        ("", "no whole JSON object"),
        ("{}", "missing"),
        (whole[:-20], "no whole JSON object"),
        (whole.replace('"kernel_size": 7', '"kernel_size": 9'), "config_hash"),
        (whole.replace(f'"top1": {count},', f'"top1": {count + 1},', 1), "damaged: its checksum is not that of its c"),
        (whole.replace('"checksum"', '"other"'), "damaged: its checksum is not that of its content"),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError, match=rf"result\.json: .*{complaint}"):
            runs.read_result(path)
    assert not runs.finished(directory)
    execute(directory)
    assert computed(directory) == computed(undisturbed)


def test_any_flipped_bit_of_a_result_is_noticed(undisturbed: Path, tmp_path: Path) -> None:
    content = json.dumps(json.loads((undisturbed / runs.RESULT).read_text()), indent=1).encode()
    wanted, chance = runs.read_result(undisturbed / runs.RESULT), Random(0)
    start = content.index(b'"checksum"')  # its own name aside: without it a result is one of before there was any
    for _ in range(400):
        bits = bytearray(content)
        bits[chance.randrange(start)] ^= 1 << chance.randrange(8)
        (tmp_path / runs.RESULT).write_bytes(bits)
        try:
            found = runs.read_result(tmp_path / runs.RESULT)
        except ConfigError:
            continue
        assert found == wanted


def test_all_forms_of_out_of_memory_are_recognized() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(1 << 50)
    out = torch.OutOfMemoryError("CUDA out of memory")
    for error in (refused.value, MemoryError(), out, OSError(12, "Cannot allocate memory")):
        assert shortage(error) == reason(error) and reason(error).startswith("out of memory: ")
        assert len(reason(error).splitlines()) == 1
    assert reason(ValueError("no")) == "ValueError: no"


def test_a_clock_that_goes_backwards_changes_no_number(
    undisturbed: Path, directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = iter(range(2_000_000_000, 0, -3600))
    monkeypatch.setattr(time, "time", lambda: next(now))
    result = execute(directory)
    assert computed(directory) == computed(undisturbed)
    assert result["wall_seconds"] > 0 and result["images_per_second"] > 0
    for line in (directory / runs.METRICS).read_text().splitlines():
        assert json.loads(line)["training_seconds"] > 0


def test_a_deleted_image_stops_the_run_which_resumes_when_it_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = plant(tmp_path / "photos", train=4, val=1)
    asked = [f"data.root={root}", "data.num_classes=4", "study.name=tiny", "regime.width=4", "budget.epochs=2"]
    whole, disturbed = (runs.prepare(small(asked, f"runs_dir={tmp_path / name}")) for name in ("whole", "other"))
    execute(whole)
    gone = root / "train" / "coffee" / "2.JPEG"
    with monkeypatch.context() as patch:
        at_step(patch, 3, lambda: gone.rename(tmp_path / "away"))
        with pytest.raises(DataError, match=re.escape(str(gone))):
            execute(disturbed)
    assert str(gone) in (runs.read_json(disturbed / runs.FAILURE) or {})["error"]
    assert (disturbed / runs.CHECKPOINT).exists()
    (tmp_path / "away").rename(gone)
    execute(disturbed)
    assert computed(disturbed) == computed(whole)
