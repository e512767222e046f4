"""Options of masked language models, and settings that are quick. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config import RunConfig, locked, warn
from tasks.options import TrainingConfig, check_vocabulary, short_name


@dataclass(frozen=True)
class MaskedConfig:
    """A masked language model. A step is a window of context_length tokens."""

    data: str = warn("austen")
    """austen (six novels), or a text file."""
    network: str = locked("bert_tiny")
    """Any network of kind masked (see: tengen networks)."""
    network_options: str = locked("")
    """Changes to its options, as name=value with blanks between them."""
    weights: str = warn("")
    """Safetensors file to start from: the reference implementation's weights, or ours."""
    tokenizer: Literal["characters", "bytes", "bpe"] = locked("bpe")
    """What a token is; bpe is learned from the training text."""
    vocabulary: int = locked(1000)
    """Tokens of bpe."""
    context_length: int = locked(64, at_least=1)
    """Tokens that are seen at once."""
    hidden: float = warn(0.15, over=0, under=1)
    """Share of the tokens that is to be predicted (Devlin et al. 2018)."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The data, as results name them."""
        return short_name(self.data)

    def validate(self) -> None:
        """Raise UserError for values that cannot work."""
        check_vocabulary(self.tokenizer, self.vocabulary)


DEFAULT_PRESET = "austen-bert"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "austen-bert": (
        "a small BERT on Jane Austen's characters (default)",
        {
            "tokenizer": "characters",
            "network_options": "dropout=0.0",
            "training": {
                "epochs": 1.5,
                "batch_size": 16,
                "learning_rate": 1e-3,
                "weight_decay": 0.01,
                "max_gradient_norm": 1.0,
                "schedule": "linear",
            },
        },
    ),
    "austen-xlnet": (
        "a small XLNet on the same characters: hidden tokens in a random order",
        {
            "tokenizer": "characters",
            "network": "xlnet_tiny",
            "training": {
                "epochs": 1.5,
                "batch_size": 16,
                "learning_rate": 1e-3,
                "weight_decay": 0.01,
                "max_gradient_norm": 1.0,
                "schedule": "linear",
            },
        },
    ),
}
