"""Masked language modelling: cross-entropy and accuracy on the tokens that were hidden.

Legend: B windows of a batch, T tokens of one, V vocabulary with the mask, M hidden tokens.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.agent import Assessment
from core.learner import Arithmetic
from networks.base import MaskedLanguageModel
from networks.language.masking import mask_tokens
from tasks.mlm.baselines import bigram_guesses, unigram_guess
from tasks.mlm.config import MaskedConfig
from tasks.network_options import build_fitted
from tasks.problem import Scored, Stop, standard_error
from tasks.token_data import count_windows, load_tokens, random_windows, windows_at_once

VALIDATION_TOKENS = 50_000
"""Read while training; a test reads all of its part."""
EXAMPLES = 3
"""Windows shown with what the network put in."""


@dataclass(frozen=True)
class Guesses:
    """What was hidden in a text, and what the network put in its place; int64 [M] each."""

    hidden: np.ndarray
    left: np.ndarray
    """The token before each; the hidden one itself at the beginning of the text."""
    guessed: np.ndarray
    nats: float
    """Mean surprise at the hidden tokens."""

    @property
    def accuracy(self) -> float:
        """Share of right guesses."""
        return float((self.guessed == self.hidden).mean())


class MaskedLanguageModelling:
    """A text in windows, and how well hidden tokens are told."""

    def __init__(self, config: MaskedConfig) -> None:
        """Read the text. Raises UserError when it is not here, damaged or too short."""
        self.config = config
        self.data = load_tokens(config.data, config.tokenizer, config.vocabulary)
        self.num_examples = count_windows(self.data.train, config.context_length)
        self.mask = self.data.tokenizer.size

    def build_network(self) -> nn.Module:
        """The network for this vocabulary, the mask and this context. Raises UserError."""
        config = self.config
        fitted = {"vocabulary": self.mask + 1, "context_length": config.context_length}
        return build_fitted(config.network, "masked", config.network_options, fitted)

    def batch(self, examples: np.ndarray, random: np.random.Generator) -> dict[str, np.ndarray]:
        """What is seen and what is true, int64 [B, T], and which tokens count, bool [B, T]."""
        length = self.config.context_length
        tokens = random_windows(self.data.train, examples, length, random)[:, :-1]
        seen, chosen = self._hide(tokens, int(random.integers(2**62)))
        return {"seen": seen, "tokens": tokens, "chosen": chosen}

    def _hide(self, tokens: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """What the network sees, int64 [B, T], and which tokens it must tell, bool [B, T]."""
        generator = torch.Generator().manual_seed(seed)
        seen, chosen = mask_tokens(
            torch.from_numpy(tokens), self.mask, self.mask, generator, self.config.hidden
        )
        return seen.numpy(), chosen.numpy()

    def loss(
        self, network: nn.Module, batch: Mapping[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Cross-entropy on the chosen tokens, and the accuracy."""
        chosen = batch["chosen"]
        assert isinstance(network, MaskedLanguageModel)
        logits = network.logits_of_hidden(batch["seen"], batch["tokens"], chosen).float()  # [M, V]
        hidden = batch["tokens"][chosen]
        smoothing = self.config.training.label_smoothing
        loss = F.cross_entropy(logits, hidden, label_smoothing=smoothing)
        right = (logits.detach().argmax(dim=1) == hidden).float()
        return loss, {"masked_accuracy": right.mean()}

    def validate(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Assessment | None:
        """Accuracy on hidden tokens of the validation part."""
        tokens = self.data.validation[:VALIDATION_TOKENS]
        found = self._guess(network, arithmetic, tokens, stop)
        if found is None:
            return None
        accuracy, perplexity = found.accuracy, math.exp(min(found.nats, 100.0))
        scalars = {
            "validation/masked_accuracy": accuracy,
            "validation/masked_perplexity": perplexity,
        }
        text = f"validation: {accuracy:.2%} of hidden tokens told, perplexity {perplexity:.2f}"
        return Assessment([accuracy], accuracy, scalars, text)

    def test(self, network: nn.Module, arithmetic: Arithmetic, stop: Stop) -> Scored | None:
        """Accuracy on hidden tokens of the test part, beside guesses from counts."""
        found = self._guess(network, arithmetic, self.data.test, stop)
        if found is None:
            return None
        train, vocabulary = self.data.train, self.data.tokenizer.size
        unigram = float((found.hidden == unigram_guess(train)).mean())
        guesses = bigram_guesses(train, found.left, vocabulary)
        bigram = float((found.hidden == guesses).mean())
        error = standard_error(int((found.guessed == found.hidden).sum()), len(found.hidden))
        scores = {
            "masked_accuracy": found.accuracy,
            "standard_error": error,
            "masked_perplexity": math.exp(min(found.nats, 100.0)),
            "unigram_accuracy": unigram,
            "bigram_accuracy": bigram,
        }
        lines = [
            f"test: {found.accuracy:.2%} ± {error:.2%} (standard error) of {len(found.hidden):,} "
            f"hidden tokens told, perplexity {scores['masked_perplexity']:.2f}",
            f"yardsticks: {unigram:.2%} by the commonest token, {bigram:.2%} by the commonest "
            f"behind the one on the left",
        ]
        examples = self.examples(network, arithmetic)
        return Scored(scores, [*lines, *examples], {"examples": examples})

    @torch.no_grad()
    def _guess(
        self, network: nn.Module, arithmetic: Arithmetic, tokens: np.ndarray, stop: Stop
    ) -> Guesses | None:
        """Hide tokens of a text, always the same, all behind the mask; None where stopped."""
        length = min(self.config.context_length, len(tokens))
        starts = np.arange(0, len(tokens) - length + 1, length)
        places = starts[:, None] + np.arange(length)
        windows = tokens[places]
        seen, chosen = self._hide_for_test(windows)
        guessed, nats = [], 0.0
        size = windows_at_once(length, self.mask + 1)
        for first in range(0, len(windows), size):
            if stop():
                return None
            rows = slice(first, first + size)
            with arithmetic.autocast():
                logits = network(arithmetic.tensor(seen[rows])).float()
            logits = logits[arithmetic.tensor(chosen[rows])]  # [M, V]
            hidden = arithmetic.tensor(windows[rows][chosen[rows]])
            nats += float(F.cross_entropy(logits, hidden, reduction="sum"))
            guessed.append(logits.argmax(dim=1).cpu().numpy())
        hidden_at = places[chosen]
        return Guesses(
            tokens[hidden_at],
            tokens[np.maximum(hidden_at - 1, 0)],
            np.concatenate(guessed),
            nats / len(hidden_at),
        )

    def _hide_for_test(self, windows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The same tokens every time, all of them behind the mask."""
        _, chosen = self._hide(windows, seed=0)
        return np.where(chosen, self.mask, windows), chosen

    @torch.no_grad()
    def examples(self, network: nn.Module, arithmetic: Arithmetic) -> list[str]:
        """The first windows of the test part; where tokens were hidden, [guess|truth]."""
        length = min(self.config.context_length, len(self.data.test))
        count = min(EXAMPLES, len(self.data.test) // length)
        windows = self.data.test[: count * length].reshape(count, length)
        seen, chosen = self._hide_for_test(windows)
        with arithmetic.autocast():
            guessed = network(arithmetic.tensor(seen)).argmax(dim=2).cpu().numpy()
        decode = self.data.tokenizer.decode
        lines = []
        for row in range(count):
            pieces = [
                f"[{decode([int(guess)])}|{decode([int(token)])}]" if hidden
                else decode([int(token)])
                for token, guess, hidden in zip(
                    windows[row], np.minimum(guessed[row], self.mask - 1), chosen[row], strict=True
                )
            ]  # fmt: skip
            lines.append("    " + " ".join("".join(pieces).split()))
        return lines

    def pictures(self, batch: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """None."""
        return {}

    def identity(self) -> dict[str, Any]:
        """The data's digest and the size of the vocabulary."""
        return self.data.identity()

    def describe(self) -> list[str]:
        """Sizes and licence."""
        return self.data.describe(self.num_examples, self.config.context_length)
