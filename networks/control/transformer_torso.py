"""A small Transformer encoder: Vaswani et al. 2017, Attention is all you need, arXiv 1706.03762.

What is seen becomes a grid of tokens, each of which looks at all others: patches of frames, cells
of a board, or the features of a vector.

Deviations: each sublayer is normalised before, not after (as in GPT-2), so that no warm-up is
needed; GELU; and the paper's sinusoids tell rows with one half of the features and columns with
the other, so that no weight depends on the size of the grid.

Legend: B batch, K frames, C channels, H W plane, h w grid of T tokens, D features.
"""

from __future__ import annotations

from itertools import count
from math import ceil, gcd

import torch
from torch import Tensor, nn
from torch.nn import functional

from core.lanes import ObservationSpec
from networks.blocks.attention import MultiHeadAttention
from networks.torso import Torso, image_channels, scale_image

WIDTH = 64
"""D of the torso."""
BLOCKS = 3
HEADS = 4
MOST_TOKENS = 100
"""Larger images are cut into larger patches."""


class EncoderBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x))"""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, gcd(HEADS, width))
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D]"""
        seen = self.norm1(x)
        x = x + self.attention(seen, self.attention.remember(seen))
        x = x + self.mlp(self.norm2(x))
        return x


class TransformerTrunk(nn.Module):
    """Planes [B, C, H, W] to maps [B, D, h, w], one place for each patch."""

    def __init__(self, channels: int, width: int, blocks: int, patch: int = 1) -> None:
        """Args:
        channels: C.
        width: D.
        blocks: of the encoder.
        patch: side of the squares that become tokens; planes are filled up with zeros.
        """
        super().__init__()
        self.patch = patch
        self.embedding = nn.Conv2d(channels, width, patch, stride=patch)
        self.blocks = nn.Sequential(*(EncoderBlock(width) for _ in range(blocks)))
        self.norm = nn.LayerNorm(width)

    def forward(self, planes: Tensor) -> Tensor:
        """[B, C, H, W] to [B, D, h, w]"""
        height, width = planes.shape[2:]
        right, below = -width % self.patch, -height % self.patch
        tokens = self.embedding(functional.pad(planes, (0, right, 0, below)))  # [B, D, h, w]
        _, features, rows, columns = tokens.shape
        x = tokens + positions(features, rows, columns, tokens.device).to(tokens.dtype)
        x = x.flatten(2).transpose(1, 2)  # [B, T, D]
        x = self.norm(self.blocks(x))
        maps: Tensor = x.transpose(1, 2).unflatten(2, (rows, columns))  # [B, D, h, w]
        return maps


class TransformerTorso(Torso):
    """Observations of any kind [B, ...] -> features [B, 64], the mean over tokens."""

    num_features = WIDTH

    def __init__(self, spec: ObservationSpec) -> None:
        """Images are cut into patches, at most 100; each feature of a vector is a token."""
        super().__init__()
        self.spec = spec
        if spec.is_image:
            patch = patch_side(*spec.shape[:2])
            self.trunk = TransformerTrunk(image_channels(spec), WIDTH, BLOCKS, patch)
        else:
            self.trunk = TransformerTrunk(spec.stack, WIDTH, BLOCKS)

    def forward(self, observation: Tensor) -> Tensor:
        """Frames uint8 [B, K, H, W] or [B, K, H, W, C], or vectors, to features [B, 64]."""
        features: Tensor = self.trunk(self._planes(observation)).mean(dim=(2, 3))
        return features

    def _planes(self, observation: Tensor) -> Tensor:
        if self.spec.is_image:
            return scale_image(observation)  # [B, C, H, W]
        vectors = observation.reshape(len(observation), self.spec.stack, 1, *self.spec.shape)
        bytes_in = self.spec.dtype == "uint8" and not observation.is_floating_point()
        scale = 1.0 / 255.0 if bytes_in else 1.0  # floats are normalised already
        return vectors.to(torch.get_default_dtype()) * scale  # [B, K, 1, features]


def patch_side(height: int, width: int) -> int:
    """The smallest side of patches that gives no more than `MOST_TOKENS`."""
    return next(
        side for side in count(1) if ceil(height / side) * ceil(width / side) <= MOST_TOKENS
    )


def positions(features: int, height: int, width: int, device: torch.device | None = None) -> Tensor:
    """Where each token of a grid is, float32 [D, h, w]: section 3.5's sinusoids of its row, then
    of its column."""
    pairs = ceil(features / 4)
    frequencies = 10_000.0 ** (-torch.arange(pairs, device=device) / pairs)  # [D / 4]
    rows = torch.arange(height, device=device)[:, None].expand(height, width)
    columns = torch.arange(width, device=device).expand(height, width)
    angles = [place * frequencies[:, None, None] for place in (rows, columns)]  # [D / 4, h, w]
    waves = [wave for angle in angles for wave in (angle.sin(), angle.cos())]
    return torch.cat(waves)[:features]
