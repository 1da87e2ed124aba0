"""All that a run carries from one step to the next, and its form as plain data."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from roadmap.data.randomness import mix
from roadmap.model.create import build
from roadmap.schema import Config
from roadmap.training.recipe import make_optimizer


@dataclass
class Clock:
    """Seconds of an epoch, by what they went into."""

    compute: float = 0.0
    """Forward, backward, optimizer."""
    data: float = 0.0
    """Waiting for a batch."""
    other: float = 0.0
    """Everything else between the first and the last step."""
    evaluation: float = 0.0

    def training(self) -> float:
        """Seconds from the first to the last step."""
        return self.compute + self.data + self.other


@dataclass
class State:
    """A run between two steps."""

    model: nn.Module
    ema: AveragedModel
    optimizer: torch.optim.Optimizer
    step: int = 0
    loss_sum: float = 0.0
    """Of the steps of this epoch so far."""
    clock: Clock = field(default_factory=Clock)
    seconds: float = 0.0
    """Of all work that led here."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """A line of metrics an epoch."""


def initial_state(config: Config, device: torch.device) -> State:
    """Weights as the seed gives them, the same for every rung that has the same layers."""
    torch.manual_seed(mix(config.seed))
    data, recipe = config.data, config.recipe
    model = build(
        config.model,
        num_classes=data.num_classes,
        in_chans=data.in_chans,
        drop_path=recipe.drop_path,
        channels_last=config.training.channels_last,
    ).to(device)
    average = get_ema_multi_avg_fn(recipe.model_ema_decay)
    return State(model, AveragedModel(model, multi_avg_fn=average, use_buffers=True), make_optimizer(model, recipe))


def dump_state(state: State, config_hash: str) -> dict[str, Any]:
    """A state as tensors and plain data."""
    return {
        "config_hash": config_hash,
        "step": state.step,
        "loss_sum": state.loss_sum,
        "seconds": state.seconds,
        "clock": vars(state.clock),
        "history": state.history,
        "model": state.model.state_dict(),
        "ema": state.ema.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }


def load_state(state: State, saved: dict[str, Any]) -> None:
    """The reverse of `dump_state`."""
    state.step, state.loss_sum, state.seconds = saved["step"], saved["loss_sum"], saved["seconds"]
    state.clock, state.history = Clock(**saved["clock"]), saved["history"]
    state.model.load_state_dict(saved["model"])
    state.ema.load_state_dict(saved["ema"])
    state.optimizer.load_state_dict(saved["optimizer"])
