"""What networks promise to those that use them: narrow base classes, one for each kind.

    kind           input                                     output
    torso          observation [B, ...]                      features [B, D]   (torso.py)
    image          images float [B, C, H, W]                 class logits [B, K]
    language       tokens int64 [B, T], state                logits [B, T, V], state
    masked         tokens int64 [B, T], mask                 logits [B, T, V]
    translation    source int64 [B, S], target int64 [B, T]  logits [B, T, V]
    words          words int64 [B]                           vectors [B, D]
    generator      noise float [B, Z]                        samples [B, ...]

Legend: B batch, C channels, H W plane, D features, K classes, S T time, V vocabulary, Z noise.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from core.errors import UserError


class ImageNetwork(nn.Module):
    """A classifier of images whose last layer can be left off."""

    num_features: int
    """D, the width of what `forward_features` returns."""
    smallest_input: int
    """Pixels that height and width must have at least."""
    auxiliary_weight: float = 0.0
    """Of the loss of each further classifier that helps in training."""

    def forward_features(self, images: Tensor) -> Tensor:
        """Features before the classifier, [B, D]."""
        raise NotImplementedError

    def forward(self, images: Tensor) -> Tensor:
        """Class logits [B, K]."""
        raise NotImplementedError

    def logits_and_auxiliary(self, images: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        """What `forward` gives, and logits [B, K] of the further classifiers; most have none."""
        return self(images), ()

    def require_size(self, name: str, height: int, width: int) -> None:
        """Raises UserError for images smaller than the network can take."""
        if min(height, width) < self.smallest_input:
            raise UserError(
                f"network {name} needs images of {self.smallest_input}x{self.smallest_input} or "
                f"more, these are {height}x{width}"
            )


class LanguageModel(nn.Module):
    """Predicts each next token from those before it."""

    context_length: int | None
    """Tokens that fit at once; None: any number."""

    def forward(self, tokens: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Logits of the next tokens, [B, T, V], and the state to go on from.

        `state` is what the last call returned: a recurrent memory, or cached keys and values.
        """
        raise NotImplementedError

    def logits_backwards(self, tokens: Tensor) -> Tensor | None:
        """Logits [B, T, V] of the token before each, from it and those after; most read forwards
        alone and have none."""
        return None


class MaskedLanguageModel(nn.Module):
    """Predicts tokens that were hidden, from both sides."""

    context_length: int | None
    """Tokens that fit at once; None: any number."""

    def forward(self, tokens: Tensor, attend: Tensor | None = None) -> Tensor:
        """Logits of every position, [B, T, V]; `attend`, bool [B, T], is false at padding."""
        raise NotImplementedError

    def logits_of_hidden(self, seen: Tensor, tokens: Tensor, hidden: Tensor) -> Tensor:
        """Logits of the hidden tokens to learn from, [M, V]; most networks see them hidden all.

        Args:
            seen: what stands where tokens are hidden, and the others, int64 [B, T].
            tokens: all that are true, int64 [B, T].
            hidden: bool [B, T].
        """
        logits: Tensor = self(seen)[hidden]
        return logits

    def build_classifier(self, num_classes: int) -> TextClassifier:
        """A classifier of texts of the same sizes, with fresh weights."""
        raise NotImplementedError


class TextClassifier(nn.Module):
    """Tells classes of whole texts, by a masked language model without its output."""

    reads_last: bool
    """Whether the class is read from a text's last token, or from its first; a token of its own
    stands there."""

    def forward(self, tokens: Tensor, attend: Tensor | None = None) -> Tensor:
        """Class logits [B, K] of texts int64 [B, T]; `attend`, bool [B, T], is false at padding."""
        raise NotImplementedError

    def load_pretrained(self, weights: Mapping[str, Tensor]) -> None:
        """Take what masked language modelling has learned, by the names in the masked language
        model. Raises UserError for weights of another."""
        raise NotImplementedError


class Translator(nn.Module):
    """Predicts a target sequence, token by token, from a source sequence."""

    def encode(self, source: Tensor, attend: Tensor) -> Any:
        """What the decoder needs of the source; `attend`, bool [B, S], is false at padding."""
        raise NotImplementedError

    def decode(self, encoded: Any, target: Tensor) -> Tensor:
        """Logits of the tokens that follow each of `target`, [B, T, V]."""
        raise NotImplementedError

    def forward(self, source: Tensor, attend: Tensor, target: Tensor) -> Tensor:
        """Logits [B, T, V] for a target that is known (teacher forcing)."""
        return self.decode(self.encode(source, attend), target)

    @torch.no_grad()
    def attention_map(self, source: Tensor, attend: Tensor, target: Tensor) -> Tensor | None:
        """How much each target position looked at each source position, [B, T, S]; None for
        networks without attention."""
        return None


class WordModel(nn.Module):
    """A vector for each word of a vocabulary, learned from the text by kernels of its own."""

    def word_vectors(self) -> Tensor:
        """The vectors of all words, float32 [V, D]."""
        raise NotImplementedError

    def forward(self, words: Tensor) -> Tensor:
        """Vectors [B, D] of words int64 [B]."""
        return self.word_vectors()[words]


class Growth(NamedTuple):
    """How far networks have grown that begin with images of 4x4 pixels (Karras et al. 2017)."""

    level: int
    """Images have 4 * 2**level pixels a side."""
    alpha: float = 1.0
    """How far the newest level is faded in, 0 to 1."""


class Critic(nn.Module):
    """Tells samples from data; the adversary of a generator."""

    def forward(self, samples: Tensor, growth: Growth | None = None) -> Tensor:
        """Scores [B] of samples [B, ...]: higher for what looks like data. A discriminator's are
        logits."""
        raise NotImplementedError


class Generator(nn.Module):
    """Makes samples of noise. Pixels are -1 to 1."""

    noise_features: int
    """Z"""
    levels: int = 1
    """Sizes that it grows through; 1 for those that do not grow."""

    def forward(self, noise: Tensor, growth: Growth | None = None) -> Tensor:
        """Samples [B, ...] of noise [B, Z]; without `growth` fully grown."""
        raise NotImplementedError

    def sample(self, noise: Tensor, growth: Growth | None, truncation: float) -> Tensor:
        """The same as is done when training is over. `truncation`, 0 to 1, pulls samples towards
        their mean, where the network can do that."""
        samples: Tensor = self(noise, growth)
        return samples

    def build_critic(self) -> Critic:
        """The adversary of the same paper and size, with fresh weights."""
        raise NotImplementedError
