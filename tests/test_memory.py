"""training.memory_gb: what does not fit is computed otherwise, and comes out the same."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers.smoke import ROOT, keeps_to, tiny

from roadmap.config.schema import Config
from roadmap.data.loader import load, micro_batches
from roadmap.errors import ConfigError
from roadmap.training import memory
from roadmap.training.distributed import World
from roadmap.training.loop import train_step
from roadmap.training.memory import Room
from roadmap.training.state import State, initial_state

CPU = torch.device("cpu")
LARGE = ["data.img_size=64", "budget.batch_size=64", "budget.bn_batch_size=64", "study.name=large"]
SAY_PEAK = "import torch; from roadmap.training.device import peak_memory_mb as mb; print(mb(torch.device('cpu')))"


def stepped(config: Config, room: Room) -> tuple[State, float]:
    """A state after one step in some room, and its loss."""
    state = initial_state(config, CPU, World())
    state.room = room
    memory.apply(room, state.model)
    passes = micro_batches(load(config, train=True), config.recipe, config.data, seed=0, epoch=0)
    return state, train_step(state, passes, config, per_epoch=10)


def gradients(state: State) -> torch.Tensor:
    return torch.cat([p.grad.flatten().double() for p in state.model.parameters() if p.grad is not None])


def test_a_pass_in_parts_adds_up_to_the_whole(tmp_path: Path, data_root: Path) -> None:
    config = tiny(tmp_path, data_root, "+step=layer_norm", "recipe.drop_path=0.5", "recipe.mixup_prob=1")
    (whole, loss), (divided, same) = (stepped(config, Room(images)) for images in (None, 5))
    assert same == pytest.approx(loss, rel=1e-6)
    one, other = gradients(whole), gradients(divided)
    assert 0 < (one - other).norm() < 1e-6 * one.norm()


def test_blocks_computed_twice_leave_the_same_bits(tmp_path: Path, data_root: Path) -> None:
    config = tiny(tmp_path, data_root, "+step=gelu", "recipe.drop_path=0.5")
    (once, loss), (twice, same) = (stepped(config, Room(twice=twice)) for twice in (False, True))
    assert same == loss and torch.equal(gradients(once), gradients(twice))
    for (name, a), b in zip(once.model.state_dict().items(), twice.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_parts_are_few_and_alike() -> None:
    assert memory.parts(8, None) == [slice(0, 8)] == memory.parts(8, 8)
    assert [part.stop - part.start for part in memory.parts(10, 4)] == [3, 3, 4]
    assert memory.parts(3, 1) == [slice(0, 1), slice(1, 2), slice(2, 3)]


@pytest.mark.parametrize(
    ("step", "mb", "room"),
    [
        ("gelu", None, Room()),
        ("gelu", 1000, Room(64, False, 500)),
        ("gelu", 40, Room(64, True, 356)),
        ("separate_downsampling", 1000, Room(64, False, 500)),
        ("separate_downsampling", 40, Room(61, False, 355)),
    ],
)
def test_what_fits_is_found(
    step: str, mb: int | None, room: Room, tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "held_mb", lambda _device: 0.0)
    limit = [] if mb is None else [f"training.memory_gb={mb / 1000}"]
    assert initial_state(tiny(tmp_path, data_root, f"+step={step}", *LARGE, *limit), CPU, World()).room == room


def test_what_cannot_fit_is_refused_with_what_would(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "held_mb", lambda _device: 0.0)
    said = r"memory_gb=0\.01: allowed is 0\.02 or more for gelu, whose batch norm wants 64 images .*; or .*size=32,"
    with pytest.raises(ConfigError, match=said):
        initial_state(tiny(tmp_path, data_root, "+step=gelu", *LARGE, "training.memory_gb=0.01"), CPU, World())
    for enough in ("training.memory_gb=0.02", "recipe.bn_batch_size=32"):
        config = tiny(tmp_path, data_root, "+step=gelu", *LARGE, "training.memory_gb=0.01", enough)
        assert initial_state(config, CPU, World()).room.twice
    with pytest.raises(ConfigError, match=r"training\.memory_gb=-1(\.0)?: allowed is finite and more than 0"):
        tiny(tmp_path, data_root, "training.memory_gb=-1")


@pytest.mark.skipif(sys.platform != "linux", reason="Linux's account")
def test_the_peak_of_a_process_is_not_that_of_its_parent() -> None:
    large = b"x" * (600 << 20)
    said = subprocess.run([sys.executable, "-c", SAY_PEAK], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert 50 < float(said) < len(large) / 1e6


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "limit", "said"), [("gelu", 1.2, "computed twice"), ("separate_downsampling", 0.95, "images at a time")]
)
def test_a_process_keeps_to_what_is_stated(step: str, limit: float, said: str, tmp_path: Path, data_root: Path) -> None:
    own = ["data.img_size=128", "budget.batch_size=128", "budget.bn_batch_size=128", "budget.epochs=1"]
    keeps_to(limit, said, tmp_path, data_root, step, "regime=micro", *own)
