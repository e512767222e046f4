"""Translation by recurrent networks, with attention and without.

Paper: Bahdanau, Cho & Bengio 2014, Neural machine translation by jointly learning to align and
translate, arXiv 1409.0473. Before it, a source sentence of any length had to pass through one
vector (Cho et al. 2014, arXiv 1406.1078; Sutskever et al. 2014), and long ones got lost. Here the
decoder looks at all source positions at each step, with weights that it computes from its state:

    encoder      states of a forward and a backward recurrent network, side by side: h_j
    alignment    e_ij = v . tanh(W_a s_(i-1) + U_a h_j), weights a_ij = softmax_j(e_ij)
    decoder      context c_i = sum_j a_ij h_j, state s_i = f(s_(i-1), y_(i-1), c_i)
    output       maxout of (s_(i-1), y_(i-1), c_i), then softmax over the vocabulary

    rnnsearch    this network
    rnnencdec    the one it is compared with: c_i is the last state of a forward encoder, for all i

All sizes and initial weights are those of appendices A.2 and B.1. The recurrent unit resets the
state before the product, U (r * s), as Cho et al. do; torch's GRU does so after it.

Legend: B batch, S source time, T target time, D features of a recurrent network (n in the paper),
E features of an embedding (m), C features of a context: 2 D with attention, D without.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from networks.base import Translator
from networks.space import choice

Memory = tuple[Tensor, ...]
"""What a context module keeps of a source; the batch is the first dimension of each tensor."""
Encoded = tuple[Tensor, Memory]
"""First state of the decoder [B, D], and what its context module keeps."""


@dataclass(frozen=True)
class Seq2SeqConfig:
    """Sizes of the network."""

    vocabulary: int = 30_000
    """Tokens of the source, and of the target; each has its own embedding."""
    attention: bool = choice(True, (True, False))
    """Look at the source anew at each step; else at one vector for the whole of it."""
    width: int = choice(1000, (128, 256, 512, 1000))
    """D, features of each recurrent network."""
    embedding: int = choice(620, (64, 128, 256, 620))
    """E, features of a token."""
    alignment: int = choice(1000, (128, 256, 512, 1000))
    """Hidden units of the alignment network."""
    maxout: int = choice(500, (64, 128, 256, 500))
    """Units of the output layer, each the larger of two."""


PRESETS = {"rnnsearch": Seq2SeqConfig(), "rnnencdec": Seq2SeqConfig(attention=False)}


def _linear(inputs: int, outputs: int, bias: bool = True, deviation: float = 0.01) -> nn.Linear:
    """Small normal weights and zero biases (appendix B.1)."""
    layer = nn.Linear(inputs, outputs, bias)
    nn.init.normal_(layer.weight, std=deviation)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def _embedding(config: Seq2SeqConfig) -> nn.Embedding:
    layer = nn.Embedding(config.vocabulary, config.embedding)
    nn.init.normal_(layer.weight, std=0.01)
    return layer


class GatedUnit(nn.Module):
    """The gated hidden unit of Cho et al. 2014, later called GRU.

    The products with the input are left to `inputs`, which can do a whole sequence at once.
    """

    def __init__(self, features: int, width: int) -> None:
        super().__init__()
        self.width = width
        self.inputs = _linear(features, 3 * width)  # W_z, W_r, W and the biases
        self.gates = nn.Linear(width, 2 * width, bias=False)  # U_z, U_r
        self.candidate = nn.Linear(width, width, bias=False)  # U
        for matrix in (*self.gates.weight.chunk(2), self.candidate.weight):
            nn.init.orthogonal_(matrix)

    def forward(self, driven: Tensor, state: Tensor) -> Tensor:
        """The next state [B, D], from `inputs` of the step, [B, 3 D], and the state [B, D]."""
        both = 2 * self.width
        gates = (driven[:, :both] + self.gates(state)).sigmoid()  # [B, 2 D]
        update, reset = gates.chunk(2, dim=-1)  # z, r
        proposed = (driven[:, both:] + self.candidate(reset * state)).tanh()
        return torch.lerp(state, proposed, update)  # (1 - z) s + z s~


def read(unit: GatedUnit, features: Tensor, attend: Tensor, backward: bool = False) -> Tensor:
    """States at every position of features [B, S, E]: [B, S, D]; padding leaves them as they are.

    Read backward, the state at a position knows of it and all that follow.
    """
    driven = unit.inputs(features)  # [B, S, 3 D]
    state = driven.new_zeros(len(features), unit.width)
    states = [state] * features.shape[1]
    for j in reversed(range(len(states))) if backward else range(len(states)):
        state = torch.where(attend[:, j, None], unit(driven[:, j], state), state)
        states[j] = state
    return torch.stack(states, dim=1)


class Encoder(nn.Module):
    """The source read forward and backward."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.embedding = _embedding(config)
        self.forward_unit = GatedUnit(config.embedding, config.width)
        self.backward_unit = GatedUnit(config.embedding, config.width)

    def forward(self, source: Tensor, attend: Tensor) -> tuple[Tensor, Tensor]:
        """Annotations [B, S, 2 D], and the backward state at the first position, [B, D]."""
        features = self.embedding(source)  # [B, S, E]
        ahead = read(self.forward_unit, features, attend)
        behind = read(self.backward_unit, features, attend, backward=True)
        return torch.cat((ahead, behind), dim=-1), behind[:, 0]


