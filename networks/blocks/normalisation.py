"""Normalisation of feature maps [B, C, H, W] by name.

    batch      over B, H, W for each channel        Ioffe & Szegedy 2015, arXiv 1502.03167
    layer      over C, H, W for each image          Ba et al. 2016, arXiv 1607.06450
    instance   over H, W for each image and channel Ulyanov et al. 2016, arXiv 1607.08022
    group      over H, W and groups of channels     Wu & He 2018, arXiv 1803.08494

Layer and instance normalisation of maps are group normalisation with one group and with as many as
channels (Wu & He 2018, section 3.1).
"""

from __future__ import annotations

from math import gcd

from torch import nn

from core.errors import UserError, did_you_mean

NORMALISATIONS = ("none", "batch", "layer", "instance", "group")
GROUPS = 32
"""Of group normalisation (Wu & He 2018); fewer where the channels are not a multiple of it."""


def normalisation(name: str, channels: int, epsilon: float = 1e-5) -> nn.Module:
    """A layer that normalises [B, channels, H, W], with a learned scale and shift.

    Raises:
        UserError: unknown name; says the nearest one.
    """
    if name == "none":
        return nn.Identity()
    if name == "batch":
        return nn.BatchNorm2d(channels, eps=epsilon)
    groups = {"layer": 1, "instance": channels, "group": gcd(GROUPS, channels)}
    if name not in groups:
        raise UserError(
            f"there is no normalisation {name!r}{did_you_mean(name, NORMALISATIONS)} "
            f"(known: {', '.join(NORMALISATIONS)})"
        )
    return nn.GroupNorm(groups[name], channels, eps=epsilon)
