"""What goes wrong around a run, and what is promised for it (docs/faults.md lists all of it)."""

import contextlib
import errno
import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from helpers.photographs import plant
from helpers.powercut import Disk, lay_out
from helpers.smoke import ROOT, computed, script, tiny, words, working_on

from roadmap import runs
from roadmap.cli import run
from roadmap.config.checks import check
from roadmap.config.compose import compose, load, to_dict
from roadmap.errors import ConfigError, DataError, NoSpace
from roadmap.evals.weights import read
from roadmap.files import lock, write_atomic
from roadmap.networks.device import out_of_memory
from roadmap.training import checkpoint
from roadmap.training.progress import Progress
from roadmap.training.run import execute, reason

RUNG = "+step=gelu"
FIRST, SECOND = ({"step": step, "model": {"weight": torch.full((40,), float(step))}} for step in (1, 2))
SMALL = {"seed": 0, "step": {"name": "gelu"}, "regime": {"name": "micro"}, "recipe": {"lr": 0.1}}


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


# Writing


def test_power_cut_while_a_file_is_written_leaves_the_old_one_or_the_new(tmp_path: Path) -> None:
    (place := tmp_path / "disk").mkdir()
    path = place / "result.json"
    path.write_text("what was there before")
    disk = Disk(place)
    with disk.watched():
        write_atomic(path, "what is there now")
    assert len(disk.moments) > 4
    found = {left[path.name] for left in disk.moments}
    assert found == {b"what was there before", b"what is there now"}


def test_a_write_that_does_not_wait_for_the_disk_would_be_seen(tmp_path: Path) -> None:
    (place := tmp_path / "disk").mkdir()
    (place / "a").write_text("before")
    disk = Disk(place)
    with disk.watched():
        with (place / "b").open("w") as stream:
            stream.write("now")
        (place / "b").replace(place / "a")
    assert b"" in {left["a"] for left in disk.moments}


def test_power_cut_while_a_checkpoint_is_written_leaves_a_whole_one(tmp_path: Path) -> None:
    (place := tmp_path / "disk").mkdir()
    checkpoint.save(place, FIRST, SMALL)
    checkpoint.save(place, FIRST, SMALL)
    disk = Disk(place)
    with disk.watched():
        checkpoint.save(place, SECOND, SMALL)
    steps = []
    for number, left in enumerate(disk.moments):
        restored = checkpoint.restore(lay_out(tmp_path / str(number), left), SMALL)
        assert restored is not None
        steps.append(restored["step"])
    assert set(steps) == {1, 2}


@pytest.mark.parametrize("name", [f"{runs.CHECKPOINT}.new", runs.METRICS, runs.RESULT])
def test_disk_full_at_any_file_stops_the_run_which_goes_on_when_there_is_room(
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
def test_disk_full_on_a_real_device_is_told_in_a_line(device: Path, undisturbed: Path, data_root: Path) -> None:
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


def test_a_failure_that_cannot_be_recorded_is_told_nevertheless(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))

    def full(path: Path, *_: object) -> None:
        raise NoSpace(f"{path}: no room")

    def fail(*_: object) -> None:
        monkeypatch.setattr("roadmap.runs.write_atomic", full)
        raise ArithmeticError("the first trouble")

    monkeypatch.setattr(Progress, "step", fail)
    with pytest.raises(ArithmeticError, match="the first trouble"):
        execute(directory)
    assert not (directory / runs.FAILURE).exists()


def test_a_directory_that_cannot_be_written_is_named(device: Path, data_root: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(device)], check=True)
    process = script("train.py", *words(device / "runs", data_root, RUNG))
    output, _ = process.communicate()
    assert process.returncode == 2
    assert f"{device / 'runs'}" in output and "Read-only file system" in output
    assert "Traceback" not in output


