"""Puts the labelling of texts together from its options."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from core.built import Built, Note
from core.errors import UserError
from core.files.checkpoint import Checkpoint
from core.files.run_folder import RunFolder
from core.learner import Arithmetic
from networks.base import TextClassifier
from networks.registry import network_config
from tasks.building import SupervisedTask
from tasks.label.config import LabelConfig
from tasks.label.task import Labelling
from tasks.network_options import parse_options
from tasks.supervised import Supervised

_task = SupervisedTask(Labelling)
describe, score = _task.describe, _task.score

OF_TRAINING = ("dropout", "init_std", "first_positions")
"""Options of networks with which the same weights compute the same."""


def build(
    config: LabelConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """As for any task, but that it may begin with a masked language model."""
    built = _task.build(config, folder, note, arithmetic)
    assert isinstance(built.agent, Supervised)
    return replace(built, begin=partial(begin, config, built.agent))


def begin(config: LabelConfig, agent: Supervised, found: Checkpoint) -> None:
    """Take the weights of a run of tengen train mlm, or of another that labels.

    Raises:
        UserError: it is of something else, or its network or its tokens are others; they might
            fit and mean something else.
    """
    kind = found.identity.get("agent")
    if kind not in ("mlm", "label"):
        raise UserError(f"it is a run of {kind}; expected one of mlm, or of label")
    if found.state["problem"].get("tokens") != agent.problem.identity()["tokens"]:
        raise UserError(
            "it learned other tokens: give its --data as --text, and its --tokenizer and "
            "--vocabulary"
        )
    folder = RunFolder.open(found.path.parents[1])
    try:
        saved = tomllib.loads(folder.read_config())
    except ValueError as error:
        raise UserError(f"{folder.path}/config.toml is not valid TOML: {error}") from error
    for name in ("network", "context_length"):
        ours, theirs = getattr(config, name), saved.get(name)
        if ours != theirs:
            flag = f"--{name.replace('_', '-')}"
            raise UserError(f"it has {flag} {theirs}, this run {ours}: give the same")
    options = [_network(config.network, text) for text in
               (config.network_options, str(saved.get("network_options", "")))]  # fmt: skip
    for name, ours in options[0].items():
        if ours != options[1][name] and not name.endswith(OF_TRAINING):
            raise UserError(
                f"its network has {name}={options[1][name]}, not {ours}: give its --network-options"
            )
    if kind == "label":
        agent.start_from(found.state["network"])
    else:
        assert isinstance(agent.network, TextClassifier)
        agent.network.load_pretrained(found.state["network"])


def _network(name: str, options: str) -> dict[str, Any]:
    config = network_config(name)
    return dataclasses.asdict(config) | parse_options(name, config, options)
