"""Transformer blocks that look both ways, trained to fill in hidden tokens.

Paper: Devlin, Chang, Lee & Toutanova 2018, BERT: pre-training of deep bidirectional Transformers
for language understanding, arXiv 1810.04805. GPT's blocks without the causal mask; since a token
could then see itself, some are hidden (masking.py) and predicted from both sides. The two segments
of a text have an embedding each; the features of its first token stand for the whole.

    preset       D      layers   heads   context   vocabulary
    bert_base    768    12       12      512       30,522 word pieces
    bert_large   1024   24       16      512       30,522
    minilm       384    6        12      512       30,522        Wang et al. 2020, arXiv 2002.10957
    bert_tiny    128    4        4       128       30,522        ours: trains on a CPU

GELU is the exact form, post-norm with epsilon 1e-12, as in the authors' code; so is the output of
masked tokens: a layer, GELU, a norm, then the embedding's matrix and a bias.

Legend: B batch, T time, D features, V vocabulary, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.learner import load_weights
from networks.base import MaskedLanguageModel, TextClassifier
from networks.blocks.activations import activation
from networks.blocks.positions import LearnedPositions
from networks.blocks.transformer_block import PostNormBlock, draw_weights
from networks.space import choice

EPSILON = 1e-12  # added to the variances of all norms


@dataclass(frozen=True)
class BertConfig:
    """Sizes of the network."""

    vocabulary: int = 30_522
    """V, number of tokens."""
    context_length: int = 512
    """Tokens that fit at once: each position has its vector."""
    width: int = choice(768, (64, 128, 256, 384, 768))
    """D, features of a token; a multiple of the heads."""
    layers: int = choice(12, (2, 4, 6, 8, 12))
    """Number of blocks."""
    heads: int = choice(12, (2, 4, 8, 12))
    """Attention heads, which share D evenly."""
    activation: str = choice("gelu", ("relu", "gelu", "gelu_tanh", "swish", "mish"))
    """Between two matrices, by name."""
    dropout: float = choice(0.1, (0.0, 0.1, 0.2))
    """Share dropped of embeddings, attention weights and what each sublayer computed."""
    init_std: float = 0.02
    """Of the first weights. A narrower network needs more: 0.02 sqrt(768 / D)."""
    first_positions: str = choice("random", ("random", "sinusoid"))
    """What the learned positions are at first; neighbours are found much sooner from a sinusoid."""


PRESETS = {
    "bert_base": BertConfig(),
    "bert_large": BertConfig(width=1024, layers=24, heads=16),
    "minilm": BertConfig(width=384, layers=6),
    "bert_tiny": BertConfig(
        context_length=128, width=128, layers=4, heads=4, init_std=0.05, first_positions="sinusoid"
    ),
}


class Embeddings(nn.Module):
    """A token's word, position and segment, added and normalised."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = LearnedPositions(config.width, config.context_length)
        self.segments = nn.Embedding(2, config.width)
        self.norm = nn.LayerNorm(config.width, EPSILON)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, tokens: Tensor, segments: Tensor | None) -> Tensor:
        """Tokens int64 [B, T], and segments int64 [B, T] or None for the first, to [B, T, D]."""
        segments = torch.zeros_like(tokens) if segments is None else segments
        x = self.words(tokens) + self.segments(segments) + self.positions(tokens)  # [B, T, D]
        embedded: Tensor = self.dropout(self.norm(x))
        return embedded


class Projections(nn.Module):
    """Queries, keys and values by a matrix each, as BERT's weights have them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, D] to [B, T, 3 D]"""
        return torch.cat((self.query(x), self.key(x), self.value(x)), dim=-1)


