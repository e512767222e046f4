"""One network with the weights of all designs of the space "macro": Pham et al. 2018 (ENAS),
arXiv 1802.03268.

At each of eight places stand the three blocks that a design may have there; the stem and the head
are common to all. A design is a way through it:

    stem ──┬─ identity ─┬──┬─ identity ─┬── ... ──► head
           ├─ mb3_k3   ─┤  ├─ mb3_k3   ─┤
           └─ mb6_k5   ─┘  └─ mb6_k5   ─┘

Deviation from the networks of the designs: normalisation goes by the batch, in evaluation too, as
in the authors' code when it scores designs. Running averages would be those of many designs.

Legend: B batch, C channels, H W plane, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from networks.designed.macro import (
    BLOCKS,
    NUM_BLOCKS,
    DesignedMacro,
    block,
    places,
    read_blocks,
)

FRAME = {"blocks": ["identity"] * NUM_BLOCKS}
"""The design that is quickest to build; its blocks are replaced."""


class SharedMacro(nn.Module):
    """Has no forward pass of its own: ``network`` gives one for each design."""

    def __init__(self, in_channels: int, num_classes: int, channels: int = 32) -> None:
        """Args:
        in_channels: of the images.
        num_classes: K.
        channels: C, of the stem.
        """
        super().__init__()
        self.sizes = (in_channels, num_classes, channels)
        some = DesignedMacro(FRAME, *self.sizes)
        self.stem, self.out, self.classifier = some.stem, some.out, some.classifier
        self.choices = nn.ModuleList(
            nn.ModuleDict({name: block(name, *place) for name in BLOCKS})
            for place in places(channels)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None

    def network(self, design: Mapping[str, Any]) -> DesignedMacro:
        """The design's network, images float [B, C, H, W] to logits [B, K]. Its parameters are
        ours, not copies; they have the names that they have where the design stands alone.

        Raises:
            UserError: the design is none of this space.
        """
        with torch.device("meta"):  # without numbers: all are replaced by ours
            network = DesignedMacro(FRAME, *self.sizes)
        chosen = zip(self.choices, read_blocks(design), strict=True)
        network.blocks = nn.Sequential(*(choice[name] for choice, name in chosen))  # type: ignore[index]
        network.stem, network.out, network.classifier = self.stem, self.out, self.classifier
        return network
