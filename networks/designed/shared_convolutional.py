"""One network with the weights of all designs of the space "cnn": weight sharing as in Pham et al.
2018 (ENAS), arXiv 1802.03268, for the designs of Zoph and Le 2017, arXiv 1611.01578.

A layer has a kernel for each input that it may have (layers before; 0 is the image), as high, as
wide and with as many filters as any design has. A design takes the kernels of its inputs, and of
each the first filters, the first channels and the middle of the plane, as many as it has:

    kernels of layer 3        from the image     from layer 1      from layer 2
    of 7x7                                       [:16, :24]        [:16, :8]      rows 2-4, column 3

is a layer of 16 filters of 3x1 that takes layer 1 (24 filters) and layer 2 (8), concatenated. What
it does with them is said in `networks/designed/convolutional.py`.

Deviations from ENAS: there each operation has kernels of its own. Here a kernel is part of a larger
one (Stamoulis et al. 2019, arXiv 1904.02877; the authors of ENAS do so with filters, in the code
that searches for their number): with kernels for each height and width, each trained by few
designs, a ranking was further from that of trainings (docs/results/nas.md). And there are no 1x1
convolutions between layers, as the designs have none. Normalisation goes by the batch, in
evaluation too, as in `networks/designed/shared_macro.py`.

Legend: B batch, C channels, D features, K classes, F filters of the widest layer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from networks.blocks.initialisation import INITIALISATIONS
from networks.designed.convolutional import DesignedConvolutional, LayerPlan, Plan


class SharedPlace(nn.Module):
    """All that layers in one place need: kernels from each input, and normalisation."""

    def __init__(self, channels: Mapping[int, int], filters: int, side: tuple[int, int]) -> None:
        """Args:
        channels: of each possible input, at most.
        filters: F.
        side: height and width of the largest filters.
        """
        super().__init__()
        # Each as if it were the only input: of several, normalisation takes away what is too much.
        self.kernels = nn.ParameterDict(
            {
                str(i): INITIALISATIONS["kaiming_normal"](torch.empty(filters, count, *side))
                for i, count in channels.items()
            }
        )
        self.scale = nn.Parameter(torch.ones(filters))
        self.shift = nn.Parameter(torch.zeros(filters))


class SharedLayer(nn.Module):
    """A layer of a design, with shared weights: convolution, normalisation by the batch, ReLU."""

    def __init__(self, place: SharedPlace, plan: LayerPlan, channels: Sequence[int]) -> None:
        """Args:
        place: whose weights it takes.
        plan: of the layer.
        channels: of each of its inputs.
        """
        super().__init__()
        self.place, self.plan, self.channels = place, plan, channels

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to [B, filters, H', W']"""
        place, plan, count = self.place, self.plan, self.plan.filters
        parts = [
            middle(place.kernels[str(i)], plan.height, plan.width)[:count, :channels]
            for i, channels in zip(plan.inputs, self.channels, strict=True)
        ]
        padding = (plan.height // 2, plan.width // 2)
        x = functional.conv2d(x, torch.cat(parts, dim=1), None, plan.stride, padding)
        affine = place.scale[:count], place.shift[:count]
        return torch.relu(functional.batch_norm(x, None, None, *affine, training=True))


class SharedClassifier(nn.Module):
    """The classifier of a design, with the shared weights of the layers that it sees."""

    def __init__(self, shared: SharedConvolutional, plan: Plan) -> None:
        super().__init__()
        self.heads = nn.ParameterList(shared.heads[i - 1] for i in plan.loose)
        self.bias = shared.bias
        self.filters = [plan.layers[i - 1].filters for i in plan.loose]

    def forward(self, features: Tensor) -> Tensor:
        """[B, D] to logits [B, K]"""
        each = zip(self.heads, self.filters, strict=True)
        weight = torch.cat([head[:, :filters] for head, filters in each], dim=1)
        return functional.linear(features, weight, self.bias)


class SharedConvolutional(nn.Module):
    """Has no forward pass of its own: ``network`` gives one for each design."""

    def __init__(
        self,
        in_channels: int,
        num_classes: int,
        layers: int,
        filters: int,
        side: tuple[int, int],
        skips: bool = True,
    ) -> None:
        """Args:
        in_channels: of the images.
        num_classes: K.
        layers: of the deepest designs.
        filters: F.
        side: height and width of the largest filters.
        skips: whether a layer may have any before it as inputs; else it has the last one.
        """
        super().__init__()
        self.in_channels, self.num_classes = in_channels, num_classes
        self.places = nn.ModuleList()
        for number in range(layers):
            inputs = range(0 if skips else number, number + 1)
            channels = {i: filters if i else in_channels for i in inputs}
            self.places.append(SharedPlace(channels, filters, side))
        self.heads = nn.ParameterList(
            INITIALISATIONS["kaiming_normal"](torch.empty(num_classes, filters))
            for _ in range(layers)
        )
        """What the classifier makes of each layer, where no other takes it."""
        self.bias = nn.Parameter(torch.zeros(num_classes))

    def network(self, design: Mapping[str, Any]) -> DesignedConvolutional:
        """The design's network, images float [B, C, H, W] to logits [B, K]. It computes with parts
        of our parameters, not with copies.

        Args:
            design: of no more layers and filters, and no larger ones, than were said above.

        Raises:
            UserError: the design is none of this space.
        """
        with torch.device("meta"):  # without numbers: all are replaced by ours
            network = DesignedConvolutional(design, self.in_channels, self.num_classes)
        plan = network.plan
        channels = [self.in_channels, *(layer.filters for layer in plan.layers)]
        network.layers = nn.ModuleList(
            SharedLayer(place, layer, [channels[i] for i in layer.inputs])  # type: ignore[arg-type]
            for layer, place in zip(plan.layers, self.places, strict=False)  # or fewer layers
        )
        network.fc = SharedClassifier(self, plan)  # type: ignore[assignment]
        return network


def middle(kernel: Tensor, height: int, width: int) -> Tensor:
    """The part of a kernel [F, C, H, W], all sides odd, that is so high and wide, around the
    middle."""
    top, left = (kernel.shape[2] - height) // 2, (kernel.shape[3] - width) // 2
    return kernel[:, :, top : top + height, left : left + width]
