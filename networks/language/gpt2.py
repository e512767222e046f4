"""GPT with its norms moved, at four sizes.

Paper: Radford, Wu, Child, Luan, Amodei & Sutskever 2019, Language models are unsupervised multitask
learners. Against GPT it normalises what each sublayer is given, not what it adds to, and once more
at the end, so that a straight path leads from the embedding to the output; the first weights of
layers that add to this path are divided by the root of their number; the context is twice as long;
tokens are made of bytes (bpe.py).

    preset        D      layers   heads   context   vocabulary
    gpt2          768    12       12      1024      50,257 byte pairs
    gpt2_medium   1024   24       16      1024      50,257
    gpt2_large    1280   36       20      1024      50,257
    gpt2_xl       1600   48       25      1024      50,257
    gpt2_tiny     128    4        4       128       256 bytes           ours: trains on a CPU

The paper says 117, 345, 762 and 1542 million parameters; the published weights have 124, 355, 774
and 1558, and so have these presets.

Legend: B batch, T time, D features.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from networks.blocks.attention import KeysValues
from networks.blocks.transformer_block import SelfAttention, feed_forward
from networks.language.gpt import GPT, TRANSPOSED, GPTConfig, rename

__all__ = ["PRESETS", "TRANSPOSED", "PreNormBlock", "build", "rename"]

GPT2 = GPTConfig(vocabulary=50_257, context_length=1024)
"""The smallest of the paper."""
PRESETS = {
    "gpt2": GPT2,
    "gpt2_medium": replace(GPT2, width=1024, layers=24, heads=16),
    "gpt2_large": replace(GPT2, width=1280, layers=36, heads=20),
    "gpt2_xl": replace(GPT2, width=1600, layers=48, heads=25),
    "gpt2_tiny": GPTConfig(vocabulary=256, context_length=128, width=128, layers=4, heads=4),
}


class PreNormBlock(nn.Module):
    """x = x + attention(norm(x)), then x = x + feed_forward(norm(x))"""

    def __init__(self, config: GPTConfig) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(config.width)
        self.attention = SelfAttention(config, nn.Linear(config.width, 3 * config.width))
        self.norm2 = nn.LayerNorm(config.width)
        self.feed_forward = feed_forward(config)
        self.dropout = nn.Dropout(config.dropout)

    def forward(
        self, x: Tensor, mask: Tensor | None, past: KeysValues | None = None
    ) -> tuple[Tensor, KeysValues]:
        """Takes and returns what `SelfAttention` does."""
        found, kept = self.attention(self.norm1(x), mask, past)
        x = x + self.dropout(found)
        x = x + self.dropout(self.feed_forward(self.norm2(x)))
        return x, kept


def build(config: GPTConfig) -> nn.Module:
    """The language model of a config.

    Raises:
        UserError: the width is not a multiple of the heads, or an unknown activation.
    """
    blocks = (PreNormBlock(config) for _ in range(config.layers))
    network = GPT(config, blocks, nn.LayerNorm(config.width))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(("attention.output.weight", "feed_forward.2.weight")):
                parameter.div_(math.sqrt(2 * config.layers))
    return network
