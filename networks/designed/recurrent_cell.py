"""Language model of stacked tree cells, the space "rnn": Zoph and Le 2017, arXiv 1611.01578, 3.4.

The paper's example, a tree of base 2 (figure 5): leaves 0 (add, tanh) and 1 (multiply, relu), root
2 (multiply, sigmoid), cell inject (add, relu) into node 0, new cell of node 1:

    a_0 = tanh(W_1 x_t + W_2 h_{t-1})              a_0' = relu(a_0 + c_{t-1})
    a_1 = relu((W_3 x_t) * (W_4 h_{t-1}))          c_t  = (W_3 x_t) * (W_4 h_{t-1})
    a_2 = sigmoid(a_0' * a_1)                      h_t  = a_2

Leaves have two matrices each and no biases, nodes above them no weights. What is around the cell is
as in `networks/language/lstm.py`, after Zaremba et al. 2014.

Where the paper is silent: memory injected into the root changes h_t, and a new cell that is taken
from the node into which the old one is injected is that of before the injection.

Legend: B batch, T time, D features, N leaves, L layers, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from networks.base import LanguageModel
from networks.designed.reading import Part

MOST_LEAVES = 64
COMBINATIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "multiply": torch.mul,
}
ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "relu": torch.relu,
}

State = tuple[Tensor, Tensor]
"""h and c after the last step, each [L, B, D]."""


@dataclass(frozen=True)
class NodePlan:
    """How two inputs become one."""

    combination: str
    activation: str
    inputs: tuple[int, ...]
    """Nodes below; empty for a leaf, which takes x and h."""


@dataclass(frozen=True)
class CellPlan:
    """A cell that was checked."""

    nodes: tuple[NodePlan, ...]
    """Leaves first, the root last."""
    inject: NodePlan
    inject_node: int
    """That takes c_{t-1}."""
    cell_node: int
    """That gives c_t."""

    @property
    def leaves(self) -> int:
        """N"""
        return sum(not node.inputs for node in self.nodes)


def read_cell(design: Mapping[str, Any]) -> CellPlan:
    """Check a design. Raises UserError for one that is none of this space."""
    root = Part(dict(design))
    nodes: list[NodePlan] = []
    free: set[int] = set()
    for number, part in enumerate(root.field("nodes").items(3, 2 * MOST_LEAVES - 1)):
        inputs = part.field("inputs")
        if inputs.value in (["x", "h"], ("x", "h")):
            below: tuple[int, ...] = ()
        else:
            below = tuple(each.integer(0, number - 1) for each in inputs.items(2, 2))
            if len(set(below) & free) < 2:
                raise inputs.wrong("x and h, or two nodes before it that no other node takes")
            free -= set(below)
        free.add(number)
        nodes.append(NodePlan(*_pair(part), below))
    if len(free) != 1:
        raise root.field("nodes").wrong("one tree, whose last node is the root")
    last = len(nodes) - 1
    inject = root.field("inject")
    return CellPlan(
        tuple(nodes),
        NodePlan(*_pair(inject), ()),
        inject.field("node").integer(0, last),
        root.field("cell").integer(0, last),
    )


def _pair(part: Part) -> tuple[str, str]:
    combination = part.field("combination").one_of(COMBINATIONS)
    return combination, part.field("activation").one_of(ACTIVATIONS)


class TreeCell(nn.Module):
    """One recurrent layer."""

    def __init__(self, plan: CellPlan, width: int) -> None:
        super().__init__()
        self.plan = plan
        # The matrices of all leaves, one below the other.
        self.inputs = nn.Linear(width, plan.leaves * width, bias=False)
        self.hidden = nn.Linear(width, plan.leaves * width, bias=False)

    def forward(self, features: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Outputs of all steps, and h and c after the last one.

        Args:
            features: [B, T, D].
            h: [B, D].
            c: [B, D].
        """
        outputs = []
        for x in self.inputs(features).unbind(dim=1):  # [B, N D]
            h, c = self.step(x, self.hidden(h), c)
            outputs.append(h)
        return torch.stack(outputs, dim=1), h, c

    def step(self, x: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """h and c of the next step, of W x and W h of all leaves [B, N D] and c [B, D]."""
        leaves = iter(zip(x.chunk(self.plan.leaves, 1), h.chunk(self.plan.leaves, 1), strict=True))
        values: list[Tensor] = []
        new = c
        for number, node in enumerate(self.plan.nodes):
            left, right = [values[i] for i in node.inputs] if node.inputs else next(leaves)
            value = COMBINATIONS[node.combination](left, right)
            if number == self.plan.cell_node:
                new = value
            value = ACTIVATIONS[node.activation](value)
            if number == self.plan.inject_node:
                inject = self.plan.inject
                value = ACTIVATIONS[inject.activation](COMBINATIONS[inject.combination](value, c))
            values.append(value)
        return values[-1], new


class DesignedRecurrent(LanguageModel):
    """Embedding, recurrent layers, output."""

    context_length = None

    def __init__(
        self,
        design: Mapping[str, Any],
        vocabulary: int,
        width: int,
        layers: int,
        dropout: float,
        tied: bool,
        initial_range: float,
    ) -> None:
        """Args:
        design: of the space "rnn".
        vocabulary: V.
        width: D.
        layers: L.
        dropout: share of features dropped below, between and above the layers.
        tied: whether the embedding is the matrix of the output, too.
        initial_range: weights start uniform in plus and minus this.

        Raises:
            UserError: the design is none of this space.
        """
        super().__init__()
        plan = read_cell(design)
        self.width = width
        self.embedding = nn.Embedding(vocabulary, width)
        self.cells = nn.ModuleList(TreeCell(plan, width) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(width, vocabulary)
        if tied:
            self.output.weight = self.embedding.weight
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -initial_range, initial_range)

    def forward(self, tokens: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Logits of the next tokens, [B, T, V], and the state after the last one.

        Args:
            tokens: int64 [B, T].
            state: what the last call returned; None to start from zeros.
        """
        features = self.embedding(tokens)  # [B, T, D]
        if state is None:
            zeros = features.new_zeros(len(self.cells), len(tokens), self.width)
            state = (zeros, zeros)
        last_h, last_c = [], []
        # The memory adds up over many steps, for which bf16 is too coarse.
        with torch.autocast(features.device.type, enabled=False):
            for cell, h, c in zip(self.cells, *state, strict=True):
                features, h, c = cell(self.dropout(features), h, c)
                last_h.append(h)
                last_c.append(c)
        logits = self.output(self.dropout(features))  # [B, T, V]
        return logits, (torch.stack(last_h), torch.stack(last_c))
