"""A cell of the study of lottery tickets in which the network is a DQN's on Catch."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from agents.dqn.build import build
from agents.dqn.config import PRESETS, DQNConfig
from core.config import resolve
from core.learner import Arithmetic
from studies.grid import Cell, Found
from studies.lottery_ticket import KINDS
from studies.pruning import prune, remaining, shuffled

EPISODES = 100


def compute(cell: Cell) -> Found:
    """Shares left and the mean return of each kind at each round, the whole network first."""
    seed = cell["seed"]
    first = weights_of(seed)
    names = [name for name, value in first.items() if value.ndim >= 2]
    masks = [torch.ones_like(first[name], dtype=torch.bool) for name in names]
    score, trained = train(cell, first, dict(zip(names, masks, strict=True)))
    found: Found = {"remaining": [1.0], "scores": {kind: [score] for kind in KINDS}}
    generator = torch.Generator().manual_seed(seed)
    for number in range(1, cell["rounds"] + 1):
        masks = prune([trained[name] for name in names], masks, cell["share"], cell["scope"])
        others = weights_of(1000 * seed + number)
        signed = {name: value.abs() * first[name].sign() for name, value in others.items()}
        begun: dict[str, tuple[Mapping[str, Tensor], Sequence[Tensor]]] = {
            "ticket": (first, masks),
            "random": (first, shuffled(masks, generator)),
            "redrawn": (others, masks),
            "signs": (signed, masks),
        }
        found["remaining"].append(remaining(masks))
        for kind in KINDS:
            weights, kept = begun[kind]
            score, after = train(cell, weights, dict(zip(names, kept, strict=True)))
            found["scores"][kind].append(score)
            if kind == "ticket":
                trained = after
    return found


def options_of(seed: int) -> DQNConfig:
    """Those of the preset, with this seed, and nothing measured or saved."""
    config = resolve(DQNConfig, PRESETS["catch"][1])
    run = replace(config.run, seed=seed, evaluate_episodes=EPISODES)
    return replace(config, run=run)


def weights_of(seed: int) -> dict[str, Tensor]:
    """The first weights that DQN has with this seed."""
    with tempfile.TemporaryDirectory() as folder:
        built = build(options_of(seed), Path(folder), lambda line: None, Arithmetic())
        weights = {k: v.clone() for k, v in built.agent.state_dict()["network"].items()}
        built.agent.close()
    return weights


def train(
    cell: Cell, weights: Mapping[str, Tensor], masks: Mapping[str, Tensor]
) -> tuple[float, dict[str, Tensor]]:
    """Let DQN learn with these weights where their masks leave any: its mean return, and what the
    weights have become."""
    with tempfile.TemporaryDirectory() as folder:
        built = build(options_of(cell["seed"]), Path(folder), lambda line: None,
                      Arithmetic(cell["device"]))  # fmt: skip
        agent = built.agent
        begun = {k: v * masks[k] if k in masks else v for k, v in weights.items()}
        agent.start_from(begun)
        online = agent.agent.online  # type: ignore[attr-defined]
        for name, parameter in online.named_parameters():
            if name in masks:
                _keep_zeros(parameter, masks[name].to(cell["device"]))
        steps = 0
        while steps < cell["steps"]:
            steps += agent.advance(steps).agent_steps
        assessment = built.task.evaluate(steps, cell["seed"], lambda: False)
        assert assessment is not None
        after = {k: v.cpu().clone() for k, v in agent.state_dict()["network"].items()}
        agent.close()
    return sum(assessment.scores) / len(assessment.scores), after


def _keep_zeros(parameter: torch.nn.Parameter, kept: Tensor) -> None:
    parameter.register_hook(lambda gradient: gradient * kept)  # type: ignore[no-untyped-call]
