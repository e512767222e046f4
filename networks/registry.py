"""Torsos by name. Imports no torch, so that options can be checked before anything is loaded."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from core.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from core.lanes import ObservationSpec
    from networks.torso import Torso


@dataclass(frozen=True)
class TorsoEntry:
    """Where a torso is and what it is for."""

    module: str
    cls: str
    summary: str


TORSOS: dict[str, TorsoEntry] = {
    "nature": TorsoEntry("networks.nature", "NatureCNN", "Mnih et al. 2015: three convolutions"),
    "dqn2013": TorsoEntry("networks.dqn2013", "DQN2013CNN", "Mnih et al. 2013: two convolutions"),
    "small": TorsoEntry("networks.small", "SmallCNN", "images under 36 pixels"),
    "mlp": TorsoEntry("networks.mlp", "MLP", "vectors: two hidden layers"),
}


def automatic_torso(spec: ObservationSpec) -> str:
    """The torso that fits an observation when the user named none."""
    if not spec.is_image:
        return "mlp"
    return "nature" if min(spec.shape[:2]) >= 36 else "small"


def build_torso(name: str, spec: ObservationSpec) -> Torso:
    """Build a torso for an observation.

    Raises:
        UserError: unknown name, or a torso that cannot take such an observation.
    """
    name = automatic_torso(spec) if name == "auto" else name
    if name not in TORSOS:
        raise UserError(
            f"there is no network {name!r}{did_you_mean(name, TORSOS)} "
            f"(known: auto, {', '.join(TORSOS)})"
        )
    entry = TORSOS[name]
    torso: Torso = getattr(importlib.import_module(entry.module), entry.cls)(spec)
    return torso
