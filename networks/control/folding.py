"""Zero's network for inference: batch normalisation put into the convolutions before it."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from networks.control.zero import ConvNorm, ZeroNetwork


def folded(network: ZeroNetwork) -> ZeroNetwork:
    """A copy for inference, the normalisations of tower and heads put into the convolutions."""
    twin = copy.deepcopy(network).eval().requires_grad_(False)
    for module in twin.modules():
        if isinstance(module, ConvNorm) and isinstance(module.norm, nn.BatchNorm2d):
            module.conv.bias = nn.Parameter(torch.zeros_like(module.norm.bias), requires_grad=False)
            module.norm = nn.Identity()
    refold(network, twin)
    return twin


@torch.no_grad()
def refold(network: nn.Module, twin: nn.Module) -> None:
    """Put a network's present weights into what `folded` made of it, in the memory they have there:
    CUDA graphs read it."""
    if isinstance(network, ConvNorm) and isinstance(network.norm, nn.BatchNorm2d):
        conv, norm = network.conv, network.norm
        weights = fuse_conv_bn_weights(
            conv.weight, conv.bias, norm.running_mean, norm.running_var, norm.eps,  # type: ignore[arg-type]
            norm.weight, norm.bias,
        )  # fmt: skip
        for own, weight in zip(twin.get_submodule("conv").parameters(), weights, strict=True):
            own.copy_(weight)
        return
    for place, tensor in zip(_own_tensors(twin), _own_tensors(network), strict=True):
        place.copy_(tensor)
    for child, other in zip(network.children(), twin.children(), strict=True):
        refold(child, other)


def _own_tensors(module: nn.Module) -> list[Tensor]:
    """Parameters and buffers of a module itself, not of its children."""
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]
