"""Language model of Transformer blocks that look back only.

Paper: Radford, Narasimhan, Salimans & Sutskever 2018, Improving language understanding by
generative pre-training. It took the blocks of the Transformer's encoder and let them see only what
came before; learned positions instead of sinusoids, GELU instead of ReLU. Trained to predict books,
the network was then tuned for other tasks. Post-norm, as in the Transformer. One matrix embeds and
gives the output.

    preset   D     layers   heads   context   vocabulary
    gpt      768   12       12      512       40,478 byte pairs

GELU is the tanh form, as in the authors' code. Keys and values can be kept, so that writing costs
one token a step; the logits are the same.

Legend: B batch, T time, D features, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial

import torch.nn.functional as F
from torch import Tensor, nn

from networks.base import LanguageModel
from networks.blocks.attention import KeysValues, causal_mask
from networks.blocks.positions import LearnedPositions
from networks.blocks.transformer_block import PostNormBlock, draw_weights
from networks.space import choice

State = tuple[KeysValues, ...]
"""What each block keeps of the tokens so far."""


@dataclass(frozen=True)
class GPTConfig:
    """Sizes of the network."""

    vocabulary: int = 40_478
    """V, number of tokens."""
    context_length: int = 512
    """Tokens that fit at once: each position has its vector."""
    width: int = choice(768, (64, 128, 256, 384, 768))
    """D, features of a token; a multiple of the heads."""
    layers: int = choice(12, (2, 4, 6, 8, 12))
    """Number of blocks."""
    heads: int = choice(12, (2, 4, 8, 12))
    """Attention heads, which share D evenly."""
    activation: str = choice("gelu_tanh", ("relu", "gelu", "gelu_tanh", "swish", "mish"))
    """Between the two matrices of the feed-forward network."""
    dropout: float = choice(0.1, (0.0, 0.1, 0.2))
    """Share dropped of embeddings, attention weights and what each sublayer computed."""


PRESETS = {"gpt": GPTConfig()}


class GPT(LanguageModel):
    """Embedding, blocks, norm, output.

    Args:
        config: sizes.
        blocks: each called with features, mask and past, as `PostNormBlock` is.
        norm: of what the last block gives.
    """

    def __init__(self, config: GPTConfig, blocks: Iterable[nn.Module], norm: nn.Module) -> None:
        super().__init__()
        self.context_length = config.context_length
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.positions = LearnedPositions(config.width, config.context_length)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(blocks)
        self.norm = norm
        draw_weights(self, partial(nn.init.normal_, std=0.02))

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the next tokens, [B, T, V], and the state after the last one.

        Args:
            tokens: int64 [B, T].
            state: what the last call returned; None at the beginning.

        Raises:
            UserError: the tokens, those before included, are more than the context holds.
        """
        past = 0 if state is None else state[0][0].shape[2]
        mask = causal_mask(tokens.shape[1], past, tokens.device)  # [T, past + T]
        x = self.dropout(self.embedding(tokens) + self.positions(tokens, past))  # [B, T, D]
        kept = []
        for i, block in enumerate(self.blocks):
            x, seen = block(x, mask, None if state is None else state[i])
            kept.append(seen)
        return F.linear(self.norm(x), self.embedding.weight), tuple(kept)  # [B, T, V]


def build(config: GPTConfig) -> nn.Module:
    """The language model of a config.

    Raises:
        UserError: the width is not a multiple of the heads, or an unknown activation.
    """
    blocks = (
        PostNormBlock(config, nn.Linear(config.width, 3 * config.width))
        for _ in range(config.layers)
    )
    return GPT(config, blocks, nn.Identity())  # post-norm has normalised already


NAMES: dict[str, str | None] = {
    "tokens_embed": "embedding",
    "wte": "embedding",  # GPT-2
    "positions_embed": "positions",
    "wpe": "positions",  # GPT-2
    "ln_1": "norm1",
    "ln_2": "norm2",
    "ln_f": "norm",  # GPT-2
    "attn.c_attn": "attention.projection",
    "attn.c_proj": "attention.output",
    "attn": None,  # a causal mask
    "mlp.c_fc": "feed_forward.0",
    "mlp.c_proj": "feed_forward.2",
    "lm_head": None,  # the embedding once more
}
"""Layers by their official names, and ours."""
TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
"""Endings of official names whose matrices are stored [inputs, outputs]."""


def rename(name: str) -> str | None:
    """From the official name of a tensor to ours."""
    layer, _, kind = name.removeprefix("transformer.").rpartition(".")
    block = ""
    if layer.startswith("h."):
        number, _, layer = layer.removeprefix("h.").partition(".")
        block = f"blocks.{number}."
    ours = NAMES.get(layer, layer)
    return None if ours is None else f"{block}{ours}.{kind}"
