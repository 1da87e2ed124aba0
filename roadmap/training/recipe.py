"""The recipe as torch objects: parameter groups, optimizer, learning rate, loss."""

import math
from typing import Any

from torch import Tensor, nn, optim
from torch.nn import functional as F

from roadmap.config.schema import Opt, RecipeConfig, Sched


def make_optimizer(model: nn.Module, recipe: RecipeConfig) -> optim.Optimizer:
    """SGD with momentum or AdamW; with filter_bias_and_bn, one-dimensional parameters have no weight decay."""
    decay = recipe.weight_decay
    vectors = [p for p in model.parameters() if p.ndim == 1 and recipe.filter_bias_and_bn]
    others = [p for p in model.parameters() if p.ndim > 1 or not recipe.filter_bias_and_bn]
    groups: list[dict[str, Any]] = [{"params": others}]
    if vectors:
        groups.append({"params": vectors, "weight_decay": 0.0})
    if recipe.opt is Opt.sgd:
        return optim.SGD(groups, recipe.lr, recipe.momentum, weight_decay=decay, fused=True)
    first, second = recipe.opt_betas
    return optim.AdamW(groups, recipe.lr, (first, second), recipe.opt_eps, weight_decay=decay, fused=True)


def learning_rate(recipe: RecipeConfig, *, step: int, steps: int) -> float:
    """Learning rate of optimizer step `step` of `steps`, counted from 0: linear warmup from 0, then the schedule.

    Lengths in epochs are shares of recipe.epochs, so a run with fewer steps has the whole schedule in them.
    """
    per_epoch = steps / recipe.epochs
    warmup = recipe.warmup_epochs * per_epoch
    if step < warmup:
        return recipe.lr * step / warmup
    if recipe.sched is Sched.step:
        return recipe.lr * recipe.decay_rate ** int(step / (recipe.decay_epochs * per_epoch))
    done = (step - warmup) / (steps - warmup)
    return recipe.min_lr + (recipe.lr - recipe.min_lr) * (1 + math.cos(math.pi * done)) / 2


def loss_function(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Mean cross-entropy of logits (N, K); targets: classes (N), or smoothed probabilities (N, K)."""
    return F.cross_entropy(logits, targets, label_smoothing=smoothing if targets.ndim == 1 else 0.0)
