"""What `tengen export` makes of a search: the best design, trained from scratch, as plain torch."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agents.nas.build import arithmetic_of, best_child, make_evaluator, retrained, space_of
from agents.nas.children import TrainingEvaluator, test_seeds
from agents.nas.config import NASConfig
from agents.nas.evaluator import Child
from agents.nas.export import export
from core.errors import UserError
from networks.designed.build import build_designed
from tasks.problem import Stop

TABLE_IMAGES: dict[str, dict[str, Any]] = {
    "nb201-cifar10": {"num_classes": 10, "image_size": (32, 32)},
    "nb201-cifar100": {"num_classes": 100, "image_size": (32, 32)},
    "nb201-imagenet16": {"num_classes": 120, "image_size": (16, 16)},
    "macro-cifar10": {"num_classes": 10, "image_size": (32, 32)},
}
"""What the networks of a table were trained on, in three colours."""


def export_best(
    config: NASConfig,
    state: Mapping[str, Any],
    folder: Path,
    epochs: float,
    device: str,
    stop: Stop,
) -> list[str] | None:
    """Train the best design from scratch, and write it to a new folder (`agents/nas/export.py`).

    A table's design gets fresh weights: what it was trained on is not here.

    Args:
        config: the options of the run.
        state: the part 'network' of a checkpoint: the best design.
        folder: that does not exist.
        epochs: of the training; 0 for what the run says.
        device: where it is trained.
        stop: asked after each update.

    Returns:
        Lines for the user; None where it was stopped, and nothing was written.

    Raises:
        UserError: nothing was found yet, the folder exists, the data are gone, or the training
            diverged.
    """
    child = best_child(config, state)
    if folder.exists():
        raise UserError(f"{folder} exists; name a new folder")
    if config.evaluator == "table":
        return _untrained(config, child, folder, epochs)
    config = retrained(config, device, epochs)
    evaluator = make_evaluator(
        dataclasses.replace(config, evaluator="train"),  # however the search scored it
        space_of(config),
        arithmetic_of(config),
        Path(os.devnull),
    )
    assert isinstance(evaluator, TrainingEvaluator)
    trainer = evaluator.trainer
    tested = trainer.test(child.design, test_seeds(evaluator.seed, child, 1), stop)
    if tested is None:
        return None
    network, scores = tested[0].network, tested[0].scores
    lines = export(folder, child.design, network.state_dict(), **trainer.problem.network_sizes())
    inputs = folder / "inputs.json"
    inputs.write_text(json.dumps(trainer.problem.inputs(), indent=2) + "\n", "utf-8")
    shown = ", ".join(f"{name.replace('_', ' ')} {value:.6g}" for name, value in scores.items())
    children = config.children
    trained = f"trained from scratch, {children.child_epochs:g} epochs of {children.data}"
    return [
        f"child {child.number}: {trained}; on its test part: {shown}",
        *lines,
        f"{inputs}: what it is to be shown",
    ]


def _untrained(config: NASConfig, child: Child, folder: Path, epochs: float) -> list[str]:
    if epochs:
        raise UserError(f"--epochs is for designs trained here; those of {config.table} were not")
    sizes = TABLE_IMAGES[config.table]
    weights = build_designed(child.design, **sizes).state_dict()
    lines = export(folder, child.design, weights, **sizes)
    file = shlex.quote(str(folder / "design.json"))
    return [
        f"child {child.number}: its weights are fresh, as {config.table} has none; train it with: "
        f"tengen train classify --network designed:{file}",
        *lines,
    ]
