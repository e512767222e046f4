"""ELMo: words by what stands around them, from two language models that read towards each other.

Paper: Peters et al. 2018, Deep contextualized word representations, arXiv 1802.05365; the language
models are those of Jozefowicz et al. 2016, arXiv 1602.02410, with cells of Sak et al. 2014, arXiv
1402.1128. A word is first what its letters are (a convolution over each width, the maximum of each
filter, highway layers of Srivastava et al. 2015, arXiv 1505.00387), so that none is unknown. Layers
of LSTM cells read it forwards, others backwards; what the layer below gave is added to each. All
share the letters and the output. A task takes a learned mean of the layers (`ScalarMix`).

    preset        cells   P     highways   parameters without the output   vocabulary
    elmo_small    1024    128   1          13,593,296                      793,471
    elmo_medium   2048    256   1          28,027,728                      793,471
    elmo          4096    512   2          93,600,848                      793,471
    elmo_tiny     256     128   1          1,348,256                       2,000, ours

Sizes are those of the published weights (AllenNLP says 13.6, 28.0 and 93.6 million). Cells and
projections are clipped at 3.

Deviation: texts are not cut into sentences, so none is begun or ended by a token. The output knows
all words; the authors' training drew some.

Legend: B batch, T time, L letters of a word, P features of a layer, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.errors import UserError
from networks.base import LanguageModel
from networks.space import choice

LETTERS = 50
"""L. What a longer word has between the first letters and its end is left out."""
BEGIN, END, PADDING = 258, 259, 260
"""What a word is written between, and after; the letters are bytes, 256 and 257 sentences'."""
State = tuple[tuple[Tensor, Tensor], ...]
"""Output [B, P] and cell [B, C] of every forward layer after the last token."""


@dataclass(frozen=True)
class ElmoConfig:
    """Sizes of the network."""

    vocabulary: int = 793_471
    """V, number of tokens."""
    spellings: tuple[bytes, ...] = ()
    """Of the tokens; without, a token is spelled by the bytes of its number."""
    letter_width: int = choice(16, (8, 16))
    """Features of a letter."""
    filters: tuple[int, ...] = (32, 32, 64, 128, 256, 512, 1024)
    """Filters of one letter, of two, of three, and so on."""
    highways: int = choice(2, (1, 2))
    """Layers between the filters and the first P features."""
    layers: int = choice(2, (1, 2))
    """Of each direction."""
    cells: int = choice(4096, (128, 256, 512, 1024))
    """Units of a layer's memory."""
    width: int = choice(512, (64, 128, 256, 512))
    """P."""
    clip: float = choice(3.0, (3.0,))
    """Largest magnitude of a cell, and of its projection."""
    dropout: float = choice(0.1, (0.0, 0.1, 0.5))
    """Share dropped of what goes into a layer and into the output."""


PRESETS = {
    "elmo": ElmoConfig(),
    "elmo_medium": ElmoConfig(highways=1, cells=2048, width=256),
    "elmo_small": ElmoConfig(highways=1, cells=1024, width=128),
    "elmo_tiny": ElmoConfig(
        vocabulary=2_000, filters=(16, 32, 64, 64, 64), highways=1,
        cells=256, width=128, dropout=0.0,
    ),
}  # fmt: skip


def spelled(words: Sequence[bytes]) -> Tensor:
    """Letters int64 [V, L] of words."""
    rows = torch.full((len(words), LETTERS), PADDING)
    for row, word in zip(rows, words, strict=True):
        letters = [BEGIN, *word[: LETTERS - 2], END]
        row[: len(letters)] = torch.tensor(letters)
    return rows


