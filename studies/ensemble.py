"""Several small networks trained side by side, each as if it were alone.

E members with weights [E, I, O] learn in one batched product, which costs little more than the
largest of them: small networks alone keep a processor busy with anything but arithmetic. A narrower
member has zeros where the widest one has units. They stay zeros: a unit of relu that gives 0 sends
no gradient to what follows, and gets none where nothing follows it.

Optimisers that work on each weight alone (SGD with momentum, Adam) keep members apart.

Legend: E members, B batch, I inputs, O outputs, K classes, C channels, H W plane.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Stack(nn.Module):
    """Layers of E members: weights and biases by layer, which a pruning may fill with zeros."""

    def __init__(self) -> None:
        super().__init__()
        self.weights = nn.ParameterList()
        self.biases = nn.ParameterList()

    def _add(self, shapes: Sequence[tuple[int, ...]], random: Sequence[torch.Generator]) -> None:
        """A layer with weights of these shapes, one for each member, (outputs, inputs, ...).

        Drawn as torch draws those of its own layers, uniform within 1/sqrt(inputs)."""
        largest = [max(sizes) for sizes in zip(*shapes, strict=True)]
        weight = torch.zeros(len(shapes), *largest)
        bias = torch.zeros(len(shapes), largest[0])
        for member, (shape, generator) in enumerate(zip(shapes, random, strict=True)):
            bound = float(torch.tensor(shape[1:]).prod()) ** -0.5
            drawn = (2 * torch.rand(shape, generator=generator) - 1) * bound
            weight[member][tuple(slice(size) for size in shape)] = drawn
            bias[member, : shape[0]] = (2 * torch.rand(shape[0], generator=generator) - 1) * bound
        self.weights.append(nn.Parameter(weight))
        self.biases.append(nn.Parameter(bias))


class DenseEnsemble(Stack):
    """Fully connected networks with relu between the layers."""

    def __init__(self, sizes: Sequence[Sequence[int]], seeds: Sequence[int]) -> None:
        """Args:
        sizes: of each member, inputs first, outputs last; inputs and outputs are the same for all.
        seeds: of each member's first weights.
        """
        super().__init__()
        random = [torch.Generator().manual_seed(seed) for seed in seeds]
        for layer in range(len(sizes[0]) - 1):
            self._add([(each[layer + 1], each[layer]) for each in sizes], random)

    def forward(self, inputs: Tensor) -> Tensor:
        """Inputs [E, B, I] -> logits [E, B, K]."""
        hidden = inputs
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if layer:
                hidden = functional.relu(hidden)
            hidden = torch.baddbmm(bias.unsqueeze(1), hidden, weight.transpose(1, 2))
        return hidden


class ConvolutionalEnsemble(Stack):
    """Convolutions of 3x3 with relu and a pool of 2x2 each, a mean over what is left, and a linear
    layer. Members are the groups of grouped convolutions."""

    def __init__(
        self, channels: Sequence[Sequence[int]], classes: int, seeds: Sequence[int]
    ) -> None:
        """Args:
        channels: of each member's maps, those of the images first.
        classes: K.
        seeds: of each member's first weights.
        """
        super().__init__()
        random = [torch.Generator().manual_seed(seed) for seed in seeds]
        for layer in range(len(channels[0]) - 1):
            self._add([(each[layer + 1], each[layer], 3, 3) for each in channels], random)
        self._add([(classes, each[-1]) for each in channels], random)

    def forward(self, inputs: Tensor) -> Tensor:
        """Images [E, B, C, H, W] -> logits [E, B, K]."""
        members, batch = inputs.shape[:2]
        maps = inputs.transpose(0, 1).flatten(1, 2)  # [B, E * C, H, W]
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            maps = functional.conv2d(
                maps, weight.flatten(0, 1), bias.flatten(), padding=1, groups=members
            )
            maps = functional.max_pool2d(functional.relu(maps), 2)
        features = maps.mean((2, 3)).view(batch, members, -1).transpose(0, 1)  # [E, B, C]
        weight, bias = self.weights[-1], self.biases[-1]
        return torch.baddbmm(bias.unsqueeze(1), features, weight.transpose(1, 2))


def joint_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """The sum over members of their mean cross-entropy: each gets the gradient of its own.

    Args:
        logits: float [E, B, K].
        labels: int64 [E, B].
    """
    losses = functional.cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="sum")
    return losses / labels.shape[1]


@torch.no_grad()
def errors(network: Stack, inputs: Tensor, labels: Tensor, batch: int = 1000) -> Tensor:
    """Share of wrong predictions of each member, float64 [E].

    Args:
        network: of E members.
        inputs: [N, ...], the same for all members.
        labels: int64 [N], or [E, N] where each member has its own.
    """
    members = network.weights[0].shape[0]
    wrong = torch.zeros(members, dtype=torch.float64)
    for first in range(0, len(inputs), batch):
        part = inputs[first : first + batch]
        logits = network(part.expand(members, *part.shape))
        wrong += (logits.argmax(dim=2) != labels[..., first : first + batch]).sum(dim=1)
    return wrong / len(inputs)