def test_a_directory_that_vanishes_in_mid_run_stops_it_and_is_made_again(
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


# Reading


def test_any_flipped_bit_of_a_checkpoint_is_noticed_or_harmless(tmp_path: Path) -> None:
    chance = Random(0)
    (place := tmp_path / "run").mkdir()
    for state in (FIRST, SECOND):
        checkpoint.save(place, state, SMALL)
    whole = {path.name: path.read_bytes() for path in place.iterdir()}
    seen = set()
    for _ in range(400):
        for name, content in whole.items():
            (place / name).write_bytes(content)
        bits = bytearray(whole[runs.CHECKPOINT])
        bits[chance.randrange(len(bits))] ^= 1 << chance.randrange(8)
        (place / runs.CHECKPOINT).write_bytes(bits)
        restored = checkpoint.restore(place, SMALL)
        assert restored is not None
        wanted = SECOND if restored["step"] == 2 else FIRST
        assert torch.equal(restored["model"]["weight"], wanted["model"]["weight"])  # type: ignore[index]
        seen.add(restored["step"])
    assert seen == {1, 2}


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


def test_a_number_changed_in_a_result_is_not_believed_and_the_run_done_again(undisturbed: Path, tmp_path: Path) -> None:
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


def test_a_checkpoint_of_another_format_is_refused_and_kept(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 7)
        checkpoint.save(directory, FIRST, to_dict(load(directory / runs.CONFIG)))
    kept = (directory / runs.CHECKPOINT).read_bytes()
    process = script("train.py", f"run={directory}")
    output, _ = process.communicate()
    assert process.returncode == 2
    assert output.strip().splitlines()[-1] == (
        f"train: {directory / runs.CHECKPOINT}: a checkpoint of format 7, but this version reads 1: "
        "finish the run with the version that began it, or move the file away to start again"
    )
    assert (directory / runs.CHECKPOINT).read_bytes() == kept


# Code in files


class Harm:
    """Runs a command where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


def test_a_pickle_that_would_run_code_is_refused(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    harm = tmp_path / "harm"
    directory = runs.prepare(tiny(tmp_path, data_root, RUNG))
    evil = {"format": 1, "step": 5, "model": Harm(harm)}
    torch.save(evil, directory / runs.CHECKPOINT)
    (directory / runs.PREVIOUS_CHECKPOINT).write_bytes(pickle.dumps(evil))
    with zipfile.ZipFile(directory / checkpoint.NEW, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(evil))
    for name in (runs.CHECKPOINT, runs.PREVIOUS_CHECKPOINT, checkpoint.NEW):
        with pytest.raises(DataError, match=r"not a file of weights|holds code"):
            read(directory / name)
    (directory / runs.RESULT).write_bytes(pickle.dumps(evil))
    execute(directory)
    assert not harm.exists()
    assert computed(directory) == computed(undisturbed)
    pickle.loads(pickle.dumps(Harm(harm)))
    assert harm.exists(), "the pickle is as bad as it should be"


def test_a_configuration_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path = tmp_path / runs.CONFIG
    path.write_text(f"study: !!python/object/apply:os.system ['touch {tmp_path / 'harm'}']\n")
    with pytest.raises(ConfigError, match="could not determine a constructor"):
        load(path)
    assert not (tmp_path / "harm").exists()


def test_files_are_read_by_safe_readers_only() -> None:
    unsafe = re.compile(
        r"weights_only=False|yaml\.(load|unsafe_load|full_load)\(|pickle\.loads?\(|(?<![.\w])(eval|exec)\("
    )
    for path in [ROOT / "train.py", *(ROOT / "roadmap").rglob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        text = path.read_text()
        assert not unsafe.search(text), path
        assert text.count("torch.load(") == text.count("weights_only=True"), path


@pytest.mark.parametrize("name", ["../up", "a/b", "/etc", "..", ".", "", "a\nb", "~root"])
def test_a_name_that_would_leave_its_directory_is_refused(name: str) -> None:
    config = compose(["study=smoke"])
    for part, key in ((config.study, "study.name"), (config.step, "step.name")):
        kept, part.name = part.name, name
        with pytest.raises(ConfigError, match=re.escape(key)):
            check(config)
        part.name = kept


# Other processes


@pytest.mark.slow
def test_a_config_edited_during_a_sweep_is_not_looked_at(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    copy = tmp_path / "copy"
    for name in ("roadmap", "conf", "scripts"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "train.py", copy)
    arguments = words(tmp_path, data_root, "steps=[resnet,gelu]", "jobs=1")
    process = subprocess.Popen(
        [sys.executable, str(copy / "scripts" / "sweep.py"), *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=copy,
        env=os.environ | {"PYTHONPATH": str(copy)},
    )
    while process.poll() is None and not working_on(tmp_path):
        time.sleep(0.02)
    assert not (tmp_path / "tiny/gelu/seed-0" / runs.CHECKPOINT).exists(), "gelu has not begun"
    for name, old, new in (("study/smoke", "epochs: 2", "epochs: 3"), ("step/gelu", "act: gelu", "act: relu")):
        path = copy / "conf" / f"{name}.yaml"
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
    output, _ = process.communicate()
    assert process.returncode == 0, output
    assert computed(tmp_path / "tiny/gelu/seed-0") == computed(undisturbed)


def test_ctrl_c_while_a_configuration_is_read_is_not_called_an_error_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: object, **__: object) -> None:
        try:
            raise KeyboardInterrupt
        finally:  # as OmegaConf does, which then dies of what it has not made yet
            None._invalidate_flags_cache()  # type: ignore[attr-defined]

    monkeypatch.setattr("omegaconf.OmegaConf.merge", interrupted)

    def main(_: list[str]) -> int:
        try:
            compose(["study=smoke", f"runs_dir={tmp_path}"])
        except AttributeError as error:
            raise ConfigError(str(error)) from error
        return 0

    assert run("train", main, []) == 130
    assert capsys.readouterr().err == "train: interrupted\n"


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path: Path) -> None:
    code = "import sys, os, signal; from pathlib import Path; from roadmap.files import lock\n"
    code += f"with lock(Path({str(tmp_path)!r})): os.kill(os.getpid(), signal.SIGKILL)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == -signal.SIGKILL
    assert (tmp_path / ".lock").read_text().isdigit()
    with lock(tmp_path):
        assert (tmp_path / ".lock").read_text() == str(os.getpid())


@pytest.mark.slow
def test_out_of_memory_in_one_run_is_recorded_and_the_sweep_goes_on(tmp_path: Path, data_root: Path) -> None:
    # From increase_width on, the network needs terabytes.
    huge = "regime.increase_width.width=1000000"
    process = script("scripts/sweep.py", *words(tmp_path, data_root, "steps=[gelu,resnet]", "jobs=1", huge))
    output, _ = process.communicate()
    assert process.returncode == 1, output
    assert "gelu seed 0 FAILED: out of memory: " in output
    failure = runs.read_json(tmp_path / "tiny/gelu/seed-0" / runs.FAILURE)
    assert failure is not None and failure["error"].startswith("out of memory: ")
    assert runs.finished(tmp_path / "tiny/resnet/seed-0")
    assert working_on(tmp_path) == []


def test_want_of_memory_is_known_in_all_its_shapes() -> None:
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


def test_a_data_file_that_vanishes_in_mid_run_is_named_and_the_run_goes_on_when_it_is_back(
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


# The list


def test_every_fault_of_the_list_has_its_test() -> None:
    listed = re.findall(r"`(test_\w+)\.(test_\w+)`", (ROOT / "docs" / "faults.md").read_text())
    assert len(listed) > 20
    for file, name in listed:
        assert f"def {name}(" in (ROOT / "tests" / f"{file}.py").read_text(), name
