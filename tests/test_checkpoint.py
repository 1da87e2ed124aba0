"""Checkpoints that are damaged, or of something else."""

import os
import pickle
import zipfile
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from helpers.powercut import power_cuts
from helpers.smoke import computed, inside, interrupt, tiny

from roadmap import runs
from roadmap.config.compose import load
from roadmap.config.conf import to_dict
from roadmap.errors import ConfigError, DataError
from roadmap.networks.weight_files import read
from roadmap.training import checkpoint, provenance
from roadmap.training.run import execute

REST = dict.fromkeys(("loss_sum", "skipped", "rollbacks", "seconds"), 0) | {"history": [], "processes": 1}
REST |= {"clock": dict.fromkeys(("compute", "data", "other", "evaluation"), 0.0), "ema": {}, "optimizer": {}}
FIRST, SECOND = (REST | {"step": step, "model": {"weight": torch.full((40,), float(step))}} for step in (1, 2))
SMALL = {
    "seed": 0,
    "study": {"name": "small"},
    "step": {"name": "gelu"},
    "regime": {"name": "micro"},
    "recipe": {"lr": 0.1},
}


class Harm:
    """Runs a command where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.path}",)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A directory with two checkpoints, of steps 1 and 2."""
    (directory := tmp_path / "run").mkdir()
    for state in (FIRST, SECOND):
        checkpoint.save(directory, state, SMALL)
    return directory


def test_power_cut_while_a_checkpoint_is_written_leaves_a_whole_one(place: Path, tmp_path: Path) -> None:
    checkpoint.save(place, FIRST, SMALL)
    checkpoint.save(place, FIRST, SMALL)
    with power_cuts(place) as moments:
        checkpoint.save(place, SECOND, SMALL)
    steps = set()
    for number, left in enumerate(moments):
        (directory := tmp_path / str(number)).mkdir()
        for name, content in left.items():
            (directory / name).write_bytes(content)
        steps.add(checkpoint.restore(directory, SMALL)["step"])  # type: ignore[index]
    assert steps == {1, 2}


def test_any_flipped_bit_of_a_checkpoint_is_noticed_or_harmless(place: Path) -> None:
    chance = Random(0)
    whole = {path.name: path.read_bytes() for path in place.iterdir()}
    seen = set()
    for _ in range(200):
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


@pytest.mark.parametrize(
    "damage", ["truncated", b"", b"no archive at all" * 1000, "removed"], ids=["truncated", "empty", "text", "removed"]
)
def test_a_damaged_checkpoint_is_noticed_and_the_one_before_used(damage: str | bytes, place: Path) -> None:
    path = place / runs.CHECKPOINT
    if damage == "removed":
        path.unlink()
    else:
        path.write_bytes(damage if isinstance(damage, bytes) else path.read_bytes()[: path.stat().st_size // 2])
    assert checkpoint.restore(place, SMALL)["step"] == 1  # type: ignore[index]


def test_a_checkpoint_of_another_configuration_is_refused_with_the_difference(place: Path) -> None:
    kept = (place / runs.CHECKPOINT).read_bytes()
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: a checkpoint of another run: seed \(0 there, now 1\)"):
        checkpoint.restore(place, SMALL | {"seed": 1})
    assert (place / runs.CHECKPOINT).read_bytes() == kept


def test_a_checkpoint_of_another_format_is_refused_and_kept(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, "+step=gelu"))
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 7)
        checkpoint.save(directory, FIRST, to_dict(load(directory / runs.CONFIG)))
    kept = (directory / runs.CHECKPOINT).read_bytes()
    code, said = inside("train.py", f"run={directory}")
    remedy = "finish the run with the version that began it, or move the file away to start again\n"
    assert code == 2 and said.endswith(f"a checkpoint of format 7, but this version reads 1: {remedy}")
    assert f"\ntrain: {directory / runs.CHECKPOINT}: " in f"\n{said}"
    assert (directory / runs.CHECKPOINT).read_bytes() == kept


def test_a_pickle_that_would_run_code_is_refused(undisturbed: Path, tmp_path: Path, data_root: Path) -> None:
    harm = tmp_path / "harm"
    directory = runs.prepare(tiny(tmp_path, data_root, "+step=gelu"))
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


def test_a_run_resumed_under_another_version_of_torch_records_both(
    tmp_path: Path, data_root: Path, capsys: pytest.CaptureFixture[str], undisturbed: Path
) -> None:
    directory = runs.prepare(tiny(tmp_path, data_root, "+step=gelu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(provenance, "version", lambda name: "1.0.0" if name == "torch" else version(name))
        interrupt(directory, 2)
    for _ in range(2):  # a second resume adds nothing
        capsys.readouterr()
        result = execute(directory)
        (directory / runs.RESULT).unlink()
        said = capsys.readouterr().out
    assert f"; trained under torch 1.0.0 and {version('torch')}\n" in said
    assert result["versions"] == provenance.versions() | {"torch": f"1.0.0 and {version('torch')}"}
    assert result["counts"] == runs.read_result(undisturbed / runs.RESULT)["counts"]
