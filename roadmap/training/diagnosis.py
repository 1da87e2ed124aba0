"""When a loss is not finite: where it began."""

import torch
from torch import Tensor, nn


class NonFiniteLoss(ArithmeticError):
    """The loss is not a finite number."""


def first_nonfinite(model: nn.Module, images: Tensor) -> str:
    """Name of the first module, in the order of the forward pass, whose output is not finite on (N, C, H, W)."""
    if not images.isfinite().all():
        return "the input"
    found: list[str] = []

    def watch(name: str, output: object) -> None:
        if not found and isinstance(output, Tensor) and not output.isfinite().all():
            found.append(name)

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    hooks = [m.register_forward_hook(lambda _m, _i, out, name=name: watch(name, out)) for name, m in leaves]
    try:
        with torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else "the loss itself"
