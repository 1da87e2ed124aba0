"""All that a run carries from one step to the next, and its form as plain data."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from roadmap.config.schema import Config
from roadmap.data.rng import mix
from roadmap.networks.ladder import build
from roadmap.training.distributed import World
from roadmap.training.memory import Room, apply, fit
from roadmap.training.recipe import make_optimizer
from roadmap.training.replica import Replica
from roadmap.training.synchronized import synchronize


class Average:
    """An exponential moving average of a model's parameters and running statistics, from its initial values on.

    The tensors are listed once: for small networks, listing them costs twenty times the arithmetic.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self._weight = 1 - decay
        self._averages, self._values = _floats(self.module), _floats(model)

    @torch.no_grad()
    def update(self) -> None:
        """average = decay * average + (1 - decay) * value."""
        torch._foreach_lerp_(self._averages, self._values, self._weight)


def _floats(model: nn.Module) -> list[Tensor]:
    return [tensor for tensor in model.state_dict().values() if tensor.is_floating_point()]


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
    world: World
    replica: Replica
    """The model as it is called in training, in step with the other processes."""
    ema: Average
    optimizer: torch.optim.Optimizer
    room: Room = field(default_factory=Room)
    """What of a pass is computed at a time."""
    step: int = 0
    loss_sum: float = 0.0
    """Of the steps of this epoch so far."""
    skipped: int = 0
    """Images of this epoch so far that could not be read."""
    clock: Clock = field(default_factory=Clock)
    rollbacks: int = 0
    """How often the run has returned to a checkpoint because something was not a finite number."""
    seconds: float = 0.0
    """Of all work that led here."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """A line of metrics an epoch."""
    data: dict[str, Any] | None = None
    """The fingerprint of the images, where the name of their data set does not tell them."""


def initial_state(config: Config, device: torch.device, world: World) -> State:
    """Weights as the seed gives them, the same for every rung that has the same layers.

    Raises:
        ConfigError: its passes cannot be made to fit into training.memory_gb.
    """
    torch.manual_seed(mix(config.seed))
    data, recipe = config.data, config.recipe
    model = build(
        config.model,
        num_classes=data.num_classes,
        in_chans=data.in_chans,
        drop_path=recipe.drop_path,
        init=recipe.init,
        channels_last=config.training.channels_last,
    ).to(device)
    average = Average(model, recipe.model_ema_decay)
    room = fit(model, config, device)
    room = room._replace(twice=world.sum(room.twice)[0] > 0)  # synchronized norms wait for each other both times
    apply(room, model)
    if recipe.sync_bn > 1:
        synchronize(model)
    replica = Replica(model, world, compiled=bool(config.training.compile))
    return State(model, world, replica, average, make_optimizer(model, recipe), room)


def dump_state(state: State) -> dict[str, Any]:
    """A state as tensors and plain data."""
    return {
        "step": state.step,
        "loss_sum": state.loss_sum,
        "skipped": state.skipped,
        "rollbacks": state.rollbacks,
        "seconds": state.seconds,
        "clock": vars(state.clock),
        "history": state.history,
        **({"data": state.data} if state.data else {}),
        "model": state.model.state_dict(),
        "ema": state.ema.module.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }


def load_state(state: State, saved: dict[str, Any]) -> None:
    """The reverse of `dump_state`."""
    state.step, state.loss_sum, state.seconds = saved["step"], saved["loss_sum"], saved["seconds"]
    state.skipped, state.rollbacks = saved["skipped"], saved["rollbacks"]
    state.clock, state.history = Clock(**saved["clock"]), saved["history"]
    state.model.load_state_dict(saved["model"])
    state.ema.module.load_state_dict(saved["ema"])
    state.optimizer.load_state_dict(saved["optimizer"])
