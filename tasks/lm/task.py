"""Language modelling: cross-entropy of each next token, perplexity, bits per character.

Legend: B windows of a batch, T tokens of one, V vocabulary, N tokens of a part.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.agent import Assessment
from core.learner import Arithmetic
from networks.base import LanguageModel
from networks.language.generate import Sampling, generate
from tasks.lm.config import LanguageModelConfig
from tasks.lm.ngram import KneserNey
from tasks.network_options import build_fitted
from tasks.problem import Scored, Stop
from tasks.token_data import count_windows, load_tokens, random_windows, window_batches

VALIDATION_TOKENS = 50_000
"""Scored while training; a test scores all of its part."""


class LanguageModelling:
    """A text in windows, and how well each next token is foreseen."""

    def __init__(self, config: LanguageModelConfig) -> None:
        """Read the text. Raises UserError when it is not here, damaged or too short."""
        self.config = config
        self.data = load_tokens(config.data, config.tokenizer, config.vocabulary)
        self.num_examples = count_windows(self.data.train, config.context_length)

    def build_network(self) -> nn.Module:
        """The network for this vocabulary and context. Raises UserError."""
        config = self.config
        fitted = {
            "vocabulary": self.data.tokenizer.size,
            "context_length": config.context_length,
            "spellings": self.data.tokenizer.spellings(),
        }
        return build_fitted(config.network, "language", config.network_options, fitted)

    def batch(self, examples: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """Tokens int64 [B, T + 1]."""
        length = self.config.context_length
        return {"tokens": random_windows(self.data.train, examples, length, random)}

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy, nats per token; the mean of both directions where there are two."""
        assert isinstance(network, LanguageModel)
        tokens = batch["tokens"]
        ahead = self._cross_entropy(self._read(network, tokens[:, :-1]), tokens[:, 1:])
        behind = network.logits_backwards(tokens[:, 1:])
        if behind is None:
            return ahead, {}
        return (ahead + self._cross_entropy(behind.float(), tokens[:, :-1])) / 2, {}

    def _cross_entropy(self, logits: Tensor, tokens: Tensor) -> Tensor:
        smoothing = self.config.training.label_smoothing
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), label_smoothing=smoothing)

    def validate(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Assessment | None:
        """Minus the perplexity on the beginning of the validation part."""
        tokens = self.data.validation[:VALIDATION_TOKENS]
        nats = self._surprise(network, arithmetic, tokens, stop)
        if nats is None:
            return None
        perplexity = math.exp(min(nats, 100.0))
        bits = self._bits_per_character(nats, tokens)
        scalars = {"validation/perplexity": perplexity, "validation/bits_per_character": bits}
        text = f"validation perplexity {perplexity:.3f}, {bits:.3f} bits per character"
        return Assessment([-perplexity], -perplexity, scalars, text)

    def test(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Scored | None:
        """Perplexity on the test part beside that of n-grams, and a text that the network wrote."""
        config, tokens = self.config, self.data.test
        nats = self._surprise(network, arithmetic, tokens, stop)
        if nats is None:
            return None
        order = min(config.ngram_order, len(self.data.train))
        ngrams = KneserNey(self.data.train, self.data.tokenizer.size, order)
        yardstick = math.log(ngrams.perplexity(tokens))
        if stop():
            return None
        characters = self._bits_per_character
        scores = {
            "perplexity": math.exp(min(nats, 100.0)),
            "bits_per_character": characters(nats, tokens),
            "bits_per_byte": self._bits_per_byte(nats, tokens),
            "ngram_perplexity": math.exp(yardstick),
            "ngram_bits_per_character": characters(yardstick, tokens),
        }
        lines = [
            f"test perplexity {scores['perplexity']:.3f} per token, "
            f"{scores['bits_per_character']:.4f} bits per character, "
            f"{scores['bits_per_byte']:.4f} per byte ({len(tokens):,} tokens)",
            f"yardstick, {order}-grams with Kneser-Ney smoothing: perplexity "
            f"{scores['ngram_perplexity']:.3f}, {scores['ngram_bits_per_character']:.4f} bits per "
            f"character",
        ]
        details: dict[str, Any] = {"tokens": len(tokens), "ngram_order": order}
        if config.sample_tokens:
            details["sample"] = self.write(network, arithmetic)
            lines += ["it writes:", *(f"    {row}" for row in details["sample"].splitlines())]
        return Scored(scores, lines, details)

    def write(self, network: nn.Module, arithmetic: Arithmetic) -> str:
        """A text that goes on from the beginning of the test part."""
        assert isinstance(network, LanguageModel)
        config = self.config
        prompt = self.data.test[: max(1, config.context_length // 2)]
        generator = torch.Generator().manual_seed(config.run.seed)
        with arithmetic.autocast():
            written = generate(
                network,
                arithmetic.tensor(prompt[None]),
                config.sample_tokens,
                Sampling(config.temperature),
                generator,
            )
        return self.data.tokenizer.decode(written[0, len(prompt) :].tolist())

    @torch.no_grad()
    def _surprise(
        self, network: nn.Module, arithmetic: Arithmetic, tokens: np.ndarray, stop: Stop
    ) -> float | None:
        """Mean cross-entropy, in nats, of every token but the first; None where it was stopped."""
        total = 0.0
        length, vocabulary = self.config.context_length, self.data.tokenizer.size
        for batch, scored in window_batches(tokens, length, vocabulary):
            if stop():
                return None
            windows = arithmetic.tensor(batch)
            with arithmetic.autocast():
                logits = self._read(network, windows[:, :-1])
            counts = arithmetic.tensor(scored)
            total += float(F.cross_entropy(logits[counts], windows[:, 1:][counts], reduction="sum"))
        return total / (len(tokens) - 1)

    def _read(self, network: nn.Module, tokens: Tensor) -> Tensor:
        """Logits float32 [B, T, V] of windows [B, T], read in segments where the options say so."""
        length = self.config.segment_length or tokens.shape[1]
        state, pieces = None, []
        for first in range(0, tokens.shape[1], length):
            segment = tokens[:, first : first + length]
            logits, state = network(segment, _without_gradient(state))
            pieces.append(logits)
        return torch.cat(pieces, dim=1).float()

    def _bits_per_character(self, nats: float, tokens: np.ndarray) -> float:
        text = self.data.tokenizer.decode(tokens[1:].tolist())
        return nats * (len(tokens) - 1) / math.log(2) / max(1, len(text))

    def _bits_per_byte(self, nats: float, tokens: np.ndarray) -> float:
        text = self.data.tokenizer.decode(tokens[1:].tolist())
        return nats * (len(tokens) - 1) / math.log(2) / max(1, len(text.encode()))

    def pictures(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """None."""
        return {}

    def identity(self) -> dict[str, Any]:
        """The data's digest and the size of the vocabulary."""
        return self.data.identity()

    def describe(self) -> list[str]:
        """Sizes and licence."""
        return self.data.describe(self.num_examples, self.config.context_length)


def _without_gradient(state: Any) -> Any:
    """A network's state, cut off from what it was computed of."""
    if isinstance(state, tuple):
        return tuple(_without_gradient(part) for part in state)
    return state.detach() if isinstance(state, Tensor) else state
