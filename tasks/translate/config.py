"""Options of translation, and settings that are quick on a processor. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import RunConfig, free, locked, warn
from core.errors import UserError
from tasks.options import TrainingConfig, short_name


@dataclass(frozen=True)
class TranslateConfig:
    """Translation. A step is a pair of sentences."""

    data: str = warn("multi30k")
    """multi30k, bible (endings es and en), a folder with train.de, train.en, val.*, test*.*, or a
    file of sentences."""
    data_target: str = warn("")
    """With --data FILE: the file of the translations, line by line."""
    source_ending: str = locked("de")
    """Of a folder's files in the language that is translated."""
    target_ending: str = locked("en")
    """Of a folder's files in the language that is translated into."""
    network: str = locked("transformer_small")
    """Any network of kind translation (see: tengen networks)."""
    network_options: str = locked("")
    """Changes to its options, as name=value with blanks between them."""
    weights: str = warn("")
    """Safetensors file to start from: the reference implementation's weights, or ours."""
    vocabulary: int = locked(4000, at_least=256, at_most=1_000_000)
    """Byte pairs, learned from both languages together."""
    longest: int = locked(60, at_least=1)
    """Tokens of a sentence; longer ones are not trained on and their translations are cut off."""
    beams: int = free(4, at_least=1)
    """Translations kept while searching for the best in a test; 1 takes the likeliest token."""
    alpha: float = free(0.6, at_least=0)
    """Strength of the length penalty of that search (Wu et al. 2016)."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @property
    def env(self) -> str:
        """The data and the languages, as results name them."""
        if self.data_target:
            return f"{short_name(self.data)}-{short_name(self.data_target)}"
        return f"{short_name(self.data)}-{self.source_ending}-{self.target_ending}"

    def validate(self) -> None:
        """Raise UserError for values that cannot work."""
        for name in ("source_ending", "target_ending"):
            if not getattr(self, name).replace("-", "_").isidentifier():
                raise UserError(
                    f"--{name.replace('_', '-')} must be the ending of a file's name, such as de, "
                    f"got {getattr(self, name)}"
                )


DEFAULT_PRESET = "multi30k-transformer"

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "multi30k-transformer": (
        "a small Transformer, German captions into English (default)",
        {
            "network_options": "dropout=0.2",
            "training": {
                "epochs": 12.0,
                "batch_size": 64,
                "optimiser": "adam",
                "beta2": 0.98,
                "learning_rate": 1e-3,
                "schedule": "inverse_sqrt",
                "warmup": 0.15,
                "label_smoothing": 0.1,
            },
        },
    ),
    "multi30k-rnnsearch": (
        "recurrent networks with attention, smaller than the paper's",
        {
            "network": "rnnsearch",
            "network_options": "width=256 embedding=192 alignment=256 maxout=192",
            "training": {
                "epochs": 10.0,
                "batch_size": 64,
                "optimiser": "adam",
                "learning_rate": 1e-3,
                "max_gradient_norm": 1.0,
            },
        },
    ),
}
