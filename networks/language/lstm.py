"""Language model of stacked LSTM layers.

Paper: Zaremba, Sutskever & Vinyals 2014, Recurrent neural network regularization, arXiv 1409.2329.
It made dropout work in recurrent networks: only what goes up from layer to layer is dropped, never
what goes on from step to step, so that memories last. Three published sizes, on Penn Treebank:

    preset        D      layers   dropout   steps of training   test perplexity
    lstm_small    200    2        0         20                  114.5
    lstm_medium   650    2        0.5       35                  82.7
    lstm_large    1500   2        0.65      35                  78.4

Options from later papers: one matrix for the embedding and the output (Press & Wolf 2017, arXiv
1608.05859; Inan et al. 2017, arXiv 1611.01462), and GRU cells (Cho et al. 2014, arXiv 1406.1078).

Deviation: torch's layers have two bias vectors where the paper's equations have one. Their sum is
all that counts; the number of parameters includes both.

Legend: B batch, T time, D features, L layers, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import UserError, did_you_mean
from networks.base import LanguageModel
from networks.space import choice

CELLS: dict[str, type[nn.LSTM] | type[nn.GRU]] = {"lstm": nn.LSTM, "gru": nn.GRU}

State = Tensor | tuple[Tensor, Tensor]
"""Memory after the last step: hidden state and cell of an LSTM, hidden state of a GRU, each
[L, B, D]. Detach it between pieces of a text that are trained one after the other."""


@dataclass(frozen=True)
class LSTMConfig:
    """Sizes of the network."""

    vocabulary: int = 10_000
    """V, number of tokens."""
    width: int = choice(200, (128, 200, 256, 512, 650))
    """D, features of the embedding and of every layer."""
    layers: int = choice(2, (1, 2, 3))
    """L, recurrent layers."""
    dropout: float = choice(0.0, (0.0, 0.2, 0.5))
    """Share of features dropped below, between and above the layers."""
    cell: str = choice("lstm", tuple(CELLS))
    """lstm or gru."""
    tied: bool = choice(False, (False, True))
    """Use the embedding as the matrix of the output too."""
    initial_range: float = 0.1
    """Weights and biases start uniform in plus and minus this."""


PRESETS = {
    "lstm_small": LSTMConfig(),
    "lstm_medium": LSTMConfig(width=650, dropout=0.5, initial_range=0.05),
    "lstm_large": LSTMConfig(width=1500, dropout=0.65, initial_range=0.04),
}


class LSTMLanguageModel(LanguageModel):
    """Embedding, recurrent layers, output.

    Raises:
        UserError: there is no such cell.
    """

    context_length = None

    def __init__(self, config: LSTMConfig) -> None:
        super().__init__()
        if config.cell not in CELLS:
            raise UserError(
                f"there is no recurrent cell {config.cell!r}{did_you_mean(config.cell, CELLS)} "
                f"(known: {', '.join(CELLS)})"
            )
        self.embedding = nn.Embedding(config.vocabulary, config.width)
        self.recurrent = CELLS[config.cell](
            config.width,
            config.width,
            config.layers,
            batch_first=True,
            # torch drops between layers only, and warns where there is no between.
            dropout=config.dropout if config.layers > 1 else 0.0,
        )
        self.dropout = nn.Dropout(config.dropout)
        self.output = nn.Linear(config.width, config.vocabulary)
        if config.tied:
            self.output.weight = self.embedding.weight
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -config.initial_range, config.initial_range)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the next tokens, [B, T, V], and the state after the last one.

        Args:
            tokens: int64 [B, T].
            state: what the last call returned; None to start from zeros.
        """
        features = self.dropout(self.embedding(tokens))  # [B, T, D]
        # Many processors have no bf16 LSTM, and torch raises an error there instead of using fp32.
        with torch.autocast("cpu", enabled=False):
            features, state = self.recurrent(features, state)  # [B, T, D]
        return self.output(self.dropout(features)), state  # [B, T, V]


def build(config: LSTMConfig) -> nn.Module:
    """The language model of a config."""
    return LSTMLanguageModel(config)
