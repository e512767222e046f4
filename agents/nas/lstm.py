"""The controller's LSTM, with attention over anchor points (Zoph and Le 2017, section 3).

Legend: B designs, T tokens of each, S stages, H units, K options at most, n tokens of a stage.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents.nas.policy import most_options
from envs.architecture.space import Anchor, Choice, Space


@dataclass
class Memory:
    """What sampling remembers from stage to stage."""

    state: tuple[Tensor, Tensor]
    """Hidden and cell state, each float [layers, B, H]."""
    points: list[Tensor] = field(default_factory=list)
    """Hidden states of the layers designed so far, each float [B, H]."""


class DesignLSTM(nn.Module):
    """An LSTM that reads what was decided last and says what comes next.

    At stage N its input is the embedding of the decision before, its output h_N goes through a
    softmax. Decisions of one name share embedding and softmax, as in ENAS, if ``tied``: then only
    h_N, which begins near zero, tells a stage from another, and it takes long until they differ.
    Otherwise each has its own; their biases alone are a table of softmaxes. At the anchor point of
    a layer the layers before are drawn with ``sigmoid(v . tanh(W_prev h_j + W_curr h_N))``, where
    h_j is the hidden state at the anchor point of layer j. The first layer has no anchor point; its
    h_j is where it would be. After an anchor point the input is the mean of vectors learned for the
    layers drawn: the paper does not say, and ENAS, which takes the mean of their h_j, could not
    score a design in one pass.
    """

    def __init__(
        self,
        space: Space,
        hidden: int,
        layers: int,
        initial_range: float,
        seed: int,
        tied: bool = True,
    ) -> None:
        super().__init__()
        self.stages, self.width = space.stages, most_options(space)
        columns, total = _columns(space, tied)
        self.columns: Tensor
        self.register_buffer("columns", columns, persistent=False)
        anchors = [i for i, stage in enumerate(space.stages) if isinstance(stage, Anchor)]
        self.points = _points(space, anchors)
        self.hidden, self.layers = hidden, layers
        self.lstm = nn.LSTM(hidden, hidden, layers, batch_first=True)
        self.embedding = nn.Parameter(torch.empty(total + 1, hidden))
        """Of each option; the last one is what the first stage reads."""
        self.softmax = nn.Linear(hidden, total)
        if anchors:
            self.chosen = nn.Parameter(torch.empty(len(anchors), hidden))
            self.previous = nn.Linear(hidden, hidden, bias=False)
            self.current = nn.Linear(hidden, hidden, bias=False)
            self.attention = nn.Parameter(torch.empty(hidden))
        generator = torch.Generator().manual_seed(seed)
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -initial_range, initial_range, generator=generator)

    def start(self, count: int) -> Memory:
        """What is remembered of so many designs before their first stage: a state of zeros."""
        zeros = self.embedding.new_zeros(self.layers, count, self.hidden)
        return Memory((zeros, zeros))

    def step(self, memory: Memory, stage: int, last: Tensor) -> Tensor:
        """Logits of a stage, float [B, n, K]; ``memory`` is updated.

        Args:
            memory: from ``start``, brought here by the stages before.
            stage: its number; all are asked for in order.
            last: tokens of the stage before, int64 [B, n of that stage]; unread at stage 0.
        """
        count = memory.state[0].shape[1]
        if stage == 0:
            read = self.embedding[-1].expand(count, -1)
        else:
            read = self._embedded(stage - 1, last)
        output, memory.state = self.lstm(read.unsqueeze(1), memory.state)
        output = output[:, 0]  # [B, H]
        if isinstance(self.stages[stage], Choice):
            logits: Tensor = self.softmax(output)[:, None, self.columns[stage]]
        else:
            logits = self._answers(memory.points, output)
        if stage in self.points:
            memory.points.append(output)
        return logits

    def logits(self, tokens: Tensor) -> Tensor:
        """Logits of each token given those before it, float [B, T, K], in one call of the LSTM.

        ``tokens`` are int64 [B, T]. Equals what ``step`` says, stage after stage.
        """
        read = [self.embedding[-1].expand(len(tokens), -1)]
        places = []  # of each stage's tokens
        at = 0
        for number, stage in enumerate(self.stages):
            if at >= tokens.shape[1]:
                break
            places.append(slice(at, at + stage.num_tokens))
            read.append(self._embedded(number, tokens[:, places[-1]]))
            at += stage.num_tokens
        outputs, _ = self.lstm(torch.stack(read[:-1], dim=1))  # [B, S, H]
        columns = self.columns[: len(places)].expand(len(tokens), -1, -1)
        choices: Tensor = self.softmax(outputs).gather(2, columns)  # [B, S, K]
        if not self.points:
            return choices
        found: list[Tensor] = []
        points: list[Tensor] = []
        for number in range(len(places)):
            if isinstance(self.stages[number], Choice):
                found.append(choices[:, number : number + 1])
            else:
                found.append(self._answers(points, outputs[:, number]))
            if number in self.points:
                points.append(outputs[:, number])
        return torch.cat(found, dim=1)

    def _embedded(self, stage: int, tokens: Tensor) -> Tensor:
        """What the LSTM reads after a stage, float [B, H]; ``tokens`` int64 [B, n]."""
        if isinstance(self.stages[stage], Choice):
            return self.embedding[self.columns[stage][tokens[:, 0]]]
        yes = tokens.to(self.chosen.dtype)
        return yes @ self.chosen[: yes.shape[1]] / yes.sum(dim=1, keepdim=True).clamp(min=1)

    def _answers(self, points: list[Tensor], current: Tensor) -> Tensor:
        """Logits of no and yes to the layers of these points, float [B, n, K]."""
        before = self.previous(torch.stack(points, dim=1))  # [B, n, H]
        score = torch.tanh(before + self.current(current).unsqueeze(1)) @ self.attention
        return F.pad(score.unsqueeze(2), (1, self.width - 2))


def _columns(space: Space, tied: bool) -> tuple[Tensor, int]:
    """Where each stage's options are among all, int64 [S, K], and how many all are. Stages of one
    name have the same if ``tied``."""
    first: dict[str, int] = {}
    counts: dict[str, int] = {}
    total = 0
    columns = torch.zeros(len(space.stages), most_options(space), dtype=torch.int64)
    for number, stage in enumerate(space.stages):
        if isinstance(stage, Anchor):
            continue
        name, count = stage.name if tied else str(number), len(stage.options)
        if name not in first:
            first[name], counts[name], total = total, count, total + count
        if counts[name] != count:
            raise ValueError(f"{space.name} has two kinds of decisions named {name!r}")
        columns[number, :count] = torch.arange(first[name], first[name] + count)
    return columns, total


def _points(space: Space, anchors: list[int]) -> frozenset[int]:
    """The stages whose hidden states later anchor points look at."""
    if not anchors:
        return frozenset()
    if [space.stages[i].num_tokens for i in anchors] != list(range(1, len(anchors) + 1)):
        raise ValueError(f"the anchor points of {space.name} must ask about 1, 2, 3, ... layers")
    # One layer's worth of stages before the first anchor point.
    period = anchors[1] - anchors[0] if len(anchors) > 1 else anchors[0] // 2 + 1
    first = max(anchors[0] - period, 0)
    return frozenset((first, *anchors))
