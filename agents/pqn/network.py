"""Q(s, a) for all actions at once, normalised between all layers.

LayerNorm is what lets temporal differences do without a target network and a replay memory
(section 3 of the paper: it bounds what a step off the policy can do).

Legend: B batch, A actions, C channels, H W plane.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from core.errors import UserError
from core.lanes import ObservationSpec
from networks.normaliser import build_normaliser
from networks.registry import build_torso
from networks.torso import full_precision

EPSILON = 1e-6
"""In LayerNorm's denominator, as in the authors' code."""


class ChannelNorm(nn.LayerNorm):
    """LayerNorm of every place of maps [B, C, H, W] over its channels, as the authors' code has
    it."""

    def forward(self, maps: Tensor) -> Tensor:
        """The same shape."""
        return super().forward(maps.movedim(1, -1)).movedim(-1, 1)


class QNetwork(nn.Module):
    """Observations [B, ...] -> action values [B, A]."""

    def __init__(
        self,
        torso: str,
        spec: ObservationSpec,
        num_actions: int,
        hidden: Sequence[int] = (),
        normalise: bool = False,
    ) -> None:
        """Args:
        torso: name in the network registry, or 'auto'.
        spec: the observations.
        num_actions: A.
        hidden: units of the torso's hidden layers; empty for its own.
        normalise: bring observations to mean 0 and deviation 1 first.

        Raises:
            UserError: a torso of other than plain layers, not all of which can be normalised.
        """
        super().__init__()
        self.normaliser = build_normaliser(spec, normalise)
        self.torso = build_torso(torso, spec, hidden)
        layers = sum(isinstance(m, (nn.Conv2d, nn.Linear)) for m in self.torso.modules())
        if _normalise_layers(self.torso) != layers:
            raise UserError(
                f"pqn needs a network of convolutions or layers with ReLU between, which {torso} "
                f"is not; use nature, dqn2013, compact, small or mlp"
            )
        self.q = nn.Linear(self.torso.num_features, num_actions)

    def forward(self, observation: Tensor) -> Tensor:
        """Action values, float [B, A]."""
        return full_precision(self.q, self.torso(self.normaliser(observation)))


def _normalise_layers(module: nn.Module) -> int:
    """Put LayerNorm between every layer and its ReLU, and say between how many."""
    count = 0
    for name, child in module.named_children():
        if type(child) is not nn.Sequential:
            count += _normalise_layers(child)
            continue
        layers: list[nn.Module] = []
        for layer in child:
            if isinstance(layer, nn.ReLU) and layers and (norm := _norm_of(layers[-1])):
                layers.append(norm)
                count += 1
            layers.append(layer)
        setattr(module, name, nn.Sequential(*layers))
    return count


def _norm_of(layer: nn.Module) -> nn.Module | None:
    if isinstance(layer, nn.Conv2d):
        return ChannelNorm(layer.out_channels, eps=EPSILON)
    return nn.LayerNorm(layer.out_features, eps=EPSILON) if isinstance(layer, nn.Linear) else None
