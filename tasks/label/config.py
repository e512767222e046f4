"""Options of labelling texts, and settings that are quick on a processor. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config import RunConfig, locked, warn
from tasks.options import TrainingConfig, check_vocabulary, short_name


@dataclass(frozen=True)
class LabelConfig:
    """Classes of texts. A step is a text. With --initial RUN, of a run of tengen train mlm, the
    network goes on from what that learned (fine-tuning): network, tokens and context as there."""

    data: str = warn("austen")
    """austen (which novel is a passage from?), or a folder of FOLDER/CLASS.txt, a text a line."""
    network: str = locked("bert_tiny")
    """Any network of kind masked (see: tengen networks)."""
    network_options: str = locked("")
    """Changes to its options, as name=value with blanks between them."""
    text: str = locked("")
    """Text that the tokens are made of, as for the --data of tengen train mlm; '' for the texts
    that are learned from."""
    tokenizer: Literal["characters", "bytes", "bpe"] = locked("bpe")
    """What a token is; bpe is learned from the training text."""
    vocabulary: int = locked(1000)
    """Tokens of bpe."""
    context_length: int = locked(64, at_least=2)
    """Tokens that are seen of a text, its first, and one that stands for the whole."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The data, as results name them."""
        return short_name(self.data)

    @property
    def weights(self) -> str:
        """None but those of --initial: no file has tokens that fit these."""
        return ""

    def validate(self) -> None:
        """Raise UserError for values that cannot work."""
        check_vocabulary(self.tokenizer, self.vocabulary)


DEFAULT_PRESET = "austen-bert"

_SMALL: Mapping[str, Any] = {
    "tokenizer": "characters",
    "context_length": 128,
    "training": {
        "epochs": 3.0,
        "batch_size": 16,
        "learning_rate": 5e-4,
        "weight_decay": 0.01,
        "max_gradient_norm": 1.0,
        "schedule": "linear",
        "warmup": 0.1,
    },
}

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "austen-bert": (
        "a small BERT on the characters of passages of six novels (default)",
        _SMALL,
    ),
    "austen-xlnet": (
        "a small XLNet on the same",
        {**_SMALL, "network": "xlnet_tiny", "network_options": "dropout=0.1"},
    ),
}
