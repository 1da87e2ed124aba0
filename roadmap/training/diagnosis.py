"""Find the first number that is not finite: in the forward pass, the gradients or the weights."""

import torch
from torch import Tensor, nn


def finite(tensors: list[Tensor]) -> bool:
    """Whether all numbers are finite; a number whose square overflows does not count as finite."""
    return bool(torch.stack(torch._foreach_norm(tensors)).isfinite().all())


def nonfinite_parameter(model: nn.Module, *, gradients: bool = False) -> str:
    """Name of the first parameter that, or whose gradient, is not finite; empty if there is none."""
    for name, parameter in model.named_parameters():
        tensor = parameter.grad if gradients else parameter
        if tensor is not None and not finite([tensor.detach()]):
            return name
    return ""


def first_nonfinite(model: nn.Module, images: Tensor) -> str:
    """Name of the first module, in the order of the forward pass, whose output on (N, C, H, W) is not finite.

    Other processes take no part: torch.nn.SyncBatchNorm is left in evaluation mode, in which it does not wait for them.
    """
    if not images.isfinite().all():
        return "the input"
    found: list[str] = []

    def watch(name: str, output: object) -> None:
        if not found and isinstance(output, Tensor) and not output.isfinite().all():
            found.append(name)

    leaves = [(name, module) for name, module in model.named_modules() if not list(module.children())]
    hooks = [m.register_forward_hook(lambda _m, _i, out, name=name: watch(name, out)) for name, m in leaves]
    for _, module in leaves:
        if isinstance(module, nn.SyncBatchNorm):
            module.eval()
    try:
        with torch.no_grad():
            model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return found[0] if found else "the loss itself"
