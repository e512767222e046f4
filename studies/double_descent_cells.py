"""One cell of the study of double descent: a width, trained with all seeds side by side.

Legend: E seeds, N examples, B batch.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import torch
from torch import Tensor

from studies.ensemble import ConvolutionalEnsemble, DenseEnsemble, Stack, errors, joint_loss
from studies.grid import Cell, Found
from studies.mnist1d import LENGTH, make
from studies.training import load_parts

DATA_SEED = 42
CLASSES = 10
SIDE = 14
MOMENTUM = 0.9
RECORDS = 20
"""Times that errors are measured on the way."""


def compute(cell: Cell) -> Found:
    """Errors on the training labels, wrong ones included, and on the test part: by seed, each as
    they were measured after ``updates``."""
    seeds = cell["seeds"]
    inputs, labels, test_inputs, test_labels = (
        tensor.to(cell["device"])
        for tensor in load(cell["data"], cell["examples"], cell["test"], cell["device"])
    )
    noisy = torch.stack([with_noise(labels, cell["noise"], seed) for seed in seeds])  # [E, N]
    network = build(cell).to(cell["device"])
    optimiser = torch.optim.SGD(network.parameters(), cell["learning_rate"], MOMENTUM)
    orders = [np.random.default_rng([seed, 1]) for seed in seeds]
    batch, per_epoch = cell["batch_size"], len(inputs) // cell["batch_size"]
    recorded = record_points(cell["updates"])
    found: Found = {"updates": recorded, "train_error": [], "test_error": []}
    for update in range(cell["updates"]):
        at = update % per_epoch
        if at == 0:
            shuffled = torch.from_numpy(np.stack([o.permutation(len(inputs)) for o in orders]))
        rows = shuffled[:, at * batch : (at + 1) * batch].to(cell["device"])  # [E, B]
        loss = joint_loss(network(inputs[rows]), noisy.gather(1, rows))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        if update + 1 in recorded:
            found["train_error"].append(errors(network, inputs, noisy).tolist())
            found["test_error"].append(errors(network, test_inputs, test_labels).tolist())
    for name in ("train_error", "test_error"):
        found[name] = [list(curve) for curve in zip(*found[name], strict=True)]
    return found


def record_points(updates: int) -> list[int]:
    """Numbers of updates after which errors are measured: evenly on a scale of logarithms."""
    spaced = np.geomspace(min(50, updates), updates, RECORDS)
    return sorted({round(float(point)) for point in spaced})


@cache
def load(data: str, examples: int, test: int, device: str) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Inputs and labels of the training part, then of the test part."""
    if data != "mnist1d":
        train, held_out = load_parts(data, examples, test, device, SIDE)
        return train.images, train.labels, held_out.images, held_out.labels
    # Test examples first, so that they are the same for all sizes of the training part.
    drawn, labels = make(test + examples, DATA_SEED)
    assert drawn.shape[1] == LENGTH
    drawn = (drawn - drawn[:test].mean()) / drawn[:test].std()
    inputs, numbers = torch.from_numpy(drawn), torch.from_numpy(labels)
    return inputs[test:], numbers[test:], inputs[:test], numbers[:test]


def with_noise(labels: Tensor, share: float, seed: int) -> Tensor:
    """Labels of which this share are another class than the right one, drawn once."""
    random = np.random.default_rng([seed, 2])
    wrong = random.random(len(labels)) < share
    moved = (labels.cpu().numpy() + random.integers(1, CLASSES, len(labels))) % CLASSES
    return torch.where(
        torch.from_numpy(wrong).to(labels.device), torch.from_numpy(moved).to(labels.device), labels
    )


def build(cell: Cell) -> Stack:
    """The networks of all seeds."""
    width, seeds = cell["width"], cell["seeds"]
    if cell["data"] == "mnist1d":
        return DenseEnsemble([(LENGTH, width, width, CLASSES)] * len(seeds), seeds)
    return ConvolutionalEnsemble([(1, width, 2 * width, 4 * width)] * len(seeds), CLASSES, seeds)