class BertEncoder(nn.Module):
    """Embeddings and blocks.

    Raises:
        UserError: the width is not a multiple of the heads, or an unknown activation.
    """

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.blocks = nn.ModuleList(
            PostNormBlock(config, Projections(config.width), EPSILON) for _ in range(config.layers)
        )
        _draw(self, config.init_std)
        if config.first_positions == "sinusoid":
            self.embeddings.positions.begin_as_sinusoid(config.init_std)

    def forward(
        self, tokens: Tensor, attend: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """Features of every position, [B, T, D].

        Args:
            tokens: int64 [B, T].
            attend: bool [B, T], false at padding; None where there is none. Every text must have
                a token that is not padding.
            segments: int64 [B, T], 0 or 1; None where all are 0.

        Raises:
            UserError: the tokens are more than the context holds.
        """
        mask = None if attend is None else attend[:, None, None, :]  # [B, 1, 1, T]
        x: Tensor = self.embeddings(tokens, segments)  # [B, T, D]
        for block in self.blocks:
            x, _ = block(x, mask)
        return x


class BertMasked(MaskedLanguageModel):
    """The encoder, and an output that predicts the token of every position."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.config = config
        self.context_length = config.context_length
        self.encoder = BertEncoder(config)
        self.transform = nn.Sequential(
            nn.Linear(config.width, config.width),
            activation(config.activation),
            nn.LayerNorm(config.width, EPSILON),
        )
        self.bias = nn.Parameter(torch.zeros(config.vocabulary))
        _draw(self.transform, config.init_std)

    def forward(
        self, tokens: Tensor, attend: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """Logits of every position, [B, T, V]. Takes and raises what `BertEncoder` does."""
        x = self.transform(self.encoder(tokens, attend, segments))  # [B, T, D]
        return F.linear(x, self.encoder.embeddings.words.weight, self.bias)  # [B, T, V]

    def build_classifier(self, num_classes: int) -> BertClassifier:
        """A classifier of texts of the same sizes, with fresh weights."""
        return BertClassifier(self.config, num_classes)


class BertPooled(nn.Module):
    """The encoder, and a layer that makes of its first position a vector of the whole text."""

    def __init__(self, config: BertConfig) -> None:
        super().__init__()
        self.encoder = BertEncoder(config)
        self.pooler = nn.Linear(config.width, config.width)
        _draw(self.pooler, config.init_std)

    def forward(
        self, tokens: Tensor, attend: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """Vectors [B, D]. Takes and raises what `BertEncoder` does."""
        features = self.encoder(tokens, attend, segments)  # [B, T, D]
        pooled: Tensor = self.pooler(features[:, 0]).tanh()
        return pooled


class BertClassifier(TextClassifier):
    """The pooled text, and the one layer that the paper adds for a task with K classes."""

    reads_last = False

    def __init__(self, config: BertConfig, num_classes: int) -> None:
        super().__init__()
        self.text = BertPooled(config)
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.width, num_classes)
        _draw(self.output, config.init_std)

    def forward(
        self, tokens: Tensor, attend: Tensor | None = None, segments: Tensor | None = None
    ) -> Tensor:
        """Logits [B, K]. Takes and raises what `BertEncoder` does."""
        logits: Tensor = self.output(self.dropout(self.text(tokens, attend, segments)))
        return logits

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """The encoder's; the pooler keeps its first ones, since `BertMasked` has none."""
        place = "encoder."
        found = {
            name.removeprefix(place): w for name, w in weights.items() if name.startswith(place)
        }
        load_weights(self.text.encoder, found)


def _draw(network: nn.Module, std: float) -> None:
    """First weights from a normal distribution that is cut off at two deviations."""
    draw_weights(network, partial(nn.init.trunc_normal_, std=std, a=-2 * std, b=2 * std))


def build(config: BertConfig) -> nn.Module:
    """The masked language model of a config. Raises what `BertEncoder` does."""
    return BertMasked(config)


NAMES = {
    "embeddings.word_embeddings": "encoder.embeddings.words",
    "embeddings.position_embeddings": "encoder.embeddings.positions",
    "embeddings.token_type_embeddings": "encoder.embeddings.segments",
    "embeddings.LayerNorm": "encoder.embeddings.norm",
    "embeddings.position_ids": None,  # 0, 1, 2, ... in old files
    "attention.self.query": "attention.projection.query",
    "attention.self.key": "attention.projection.key",
    "attention.self.value": "attention.projection.value",
    "attention.output.dense": "attention.output",
    "attention.output.LayerNorm": "norm1",
    "intermediate.dense": "feed_forward.0",
    "output.dense": "feed_forward.2",
    "output.LayerNorm": "norm2",
    "pooler.dense": "pooler",
    "cls.predictions.transform.dense": "transform.0",
    "cls.predictions.transform.LayerNorm": "transform.2",
    "cls.predictions.bias": "bias",
    "cls.predictions.decoder.bias": "bias",  # once more
    "cls.predictions.decoder.weight": None,  # the embedding once more
}
"""Layers and tensors by their official names, and ours."""


def _ours(name: str) -> str | None:
    name = name.removeprefix("bert.")
    if name in NAMES:
        return NAMES[name]
    layer, _, kind = name.rpartition(".")
    kind = {"gamma": "weight", "beta": "bias"}.get(kind, kind)  # in files from TensorFlow
    block = ""
    if layer.startswith("encoder.layer."):
        number, _, layer = layer.removeprefix("encoder.layer.").partition(".")
        block = f"encoder.blocks.{number}."
    return f"{block}{NAMES.get(layer, layer)}.{kind}"


def rename(name: str) -> str | None:
    """From the official name of a tensor to that in `BertMasked`, which has no pooler."""
    outside = ("bert.pooler.", "pooler.", "cls.seq_relationship.")
    return None if name.startswith(outside) else _ours(name)


def rename_pooled(name: str) -> str | None:
    """From the official name of a tensor to that in `BertPooled`, which has no other output."""
    return None if name.startswith("cls.") else _ours(name)
