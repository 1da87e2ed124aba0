"""The recipe's numbers, against values worked out by hand."""

import pytest
import torch
from timm.scheduler import CosineLRScheduler
from torch.nn import functional as F

from roadmap.config.compose import compose
from roadmap.networks.ladder import create_model
from roadmap.training.recipe import learning_rate, loss_function, make_optimizer

MODERN = compose(["study=imagenet", "+step=training_recipe"]).recipe
ORIGINAL = compose(["study=imagenet"]).recipe
STEPS = 312  # 1,281,167 // 4096


def test_modern_rate_is_timms_over_three_hundred_epochs() -> None:
    total, warmup = 300 * STEPS, 20 * STEPS
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=4e-3)
    cosine = CosineLRScheduler(
        optimizer, total - warmup, lr_min=1e-6, warmup_t=warmup, warmup_lr_init=0, warmup_prefix=True, t_in_epochs=False
    )
    for step in (*range(2 * STEPS), *range(2 * STEPS, total, 17), total - 1):
        cosine.step_update(step)
        theirs = optimizer.param_groups[0]["lr"]
        assert learning_rate(MODERN, step=step, steps=total) == pytest.approx(theirs, rel=1e-9, abs=1e-15)
    assert learning_rate(MODERN, step=warmup // 2, steps=total) == pytest.approx(2e-3)


@pytest.mark.parametrize(("epoch", "rate"), [(0, 0.1), (29, 0.1), (30, 0.01), (59, 0.01), (60, 0.001), (89, 0.001)])
def test_original_rate(epoch: int, rate: float) -> None:
    for step in (epoch * 5004, epoch * 5004 + 5003):
        assert learning_rate(ORIGINAL, step=step, steps=90 * 5004) == pytest.approx(rate)


def test_modern_optimizer_does_not_decay_vectors() -> None:
    model = create_model("layer_scale", "micro")
    optimizer = make_optimizer(model, MODERN)
    assert isinstance(optimizer, torch.optim.AdamW)
    decayed, kept = optimizer.param_groups
    assert (decayed["weight_decay"], kept["weight_decay"]) == (0.05, 0.0)
    assert (decayed["betas"], decayed["eps"]) == ((0.9, 0.999), 1e-8)
    assert {p.ndim for p in kept["params"]} == {1}
    assert {p.ndim for p in decayed["params"]} == {2, 4}
    assert len(decayed["params"]) + len(kept["params"]) == len(list(model.parameters()))


def test_original_optimizer_is_sgd_with_momentum_and_decays_everything() -> None:
    optimizer = make_optimizer(create_model("resnet", "micro"), ORIGINAL)
    assert isinstance(optimizer, torch.optim.SGD)
    (group,) = optimizer.param_groups
    assert (group["momentum"], group["nesterov"], group["weight_decay"]) == (0.9, False, 1e-4)


def test_loss_smooths_classes_and_leaves_shares_alone() -> None:
    logits, classes = torch.randn(5, 10, generator=torch.Generator().manual_seed(0)), torch.arange(5)
    smoothed = 0.9 * F.one_hot(classes, 10) + 0.01
    by_hand = -(smoothed * logits.log_softmax(1)).sum(1).mean()
    torch.testing.assert_close(loss_function(logits, classes, 0.1), by_hand)
    torch.testing.assert_close(loss_function(logits, smoothed, 0.1), by_hand)


def test_budget_rules() -> None:
    def recipe(*words: str):  # type: ignore[no-untyped-def]
        return compose(["study=imagenet", "+step=training_recipe", *words]).recipe

    half = recipe("budget.strength=0.5", "budget.epochs=30")
    assert (half.epochs, half.warmup_epochs) == (30, 2)
    assert (half.mixup_prob, half.reprob, half.drop_path, half.hflip) == (0.5, 0.125, 0.05, 0.25)
    assert half.scale == pytest.approx([0.54, 1.0])
    assert (half.mixup, half.cutmix, half.smoothing, half.weight_decay) == (0.8, 1.0, 0.1, 0.05)
    none = recipe("budget.strength=0")
    assert (none.mixup_prob, none.reprob, none.drop_path, none.hflip) == (0, 0, 0, 0)
    assert (none.scale, none.ratio) == ([1, 1], [1, 1])
