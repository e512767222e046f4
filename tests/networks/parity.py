"""Two image classifiers compared: ours and a reference, with the same random weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Fill a network, which may be on the meta device, so that a signal passes all of it.

    Weights, biases, and scales, shifts and running statistics of normalisation are all random.
    """
    torch.manual_seed(seed)
    if any(parameter.is_meta for parameter in network.parameters()):
        network.to_empty(device="cpu")
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.dim() > 1:
                tensor.normal_(std=(2 / tensor[0].numel()) ** 0.5)
            elif name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif name.endswith("num_batches_tracked"):
                tensor.zero_()
            elif name.endswith("bias") or name.endswith("running_mean"):
                tensor.normal_(std=0.1)
            else:
                tensor.uniform_(0.7, 1.3)
    return network


def assert_equal_functions(ours: nn.Module, theirs: nn.Module, images: Tensor) -> None:
    """The same logits and the same gradients of the pixels, in evaluation."""
    outputs, gradients = [], []
    for network in (ours.eval(), theirs.eval()):
        pixels = images.clone().requires_grad_()
        logits = network(pixels)
        (gradient,) = torch.autograd.grad(logits.square().sum(), pixels)
        outputs.append(logits.detach())
        gradients.append(gradient)
    assert (outputs[1][0] - outputs[1][1]).abs().max() > 1e-3, "images must make a difference"
    assert gradients[1].abs().max() > 1e-6
    torch.testing.assert_close(*outputs, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(*gradients, atol=1e-5, rtol=1e-4)


def shapes_after(network: nn.Module, layers: list[str], images: Tensor) -> list[list[int]]:
    """Channels, height and width after layers, by the layers' names."""
    shapes: list[list[int]] = []
    for name in layers:
        network.get_submodule(name).register_forward_hook(
            lambda _, __, maps: shapes.append(list(maps.shape[1:]))
        )
    network.eval()(images)
    return shapes
