"""One cell of the study of lottery tickets: all rounds of pruning of one network and seed.

At each round the four kinds of network learn side by side on the same batches
(`studies/ensemble.py`).

Legend: E members, B batch.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from studies.ensemble import ConvolutionalEnsemble, DenseEnsemble, Stack, errors, joint_loss
from studies.grid import Cell, Found
from studies.lottery_ticket import KINDS, TENTH
from studies.pruning import SparseNetwork, prune, remaining, shuffled
from studies.training import Part, load_parts

CLASSES = 10
HIDDEN = (300, 100)
CHANNELS = (16, 32, 64)
SIDES = {"dense": 28, "cnn": 14}

Weights = list[Tensor]


def compute(cell: Cell) -> Found:
    """Shares left and the score of each kind at each round, the whole network first."""
    if cell["network"] == "dqn":
        from studies.lottery_ticket_dqn import compute as compute_dqn

        return compute_dqn(cell)
    device = cell["device"]
    first = build(cell, [cell["seed"]])
    network = build(cell, [cell["seed"]]).to(device)
    rewound = train(network, cell, 0)
    masks = [torch.ones_like(weight[0], dtype=torch.bool) for weight in network.weights]
    trained = member(network, 0)
    found: Found = {
        "remaining": [1.0],
        "scores": {kind: [score(network, cell)[0]] for kind in KINDS},
    }
    generator = torch.Generator().manual_seed(cell["seed"])
    signs = [weight.sign() for weight in member(first, 0)]
    for number in range(1, cell["rounds"] + 1):
        masks = prune(trained, masks, cell["share"], cell["scope"])
        others = member(build(cell, [1000 * cell["seed"] + number]), 0)
        begun = {
            "ticket": (rewound, masks),
            "random": (rewound, shuffled(masks, generator)),
            "redrawn": (others, masks),
            "signs": ([w.abs() * s for w, s in zip(others, signs, strict=True)], masks),
        }
        network = side_by_side(cell, [begun[kind] for kind in KINDS]).to(device)
        train(network, cell, cell["rewind"])
        trained = member(network, 0)
        found["remaining"].append(remaining(masks))
        for kind, value in zip(KINDS, score(network, cell), strict=True):
            found["scores"][kind].append(value)
        if number == round_of_a_tenth(cell) and cell["network"] == "dense":
            sparse = SparseNetwork(trained, [bias[0].cpu() for bias in network.biases])
            found["exported"] = base64.b64encode(sparse.to_bytes()).decode()
    return found


def round_of_a_tenth(cell: Cell) -> int:
    """The round after which about a tenth of the weights is left, or the last one."""
    rounds: int = cell["rounds"]
    return min(rounds, round(math.log(TENTH) / math.log(1 - cell["share"])))


def build(cell: Cell, seeds: Sequence[int]) -> Stack:
    """Whole networks, one for each seed of first weights."""
    if cell["network"] == "dense":
        side = SIDES["dense"]
        return DenseEnsemble([(side * side, *HIDDEN, CLASSES)] * len(seeds), seeds)
    return ConvolutionalEnsemble([(1, *CHANNELS)] * len(seeds), CLASSES, seeds)


def member(network: Stack, number: int) -> Weights:
    """A member's weights by layer, copied to the processor."""
    return [weight[number].detach().cpu().clone() for weight in network.weights]


def side_by_side(cell: Cell, begun: Sequence[tuple[Weights, Sequence[Tensor]]]) -> Stack:
    """Members that begin with these weights where their masks leave any, and keep zeros elsewhere.
    Biases begin as the whole network's."""
    network = build(cell, [cell["seed"]] * len(begun))
    for layer, weight in enumerate(network.weights):
        kept = torch.stack([masks[layer] for _, masks in begun])
        with torch.no_grad():
            weight.copy_(torch.stack([weights[layer] for weights, _ in begun]) * kept)
        keep_zeros(weight, kept.to(cell["device"]))
    return network


def keep_zeros(weight: torch.nn.Parameter, kept: Tensor) -> None:
    """Let no gradient reach what is not kept: an optimiser without decay then leaves it at 0."""
    weight.register_hook(lambda gradient: gradient * kept)  # type: ignore[no-untyped-call]


def train(network: Stack, cell: Cell, first: int) -> Weights:
    """Make the updates from number ``first`` on; return the first member's weights as they were
    before the update to which tickets go back."""
    part = parts(cell)[0]
    optimiser = torch.optim.Adam(network.parameters(), cell["learning_rate"])
    members = network.weights[0].shape[0]
    rewound: Weights = member(network, 0)
    for update in range(first, cell["updates"]):
        if update == cell["rewind"]:
            rewound = member(network, 0)
        rows = rows_of(cell, len(part), update)
        inputs = part.images[rows].expand(members, *part.images[rows].shape)
        loss = joint_loss(network(inputs), part.labels[rows].expand(members, -1))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    return rewound


def rows_of(cell: Cell, examples: int, update: int) -> Tensor:
    """The batch of an update, int64 [B]: by its number, so that a ticket meets from step k on what
    the whole network met."""
    per_epoch = examples // cell["batch_size"]
    epoch, at = divmod(update, per_epoch)
    order = _order(cell["seed"], epoch, examples)
    return order[at * cell["batch_size"] : (at + 1) * cell["batch_size"]]


@cache
def _order(seed: int, epoch: int, examples: int) -> Tensor:
    return torch.from_numpy(np.random.default_rng([seed, epoch]).permutation(examples))


@cache
def _parts(network: str, data: str, train_count: int, test_count: int, device: str) -> Any:
    found = load_parts(data, train_count, test_count, device, SIDES[network])
    if network == "dense":
        return [Part(part.images.flatten(1), part.labels) for part in found]
    return found


def parts(cell: Cell) -> Sequence[Part]:
    """Training and test part, as the network takes them."""
    found: Sequence[Part] = _parts(
        cell["network"], cell["data"], cell["examples"], cell["test"], cell["device"]
    )
    return found


def score(network: Stack, cell: Cell) -> list[float]:
    """Test accuracy of each member."""
    part = parts(cell)[1]
    return [1 - error for error in errors(network, part.images, part.labels).tolist()]


def score_file(path: Path, cell: Cell) -> dict[str, Any]:
    """What an exported ticket is and does, read back from its file."""
    network, part = SparseNetwork.read(path), parts({**cell, "device": "cpu"})[1]
    right = network(part.images).argmax(dim=1) == part.labels
    sizes = [weight.shape for weight in network.weights]
    return {
        "weights": network.num_weights,
        "of": sum(rows * columns for rows, columns in sizes),
        "bytes": path.stat().st_size,
        "accuracy": float(right.float().mean()),
    }
