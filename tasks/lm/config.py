"""Options of language models, and settings that are quick on a processor. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config import RunConfig, free, locked, warn
from tasks.options import TrainingConfig, check_vocabulary, short_name


@dataclass(frozen=True)
class LanguageModelConfig:
    """A language model. A step is a window of context_length tokens."""

    data: str = warn("austen")
    """austen (six novels), or a text file."""
    network: str = locked("gpt2_tiny")
    """Any network of kind language (see: tengen networks)."""
    network_options: str = locked("")
    """Changes to its options, as name=value with blanks between them."""
    weights: str = warn("")
    """Safetensors file to start from: the reference implementation's weights, or ours."""
    tokenizer: Literal["characters", "bytes", "bpe"] = locked("characters")
    """What a token is; bpe is learned from the training text."""
    vocabulary: int = locked(2000)
    """Tokens of bpe."""
    context_length: int = locked(128, at_least=1)
    """Tokens that are seen at once."""
    segment_length: int = locked(0, at_least=0)
    """Read a window in pieces of so many tokens, with the network's memory handed on from piece to
    piece and no gradient between them; 0 for all at once."""
    ngram_order: int = free(5, at_least=1)
    """Longest n-grams of the Kneser-Ney model that a test is compared with."""
    sample_tokens: int = free(400, at_least=0)
    """Tokens written by the network when it is tested; 0 for none."""
    temperature: float = free(0.8, at_least=0)
    """Of that writing: below 1 likely tokens become likelier, 0 takes the likeliest."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The data, as results name them."""
        return short_name(self.data)

    def validate(self) -> None:
        """Raise UserError for values that cannot work."""
        check_vocabulary(self.tokenizer, self.vocabulary)


DEFAULT_PRESET = "austen-gpt"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "austen-gpt": (
        "a small GPT-2 on Jane Austen's characters (default)",
        {
            "network_options": "dropout=0.0",
            "training": {
                "epochs": 6.0,
                "batch_size": 16,
                "learning_rate": 2e-3,
                "beta2": 0.99,
                "weight_decay": 0.1,
                "max_gradient_norm": 1.0,
            },
        },
    ),
    "austen-xl": (
        "a small Transformer-XL on the same characters, in segments with a memory",
        {
            "network": "transformer_xl_tiny",
            "context_length": 512,
            "segment_length": 128,
            "training": {
                "epochs": 6.0,
                "batch_size": 8,
                "learning_rate": 2e-3,
                "beta2": 0.99,
                "weight_decay": 0.1,
                "max_gradient_norm": 1.0,
            },
        },
    ),
    "austen-reformer": (
        "a small Reformer on the same characters: hashed attention, reversible layers",
        {
            "network": "reformer_tiny",
            "context_length": 512,
            "training": {
                "epochs": 6.0,
                "batch_size": 8,
                "learning_rate": 2e-3,
                "beta2": 0.99,
                "weight_decay": 0.1,
                "max_gradient_norm": 1.0,
            },
        },
    ),
    "austen-elmo": (
        "a small ELMo on 2000 byte pairs: letters, and layers that read in both directions",
        {
            "network": "elmo_tiny",
            "tokenizer": "bpe",
            "context_length": 64,
            "training": {
                "epochs": 6.0,
                "batch_size": 16,
                "learning_rate": 2e-3,
                "max_gradient_norm": 1.0,
            },
        },
    ),
    "austen-lstm": (
        "an LSTM on the same characters",
        {
            "network": "lstm_small",
            "network_options": "width=256 layers=1 tied=true",
            "training": {
                "epochs": 6.0,
                "batch_size": 16,
                "learning_rate": 4e-3,
                "max_gradient_norm": 1.0,
            },
        },
    ),
}
