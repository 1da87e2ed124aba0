"""Batch norm whose statistics are of the forward passes of all processes at once."""

from typing import Any

import torch
from torch import Tensor, nn


class SyncBatchNorm2d(nn.BatchNorm2d):
    """Batch norm over the batches of all processes together (Peng et al., arXiv 1711.07240), on any device.

    torch's own SyncBatchNorm is for GPUs alone; this one is plain arithmetic around two sums over the processes. Their
    batches have the same size.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        if not (self.training and torch.is_grad_enabled()):  # one process alone looks for what is not finite
            return super().forward(x)
        dtype, x = x.dtype, x.double() if x.dtype is torch.float64 else x.float()  # sums want more than half precision
        size = torch.distributed.get_world_size() * x.numel() // x.shape[1]
        mean = summed(x.sum((0, 2, 3))) / size
        centred = x - mean.view(-1, 1, 1)
        var = summed(centred.square().sum((0, 2, 3))) / size
        self._remember(mean.detach(), var.detach() * (size / (size - 1)))
        factor = self.weight * torch.rsqrt(var + self.eps)
        return (centred * factor.view(-1, 1, 1) + self.bias.view(-1, 1, 1)).to(dtype)

    @torch.no_grad()
    def _remember(self, mean: Tensor, var: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(var, self.momentum)
        self.num_batches_tracked += 1


class _Sum(torch.autograd.Function):
    """The sum over the processes; its gradient is the sum of theirs."""

    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        """A tensor of any shape."""
        total = x.clone()
        torch.distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, *gradients: Tensor) -> Tensor:
        """The same of a gradient."""
        total = gradients[0].clone()
        torch.distributed.all_reduce(total)
        return total


def summed(x: Tensor) -> Tensor:
    """A tensor summed over the processes, which gradients go through."""
    total: Tensor = _Sum.apply(x)
    return total


def synchronize(network: nn.Module) -> None:
    """Make every batch norm of a network one over all processes; parameters and running statistics stay."""
    for module in list(network.modules()):
        for name, child in module.named_children():
            if type(child) is nn.BatchNorm2d:
                norm = SyncBatchNorm2d(child.num_features, child.eps, child.momentum or 0.1)
                norm.load_state_dict(child.state_dict())
                setattr(module, name, norm.to(child.weight.device))
