"""Networks of the runs of AlphaGo's stages."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from agents.alphago.networks import build_policy_network, build_value_network
from agents.alphago.self_play import PolicyPlayer
from agents.registry import AGENTS, load_object
from core.config import from_toml
from core.errors import UserError
from core.files import checkpoint, tensor_file
from core.files.json_files import disk_errors
from core.files.run_folder import RunFolder
from core.learner import Arithmetic, load_weights
from core.machine.probe import resolve_device

POLICIES, VALUES = ("go-policy", "go-rl"), ("go-value",)


def load_policy_network(run: Path) -> tuple[nn.Module, int]:
    """The newest policy network of a run, and the lines of its board.

    Raises:
        UserError: there is no such run, or it is of another agent.
    """
    return _load(run, POLICIES, build_policy_network)


def load_value_network(run: Path) -> tuple[nn.Module, int]:
    """The newest value network of a run, and the lines of its board. Raises UserError as above."""
    return _load(run, VALUES, build_value_network)


def fingerprint(path: Path) -> str:
    """Names the weights of a run, or of a file, by what they are and not by where they lie.

    Raises:
        UserError: it cannot be read.
    """
    if path.is_file():
        with disk_errors("read", path):
            return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    loaded = checkpoint.load(RunFolder.open(path).checkpoints, keys=["network"])
    return tensor_file.digest(loaded.state["network"])


def policy_player(run: Path, size: int, device: str = "cpu") -> PolicyPlayer:
    """The policy of a run, which draws its moves. Raises UserError where it is of another board,
    or there is no such device."""
    network, trained = load_policy_network(run)
    if trained != size:
        raise UserError(f"{run} is of {trained} lines, not of {size}")
    arithmetic = Arithmetic(resolve_device(device), torch.get_num_threads())
    return PolicyPlayer(arithmetic.place(network), arithmetic, size)


def _load(
    run: Path, agents: tuple[str, ...], build: Callable[[Any], nn.Module]
) -> tuple[nn.Module, int]:
    folder = RunFolder.open(run)
    agent = folder.read_meta().get("agent")
    if agent not in agents:
        raise UserError(f"{run} is a run of {agent}, not of {' or '.join(agents)}")
    config_type = load_object(AGENTS[agent].config)
    config = from_toml(config_type, folder.read_config(), f"{run}/config.toml")
    network = build(config)
    load_weights(network, checkpoint.load(folder.checkpoints, keys=["network"]).state["network"])
    return network, int(config.size)