class LetterNetwork(nn.Module):
    """A word's first features, from its letters."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        filters = sum(config.filters)
        self.letters = nn.Embedding(PADDING + 1, config.letter_width)
        self.convolutions = nn.ModuleList(
            nn.Conv1d(config.letter_width, number, width)
            for width, number in enumerate(config.filters, start=1)
        )
        self.highways = nn.ModuleList(
            nn.Linear(filters, 2 * filters) for _ in range(config.highways)
        )
        self.projection = nn.Linear(filters, config.width)
        nn.init.uniform_(self.letters.weight, -1.0, 1.0)
        for layer in self.highways:
            assert isinstance(layer, nn.Linear)
            nn.init.constant_(layer.bias[filters:], 1.0)  # at first most is carried on

    def forward(self, letters: Tensor) -> Tensor:
        """Letters int64 [N, L] to features [N, P]."""
        x = self.letters(letters).transpose(1, 2)  # [N, features, L]
        x = torch.cat([layer(x).amax(dim=2) for layer in self.convolutions], dim=1).relu()
        for layer in self.highways:
            new, carried = layer(x).chunk(2, dim=1)
            x = torch.lerp(new.relu(), x, carried.sigmoid())
        features: Tensor = self.projection(x)
        return features


class ProjectedLSTM(nn.Module):
    """A layer of LSTM cells that hands on a projection of what they give.

    c = clip(f c + i tanh(g)), h = clip(W_P o tanh(c)); gates i, f, g, o in this order.
    """

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        self.clip = config.clip
        self.input = nn.Linear(config.width, 4 * config.cells, bias=False)
        self.state = nn.Linear(config.width, 4 * config.cells)
        self.projection = nn.Linear(config.cells, config.width, bias=False)
        nn.init.zeros_(self.state.bias)
        nn.init.constant_(self.state.bias[config.cells : 2 * config.cells], 1.0)  # remember

    def forward(
        self, x: Tensor, state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """[B, T, P] to [B, T, P], and output and cell after the last step."""
        if state is None:
            hidden = x.new_zeros(len(x), self.projection.out_features)
            state = hidden, x.new_zeros(len(x), self.projection.in_features)
        hidden, cell = state
        outputs = []
        for step in self.input(x).unbind(dim=1):  # [B, 4 C]
            i, f, g, o = (step + self.state(hidden)).chunk(4, dim=1)
            cell = i.sigmoid() * g.tanh() + f.sigmoid() * cell
            cell = cell.clamp(-self.clip, self.clip)
            hidden = self.projection(o.sigmoid() * cell.tanh()).clamp(-self.clip, self.clip)
            outputs.append(hidden)
        return torch.stack(outputs, dim=1), (hidden, cell)


class Elmo(LanguageModel):
    """Letters, layers that read forwards, layers that read backwards, and one output.

    Raises:
        UserError: spellings are not as many as tokens, or a filter is wider than a word, or none.
    """

    context_length = None
    table: Tensor | None
    """Letters int64 [V, L] of all tokens."""

    def __init__(self, config: ElmoConfig) -> None:
        super().__init__()
        if config.spellings and len(config.spellings) != config.vocabulary:
            raise UserError(
                f"{config.vocabulary} tokens need a spelling each, got {len(config.spellings)}"
            )
        if len(config.filters) > LETTERS or min(config.filters) < 1:
            raise UserError(f"filters must be over 0, of {LETTERS} widths at most")
        self.register_buffer(
            "table", spelled(config.spellings) if config.spellings else None, persistent=False
        )
        self.letters = LetterNetwork(config)
        self.forwards, self.backwards = (
            nn.ModuleList(ProjectedLSTM(config) for _ in range(config.layers)) for _ in range(2)
        )
        self.output = nn.Linear(config.width, config.vocabulary)
        self.dropout = nn.Dropout(config.dropout)

    def words(self, tokens: Tensor) -> Tensor:
        """Features [B, T, P] of tokens int64 [B, T] by their letters alone."""
        different, places = torch.unique(tokens, return_inverse=True)
        if self.table is None:
            letters = spelled([n.to_bytes(4, "big") for n in different.tolist()]).to(tokens.device)
        else:
            letters = self.table[different]
        features: Tensor = self.letters(letters)[places]
        return features

    def _read(self, layers: nn.ModuleList, x: Tensor, state: State | None) -> list[
        tuple[Tensor, tuple[Tensor, Tensor]]
    ]:  # fmt: skip
        """What each layer gives, [B, T, P], and its state."""
        read = []
        for n, layer in enumerate(layers):
            found, after = layer(self.dropout(x), None if state is None else state[n])
            x = found + x if n else found
            read.append((x, after))
        return read

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the next tokens, [B, T, V], by the layers that read forwards; and their state.

        Args:
            tokens: int64 [B, T].
            state: what the last call returned; None at the beginning.
        """
        read = self._read(self.forwards, self.words(tokens), state)
        return self.output(self.dropout(read[-1][0])), tuple(after for _, after in read)

    def logits_backwards(self, tokens: Tensor) -> Tensor:
        """Logits [B, T, V] of the token before each of tokens [B, T], from it and those after."""
        read = self._read(self.backwards, self.words(tokens).flip(1), None)
        logits: Tensor = self.output(self.dropout(read[-1][0])).flip(1)
        return logits

    def representations(self, tokens: Tensor) -> Tensor:
        """What a task gets, [layers + 1, B, T, 2 P]: the letters' features twice, then each layer's
        of both directions."""
        x = self.words(tokens)
        ahead = self._read(self.forwards, x, None)
        behind = self._read(self.backwards, x.flip(1), None)
        layers = [
            torch.cat((one, other.flip(1)), dim=2)
            for (one, _), (other, _) in zip(ahead, behind, strict=True)
        ]
        return torch.stack([torch.cat((x, x), dim=2), *layers])


class ScalarMix(nn.Module):
    """gamma sum_j softmax(w)_j h_j over layers h: what a task learns of ELMo (equation 1)."""

    def __init__(self, layers: int) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))

    def forward(self, layers: Tensor) -> Tensor:
        """[layers, ...] to [...]."""
        mean: Tensor = self.gamma * torch.tensordot(self.weights.softmax(dim=0), layers, dims=1)
        return mean


def build(config: ElmoConfig) -> nn.Module:
    """The language model of a config. Raises what `Elmo` does."""
    return Elmo(config)
