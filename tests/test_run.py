"""Faults around a run: the disk, the clock, its files."""

import contextlib
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import pytest
import torch
from helpers.photographs import plant
from helpers.smoke import computed, script, tiny, words

from roadmap import runs
from roadmap.config.compose import compose
from roadmap.errors import ConfigError, DataError, NonFiniteLoss, NoSpace
from roadmap.networks.device import out_of_memory
from roadmap.training.progress import Progress
from roadmap.training.run import execute, reason

RUNG = "+step=gelu"


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB of its own."""
    place = tmp_path / "device"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
    try:
        done = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        done = False
    if not done:
        pytest.skip("a file system can be mounted by root only")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def fill(device: Path) -> Path:
    """Leave no byte of a device; returns the file that takes them."""
    filler = device / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as stream:
        while stream.write(b"\0" * 4096):
            pass
    return filler


def at_step(number: int, what: Callable[[], object]) -> Callable[..., None]:
    """For Progress.step: do something after so many steps, once."""
    count = iter(range(1, 10_000))

    def step(*_: object) -> None:
        if next(count) == number:
            what()

    return step


@pytest.mark.parametrize("name", [f"{runs.CHECKPOINT}.new", runs.METRICS, runs.RESULT])
def test_disk_full_stops_the_run_which_resumes_when_there_is_space(
    name: str, undisturbed: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))
    fsync = os.fsync

    def full(descriptor: int) -> None:
        if f".{name}." in str(Path(f"/proc/self/fd/{descriptor}").resolve()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(NoSpace) as refusal:
            execute(directory)
    assert str(refusal.value) == (
        f"{directory / name}: No space left on device: free some and run the same command again"
    )
    assert not (directory / runs.RESULT).exists()
    execute(directory)
    assert computed(directory) == computed(undisturbed)


@pytest.mark.slow
def test_disk_full_on_a_real_device_is_reported_in_one_line(device: Path, undisturbed: Path, data_root: Path) -> None:
    arguments = words(device, data_root, RUNG)
    directory = runs.prepare(tiny(device, data_root, RUNG))
    filler = fill(device)
    process = script("train.py", *arguments)
    output, _ = process.communicate()
    assert process.returncode == 1
    assert "No space left on device: free some and run the same command again" in output
    assert "Traceback" not in output
    filler.unlink()
    assert not (directory / runs.RESULT).exists()
    execute(directory)
    assert computed(directory) == computed(undisturbed)
    assert not (directory / runs.FAILURE).exists()


def test_a_directory_that_cannot_be_written_is_named(device: Path, data_root: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(device)], check=True)
    process = script("train.py", *words(device / "runs", data_root, RUNG))
    output, _ = process.communicate()
    assert process.returncode == 2
    assert f"{device / 'runs'}" in output and "Read-only file system" in output
    assert "Traceback" not in output


def test_a_deleted_directory_stops_the_run_which_can_be_started_again(
    undisturbed: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", at_step(2, lambda: shutil.rmtree(directory)))
        with pytest.raises(FileNotFoundError, match=re.escape(str(directory))):
            execute(directory)
    assert not directory.exists()
    execute(runs.prepare(tiny(tmp_path, data_root, RUNG)))
    assert computed(directory) == computed(undisturbed)


def test_a_failure_that_cannot_be_recorded_is_still_raised(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))

    def full(path: Path, *_: object) -> None:
        raise NoSpace(f"{path}: no room")

    def fail(*_: object) -> None:
        monkeypatch.setattr("roadmap.runs.write_atomic", full)
        raise ArithmeticError("the first error")

    monkeypatch.setattr(Progress, "step", fail)
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
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG, "recipe.lr=1e30", "recipe.warmup_epochs=0"))
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
    before = runs.read_result(path)
    count = before["counts"]["top1"]
    path.write_text(path.read_text().replace(f'"top1": {count},', f'"top1": {count + 1},', 1))
    with pytest.raises(ConfigError, match=r"result\.json: damaged: its checksum is not that of its content"):
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
    for error in (
        refused.value,
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        OSError(12, "Cannot allocate memory"),
    ):
        assert out_of_memory(error) and reason(error).startswith("out of memory: ")
        assert len(reason(error).splitlines()) == 1
    assert reason(ValueError("no")) == "ValueError: no"


def test_a_clock_that_goes_backwards_changes_no_number(
    undisturbed: Path, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))
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
    asked = ["study=photos", f"data.root={root}", "data.num_classes=4", "+step=patchify_stem", "study.name=tiny"]
    asked += ["regime.img_size=32", "regime.width=4", "budget.batch_size=8", "budget.bn_batch_size=8"]
    asked += ["training.threads=1"]
    whole, disturbed = (runs.prepare(compose([*asked, f"runs_dir={tmp_path / name}"])) for name in ("whole", "other"))
    execute(whole)
    gone = root / "train" / "coffee" / "2.JPEG"
    with monkeypatch.context() as patch:
        patch.setattr(Progress, "step", at_step(3, lambda: gone.rename(tmp_path / "away")))
        with pytest.raises(DataError, match=re.escape(str(gone))):
            execute(disturbed)
    failure = runs.read_json(disturbed / runs.FAILURE)
    assert failure is not None and str(gone) in failure["error"]
    assert (disturbed / runs.CHECKPOINT).exists()
    (tmp_path / "away").rename(gone)
    execute(disturbed)
    assert computed(disturbed) == computed(whole)