class ForwardEncoder(nn.Module):
    """The source read forward only."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.embedding = _embedding(config)
        self.forward_unit = GatedUnit(config.embedding, config.width)

    def forward(self, source: Tensor, attend: Tensor) -> tuple[Tensor, Tensor]:
        """States [B, S, D], and the one after the last position, [B, D]."""
        states = read(self.forward_unit, self.embedding(source), attend)
        return states, states[:, -1]


class AdditiveAttention(nn.Module):
    """Weights for the annotations from a small network that looks at each beside the state."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        self.query = _linear(config.width, config.alignment, deviation=0.001)  # W_a
        self.key = _linear(2 * config.width, config.alignment, bias=False, deviation=0.001)  # U_a
        self.energy = nn.Linear(config.alignment, 1, bias=False)  # v
        nn.init.zeros_(self.energy.weight)

    def remember(self, annotations: Tensor, summary: Tensor, attend: Tensor) -> Memory:
        """What all steps share: U_a h_j does not depend on the state."""
        return annotations, self.key(annotations), attend

    def forward(self, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """Context [B, 2 D] for a state [B, D], and the weights [B, S]."""
        annotations, keys, attend = memory
        energies = self.energy((self.query(state)[:, None] + keys).tanh()).squeeze(-1)  # [B, S]
        weights = energies.masked_fill(~attend, float("-inf")).softmax(dim=-1)
        return (weights[:, None] @ annotations).squeeze(1), weights


class FixedContext(nn.Module):
    """The summary of the source, at every step."""

    def remember(self, annotations: Tensor, summary: Tensor, attend: Tensor) -> Memory:
        """The summary [B, D]."""
        return (summary,)

    def forward(self, state: Tensor, memory: Memory) -> tuple[Tensor, Tensor | None]:
        """The summary, and no weights."""
        return memory[0], None


class RecurrentTranslator(Translator):
    """Encoder and decoder. Target padding must stand behind the target."""

    def __init__(self, config: Seq2SeqConfig) -> None:
        super().__init__()
        width, embedding = config.width, config.embedding
        context = 2 * width if config.attention else width  # C
        self.encoder = Encoder(config) if config.attention else ForwardEncoder(config)
        self.start = _linear(width, width)  # W_s
        self.context = AdditiveAttention(config) if config.attention else FixedContext()
        self.embedding = _embedding(config)
        self.unit = GatedUnit(embedding, width)
        self.unit_context = _linear(context, 3 * width, bias=False)  # C_z, C_r, C
        self.maxout = _linear(width + embedding + context, 2 * config.maxout)  # U_o, V_o, C_o
        self.output = _linear(config.maxout, config.vocabulary)  # W_o

    def encode(self, source: Tensor, attend: Tensor) -> Encoded:
        """What the decoder needs of the source, int64 [B, S]; `attend` is false at padding."""
        annotations, summary = self.encoder(source, attend)
        return self.start(summary).tanh(), self.context.remember(annotations, summary, attend)

    def decode(self, encoded: Encoded, target: Tensor) -> Tensor:
        """Logits of the tokens that follow each of `target` [B, T]: [B, T, V]."""
        return self.extend(encoded, target)[0]

    def extend(
        self, encoded: Encoded, tokens: Tensor, state: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """`decode` in pieces: logits [B, T, V] after the next tokens [B, T], and the new state.

        `state` is what the last call returned; None at the beginning of the target.
        """
        embedded = self.embedding(tokens)  # [B, T, E]
        states, contexts, _ = self._run(encoded, embedded, state)
        seen = torch.cat((torch.stack(states[:-1], 1), embedded, torch.stack(contexts, 1)), dim=-1)
        pairs = self.maxout(seen).unflatten(-1, (-1, 2))  # [B, T, l, 2]
        return self.output(pairs.amax(dim=-1)), states[-1]

    def _run(
        self, encoded: Encoded, embedded: Tensor, state: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor | None]]:
        """States from the first on (one more than steps), contexts and weights of every step."""
        start, memory = encoded
        driven = self.unit.inputs(embedded)  # [B, T, 3 D]
        states, contexts, looks = [start if state is None else state], [], []
        for i in range(embedded.shape[1]):
            context, weights = self.context(states[-1], memory)
            states.append(self.unit(driven[:, i] + self.unit_context(context), states[-1]))
            contexts.append(context)
            looks.append(weights)
        return states, contexts, looks

    @torch.no_grad()
    def attention_map(self, source: Tensor, attend: Tensor, target: Tensor) -> Tensor | None:
        """The weights with which each target token was chosen, [B, T, S]; None without attention.

        Row i has those for the token after `target[:, i]`.
        """
        looks = self._run(self.encode(source, attend), self.embedding(target), None)[2]
        weights = [look for look in looks if look is not None]
        return torch.stack(weights, dim=1) if weights else None


def build(config: Seq2SeqConfig) -> nn.Module:
    """The translator of a config."""
    return RecurrentTranslator(config)
