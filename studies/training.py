"""What the studies that train share: data as tensors, epochs, a score, and how results are kept.

Legend: N images of a part, B batch, C channels, H W plane, K classes.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from core.files.json_files import json_text
from core.machine.environment_facts import environment_facts
from core.schedule import learning_rate_factor
from tasks.data.image_sets import load_images
from tasks.data.images import Images

SCORING_BATCH = 500


@dataclass(frozen=True)
class Part:
    """Images float32 [N, C, H, W] of mean 0 and deviation 1, and their classes int64 [N]."""

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Score:
    """Mean cross-entropy in nats, not finite after a divergence, and the share told wrong."""

    loss: float
    error: float


def load_parts(
    data: str, train: int, test: int, device: str, side: int | None = None
) -> tuple[Part, Part]:
    """The first images of a set's training and test parts, as many as are asked for or there.

    Args:
        data: a name in tasks.data.image_sets; all have ten classes.
        train, test: numbers of images.
        device: where the tensors lie.
        side: H and W that larger images are averaged to and smaller ones padded to; None: as is.

    Raises:
        UserError: the set is unknown or not on this machine.
    """
    found = load_images(data)
    parts = [_tensors(found.train, train, side), _tensors(found.test, test, side)]
    mean, deviation = parts[0][0].mean(), parts[0][0].std()
    train_part, test_part = (
        Part(((images - mean) / deviation).to(device), labels.to(device))
        for images, labels in parts
    )
    return train_part, test_part


def _tensors(part: Images, count: int, side: int | None) -> tuple[Tensor, Tensor]:
    images = torch.from_numpy(part.pixels[:count]).float()  # [N, C, H, W]
    labels = torch.from_numpy(part.labels[:count])
    height, width = images.shape[2:]
    if side is not None and side < min(height, width):
        images = functional.adaptive_avg_pool2d(images, side)
    elif side is not None:
        down, right = side - height, side - width
        images = functional.pad(
            images, (right // 2, right - right // 2, down // 2, down - down // 2)
        )
    return images, labels


def train(
    network: nn.Module,
    optimiser: torch.optim.Optimizer,
    part: Part,
    epochs: int,
    batch_size: int,
    seed: int,
    schedule: str = "constant",
) -> Iterator[Score]:
    """Train epoch after epoch; yields the score over each one's batches, as they were met.

    The last batch of an epoch is left out where it is smaller. A loss that is not finite ends the
    epoch and the training.

    Args:
        network, optimiser: are changed.
        part: what is learned.
        epochs: at most.
        batch_size: B.
        seed: of the order of the images.
        schedule: one of core.schedule's, of the learning rate at every update.
    """
    order = np.random.default_rng(seed)
    rates = [group["lr"] for group in optimiser.param_groups]
    updates = len(part) // batch_size
    for epoch in range(epochs):
        network.train()
        shuffled = torch.from_numpy(order.permutation(len(part))).to(part.labels.device)
        loss_sum = torch.zeros((), device=part.labels.device)
        wrong = torch.zeros((), device=part.labels.device)
        for update in range(updates):
            factor = learning_rate_factor(schedule, (epoch + update / updates) / epochs)
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
            rows = shuffled[update * batch_size : (update + 1) * batch_size]
            labels = part.labels[rows]
            logits = network(part.images[rows])  # [B, K]
            loss = functional.cross_entropy(logits, labels)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            loss_sum += loss.detach()
            wrong += (logits.detach().argmax(dim=1) != labels).float().mean()
            if not torch.isfinite(loss_sum):
                yield Score(math.nan, float(wrong) / (update + 1))
                return
        yield Score(float(loss_sum) / updates, float(wrong) / updates)


@torch.no_grad()
def evaluate(network: nn.Module, part: Part) -> Score:
    """The score of a network as it stands. Outputs that are no numbers count as the first class."""
    network.eval()
    loss, wrong = 0.0, 0
    for first in range(0, len(part), SCORING_BATCH):
        labels = part.labels[first : first + SCORING_BATCH]
        logits = network(part.images[first : first + SCORING_BATCH])
        loss += float(functional.cross_entropy(logits, labels, reduction="sum"))
        wrong += int((logits.argmax(dim=1) != labels).sum())
    return Score(loss / len(part), wrong / len(part))


@dataclass
class Clock:
    """Seconds since it was made."""

    wall: float = dataclasses.field(default_factory=time.perf_counter)
    processor: float = dataclasses.field(default_factory=time.process_time)

    def seconds(self) -> dict[str, float]:
        """Of the clock on the wall, and of all processor cores together."""
        return {
            "seconds": round(time.perf_counter() - self.wall, 1),
            "processor_seconds": round(time.process_time() - self.processor, 1),
        }


def write_results(path: Path, options: Any, clock: Clock, content: dict[str, Any]) -> None:
    """Keep what a study found with its options, time and versions; infinite and undefined numbers
    become null."""
    facts = environment_facts()
    kept = {name: facts[name] for name in ("versions", "processor", "usable_cores")}
    asked = {name: value for name, value in dataclasses.asdict(options).items() if name != "out"}
    everything = {"options": asked, **clock.seconds(), **content, "environment": kept}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(json_text(everything))


MOST_COLUMNS = 3
"""Panels side by side that can be read on a page."""


def new_figure(panels: int, width: float = 8.0, height: float = 3.6) -> tuple[Any, list[Any]]:
    """A figure with axes side by side, in rows of three; so large, in inches, as one row."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    columns = min(panels, MOST_COLUMNS)
    rows = -(-panels // columns)
    size = (width * columns / panels, height * rows)
    figure, grid = pyplot.subplots(
        rows, columns, figsize=size, dpi=110, squeeze=False, layout="constrained"
    )
    axes = grid.ravel().tolist()
    for ax in axes[panels:]:
        ax.set_axis_off()
    for ax in axes[:panels]:
        ax.spines[["top", "right"]].set_visible(False)
    return figure, axes[:panels]


def save_figure(figure: Any, path: Path) -> None:
    """Write a figure in 256 colours, which takes half the bytes, and forget it."""
    from matplotlib import pyplot
    from PIL import Image

    figure.canvas.draw()
    picture = Image.fromarray(np.asarray(figure.canvas.buffer_rgba())).convert("RGB")
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    pyplot.close(figure)
