"""training.memory_gb: a micro-batch that does not fit is computed otherwise, with the same result."""

from pathlib import Path

import pytest
import torch
from helpers.smoke import keeps_to, tiny

from roadmap.config.schema import Config
from roadmap.data.loader import load, micro_batches
from roadmap.errors import ConfigError
from roadmap.training import memory
from roadmap.training.distributed import World
from roadmap.training.loop import train_step
from roadmap.training.memory import MemoryPlan
from roadmap.training.state import State, initial_state

CPU = torch.device("cpu")
LARGE = ["data.img_size=64", "budget.batch_size=64", "budget.bn_batch_size=64", "study.name=large"]


def stepped(config: Config, plan: MemoryPlan) -> tuple[State, float]:
    """The state after one step under a plan, and its loss."""
    state = initial_state(config, CPU, World())
    state.plan = plan
    memory.apply(plan, state.model)
    batches = micro_batches(load(config, train=True), config.recipe, config.data, seed=0, epoch=0)
    return state, train_step(state, batches, config, steps=10 * config.recipe.epochs)


def gradients(state: State) -> torch.Tensor:
    return torch.cat([p.grad.flatten().double() for p in state.model.parameters() if p.grad is not None])


def test_chunks_add_up_to_their_micro_batch(tmp_path: Path, data_root: Path) -> None:
    config = tiny(tmp_path, data_root, "+step=layer_norm", "recipe.drop_path=0.5", "recipe.mixup_prob=1")
    (whole, loss), (split, same) = (stepped(config, MemoryPlan(chunk)) for chunk in (None, 5))
    assert same == pytest.approx(loss, rel=1e-6)
    one, other = gradients(whole), gradients(split)
    assert 0 < (one - other).norm() < 1e-6 * one.norm()


def test_gradient_checkpointing_gives_the_same_bits(tmp_path: Path, data_root: Path) -> None:
    config = tiny(tmp_path, data_root, "+step=gelu", "recipe.drop_path=0.5")
    (kept, loss), (again, same) = (stepped(config, MemoryPlan(checkpointing=on)) for on in (False, True))
    assert same == loss and torch.equal(gradients(kept), gradients(again))
    for (name, a), b in zip(kept.model.state_dict().items(), again.model.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_chunks_are_few_and_of_equal_size() -> None:
    assert memory.chunks(8, None) == [slice(0, 8)] == memory.chunks(8, 8)
    assert [part.stop - part.start for part in memory.chunks(10, 4)] == [3, 3, 4]
    assert memory.chunks(3, 1) == [slice(0, 1), slice(1, 2), slice(2, 3)]


def test_the_plan_fits(tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "held_mb", lambda _device: 0.0)
    for step, gb, plan in (
        ("gelu", "null", MemoryPlan()),
        ("gelu", "1", MemoryPlan(64, False, 500)),
        ("gelu", "0.04", MemoryPlan(64, True, 356)),
        ("separate_downsampling", "1", MemoryPlan(64, False, 500)),
        ("separate_downsampling", "0.04", MemoryPlan(61, False, 355)),
    ):
        config = tiny(tmp_path, data_root, f"+step={step}", *LARGE, f"training.memory_gb={gb}")
        assert initial_state(config, CPU, World()).plan == plan


def test_a_limit_that_cannot_be_met_is_refused_with_the_memory_needed(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "held_mb", lambda _device: 0.0)
    refusal = r"memory_gb=0\.01: allowed is 0\.02 or more for gelu, whose batch norm needs 64 images .*; or .*size=32,"
    with pytest.raises(ConfigError, match=refusal):
        initial_state(tiny(tmp_path, data_root, "+step=gelu", *LARGE, "training.memory_gb=0.01"), CPU, World())
    for enough in ("training.memory_gb=0.02", "recipe.bn_batch_size=32"):
        config = tiny(tmp_path, data_root, "+step=gelu", *LARGE, "training.memory_gb=0.01", enough)
        assert initial_state(config, CPU, World()).plan.checkpointing
    with pytest.raises(ConfigError, match=r"training\.memory_gb=-1: allowed is more than 0, up to 100000"):
        tiny(tmp_path, data_root, "training.memory_gb=-1")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("step", "limit", "message"),
    [("gelu", 1.2, "gradient checkpointing"), ("separate_downsampling", 0.95, "chunks of")],
)
def test_a_process_stays_within_the_limit(
    step: str, limit: float, message: str, tmp_path: Path, data_root: Path
) -> None:
    own = ["data.img_size=128", "budget.batch_size=128", "budget.bn_batch_size=128", "budget.epochs=1"]
    keeps_to(limit, message, tmp_path, data_root, step, "regime=micro", *own)
