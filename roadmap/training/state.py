"""Everything that a run carries from one step to the next, and its form as plain data."""

import copy
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from roadmap.config.schema import Config
from roadmap.data.rng import mix
from roadmap.networks.ladder import build
from roadmap.training import provenance
from roadmap.training.distributed import Replica, World
from roadmap.training.memory import MemoryPlan, apply, make_plan
from roadmap.training.recipe import make_optimizer


class Average:
    """An exponential moving average of a model's parameters and running statistics, from its initial values on."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(model).requires_grad_(False)
        self._weight = 1 - decay
        # Listed once: for small networks, listing the tensors costs twenty times the arithmetic.
        self._averages, self._values = (
            [tensor for tensor in each.state_dict().values() if tensor.is_floating_point()]
            for each in (self.module, model)
        )

    @torch.no_grad()
    def update(self) -> None:
        """average = decay * average + (1 - decay) * value."""
        torch._foreach_lerp_(self._averages, self._values, self._weight)


@dataclass
class Clock:
    """Seconds of an epoch."""

    compute: float = 0.0  # forward and backward passes, optimizer
    data: float = 0.0  # waiting for batches
    other: float = 0.0  # everything else between the first and the last step
    evaluation: float = 0.0

    def training(self) -> float:
        """Seconds from the first to the last step."""
        return self.compute + self.data + self.other


@dataclass
class State:
    """A run between two steps."""

    model: nn.Module
    world: World
    replica: Replica  # the model as it is called in training
    ema: Average
    optimizer: torch.optim.Optimizer
    plan: MemoryPlan = field(default_factory=MemoryPlan)
    step: int = 0
    loss_sum: float = 0.0  # over the steps of this epoch so far
    skipped: int = 0  # unreadable images of this epoch so far
    clock: Clock = field(default_factory=Clock)
    rollbacks: int = 0  # returns to a checkpoint after a number that was not finite
    seconds: float = 0.0  # wall time of the run, over all processes that worked on it one after another
    history: list[dict[str, Any]] = field(default_factory=list)  # one line of metrics.jsonl per epoch
    classes: list[str] = field(default_factory=list)  # their names by label, as far as the files tell
    versions: dict[str, str] = field(default_factory=provenance.versions)
    """Of the libraries under which the run was trained: "2.9.0 and 2.10.0" if it was resumed under another one."""
    answers: dict[str, Any] | None = None
    """`stored` of the last epoch's evaluation; None before the first one, and after an old checkpoint."""
    data: dict[str, Any] | None = None
    """The fingerprint of the images, if the name of their data set does not identify them."""

    @property
    def device(self) -> torch.device:
        return next(self.model.parameters()).device


KEPT = ("step", "loss_sum", "skipped", "rollbacks", "seconds", "history")
"""Attributes of a state that a checkpoint has as they are."""


def initial_state(config: Config, device: torch.device, world: World) -> State:
    """The state before the first step. Weights depend on the seed and the layers alone."""
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
    plan = make_plan(model, config, device)
    plan = plan._replace(checkpointing=world.sum(plan.checkpointing)[0] > 0)  # SyncBatchNorm waits in each forward pass
    apply(plan, model)
    if recipe.sync_bn:
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
    replica = Replica(model, world, compile=bool(config.training.compile))
    return State(model, world, replica, average, make_optimizer(model, recipe), plan)


def dump_state(state: State) -> dict[str, Any]:
    """A state as tensors and plain data."""
    return {
        **{key: getattr(state, key) for key in KEPT},
        "clock": vars(state.clock),
        "processes": state.world.size,
        "versions": state.versions,
        **({"answers": state.answers} if state.answers else {}),
        **({"data": state.data} if state.data else {}),
        **({"classes": state.classes} if state.classes else {}),
        "model": state.model.state_dict(),
        "ema": state.ema.module.state_dict(),
        "optimizer": state.optimizer.state_dict(),
    }


def load_state(state: State, saved: dict[str, Any]) -> None:
    """The reverse of `dump_state`."""
    for key in KEPT:
        setattr(state, key, saved[key])
    state.clock, state.answers = Clock(**saved["clock"]), saved.get("answers")
    for name, before in (saved.get("versions") or {}).items():  # older checkpoints have none
        now = state.versions.get(name, before)
        state.versions[name] = before if now in before.split(" and ") else f"{before} and {now}"
    state.model.load_state_dict(saved["model"])
    state.ema.module.load_state_dict(saved["ema"])
    state.optimizer.load_state_dict(saved["optimizer"])
