"""Why a run failed: where it ceased to be finite, and whether memory ran out."""

import torch
from torch import Tensor, nn


class NonFiniteLoss(ArithmeticError):
    """The loss, a gradient or a weight is not a finite number."""


def out_of_memory(error: Exception) -> bool:
    """Whether an error says so, in any of its shapes."""
    words = ("can't allocate memory", "Cannot allocate memory")
    return isinstance(error, (MemoryError, torch.OutOfMemoryError)) or any(said in str(error) for said in words)


def reason(error: Exception) -> str:
    """An error for who looks at many runs."""
    said = f"{type(error).__name__}: {error}"
    if out_of_memory(error):
        return f"out of memory: {said.splitlines()[0]}: fewer processes at a time (jobs=...), or a smaller network"
    return said


def finite(tensors: list[Tensor]) -> bool:
    """Whether all numbers in them are; what is so large that its square is not counts as not finite too."""
    return bool(torch.stack(torch._foreach_norm(tensors)).isfinite().all())


def unsound(model: nn.Module, *, gradients: bool = False) -> str:
    """Name of the first parameter, or of the first with such a gradient, that is not finite; empty if there is none."""
    for name, parameter in model.named_parameters():
        tensor = parameter.grad if gradients else parameter
        if tensor is not None and not finite([tensor.detach()]):
            return name
    return ""


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
