"""The smallest agent that learns a board game from games against itself.

Positions go to the replay memory as they are played; when a game ends, its outcome is written into
the rows of all its positions. Policy and value learn from positions of finished games.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.agent import Metrics
from core.lanes import Step
from core.learner import Arithmetic, Learner, load_weights
from core.legal import legal_only, random_actions
from core.replay.plan import Column, legal_column
from core.replay.ring import FrameReplay, ReplaySpec
from core.replay.sampling import PositionSampler
from envs.games.lanes import GameLanes
from envs.games.state import FIRST
from networks.control.mlp import MLP

BATCH, WINDOW, UPDATES_PER_TICK = 256, 8_192, 2
SHARPNESS, ENTROPY_WEIGHT, EXPLORE = 2.0, 0.02, 0.25


class PolicyAndValue(nn.Module):
    """Boards [B, ...] -> logits [B, A] and what the player to move may expect [B]."""

    def __init__(self, lanes: GameLanes) -> None:
        super().__init__()
        self.torso = MLP(replace(lanes.observation_spec, dtype="float32"))
        self.logits = nn.Linear(self.torso.num_features, lanes.num_actions)
        self.value = nn.Linear(self.torso.num_features, 1)

    def forward(self, boards: Tensor) -> tuple[Tensor, Tensor]:
        features = self.torso(boards)
        return self.logits(features), torch.tanh(self.value(features)).squeeze(1)


class Mover:
    """Draws moves from the policy, or takes the most likely one where ``rng`` is None."""

    def __init__(self, network: PolicyAndValue, rng: np.random.Generator | None) -> None:
        self.network, self.rng = network, rng

    def act(self, step: Step) -> np.ndarray:
        assert step.legal is not None
        with torch.no_grad():
            logits, _ = self.network(torch.as_tensor(step.observation))
        scores = legal_only(logits, torch.as_tensor(step.legal)).numpy()
        if self.rng is not None:
            scores = scores + self.rng.gumbel(size=scores.shape)
        moves: np.ndarray = scores.argmax(axis=1)
        return moves


class SelfPlay:
    """Moves that did better than expected become more likely: advantage-weighted regression (Peng
    et al. 2019, arXiv 1910.00177), which bears that the memory's games are not the newest."""

    def __init__(self, lanes: GameLanes, folder: Path) -> None:
        torch.manual_seed(1)
        self.lanes = lanes
        self.replay = FrameReplay(replay_spec(lanes), folder)
        self.sampler = PositionSampler(self.replay, "outcome")
        self.network = PolicyAndValue(lanes)
        optimiser = torch.optim.Adam(self.network.parameters(), 2e-3)
        self.learner = Learner(self.network, optimiser, Arithmetic(), 1.0)
        self.rng = np.random.default_rng(1)
        self.actor = Mover(self.network, self.rng)
        self.began = np.zeros(lanes.num_lanes, np.int64)  # rows in which the games began

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        moves = self.actor.act(step)
        explore = self.rng.random(len(moves)) < EXPLORE
        drawn = random_actions(self.rng, len(moves), self.lanes.num_actions, step.legal)
        return np.where(explore, drawn, moves)

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        """Store the positions; where a game ended, tell them all how."""
        row = self.replay.append(
            step.observation, actions, outcome.reward, outcome.terminated, outcome.truncated,
            outcome.valid, step.first, outcome.busy, legal=step.legal, player=step.player,
        )  # fmt: skip
        for lane in np.flatnonzero(outcome.terminated).tolist():
            rows = np.arange(max(self.began[lane], self.replay.oldest), row + 1)
            player = self.replay.read("player", rows, np.full(len(rows), lane))
            results = np.where(player == FIRST, 1.0, -1.0) * outcome.reward[lane]
            self.replay.amend(rows, lane, "outcome", results)
            self.began[lane] = row + 1

    def learn(self, agent_steps: int) -> None:
        if self.sampler.can_sample(WINDOW // 8):
            for _ in range(UPDATES_PER_TICK):
                self._update()

    def _update(self) -> None:
        drawn = self.sampler.sample(self.rng, BATCH)
        outcome = torch.as_tensor(drawn.columns["outcome"])

        def loss_function() -> tuple[Tensor, dict[str, Tensor]]:
            logits, value = self.network(torch.as_tensor(drawn.observation))
            policy = F.log_softmax(
                legal_only(logits, torch.as_tensor(drawn.columns["legal"])), dim=1
            )
            chosen = policy.gather(1, torch.as_tensor(drawn.action)[:, None]).squeeze(1)
            weight = (SHARPNESS * (outcome - value.detach())).exp()
            policy_loss = -(weight * chosen).mean()
            entropy = -(policy.exp() * policy).sum(dim=1).mean()
            value_loss = F.mse_loss(value, outcome)
            return policy_loss + value_loss - ENTROPY_WEIGHT * entropy, {"value": value_loss}

        self.learner.update(loss_function)

    def metrics(self) -> Metrics:
        return Metrics({f"loss/{k}": v for k, v in self.learner.drain_metrics().items()})

    def evaluation_policy(self, num_lanes: int, seed: int) -> Mover:
        return Mover(self.network, None)

    def needs_checkpoint(self) -> bool:
        return self.replay.rows_since_checkpoint >= self.replay.headroom_rows

    def state_dict(self) -> dict[str, Any]:
        learner = self.learner.state_dict()
        return {
            "network": learner.pop("network"),
            "learner": learner,
            "replay": self.replay.checkpoint(),
            "agent": {"rng": self.rng.bit_generator.state, "began": self.began},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.learner.load_state_dict({"network": state["network"], **state["learner"]})
        self.replay.restore(state["replay"])
        self.rng.bit_generator.state = state["agent"]["rng"]
        self.began = np.array(state["agent"]["began"])

    def start_from(self, network: Mapping[str, Any]) -> None:
        load_weights(self.network, network)

    def lanes_restarted(self, last: Step) -> None:
        self.began[:] = self.replay.end


def replay_spec(lanes: GameLanes) -> ReplaySpec:
    """A memory of boards with legal moves, who moves, and what came of the game."""
    observation = lanes.observation_spec
    return ReplaySpec(
        capacity=WINDOW, lanes=lanes.num_lanes, frame_shape=observation.shape,
        frame_dtype=observation.dtype, stack=1, n_step=1, storage="ram", headroom=WINDOW,
        columns=(
            legal_column(lanes.num_actions),
            Column("player", "int8"),
            Column("outcome", "float32", default=np.nan),
        ),
    )  # fmt: skip


def against_random(agent: SelfPlay, lanes: GameLanes, seed: int) -> list[float]:
    """Results of one game per lane, half of them as the first player."""
    rng, policy = np.random.default_rng(seed), agent.evaluation_policy(lanes.num_lanes, seed)
    ours = np.where(np.arange(lanes.num_lanes) % 2 == 0, FIRST, 1 - FIRST)
    results = np.full(lanes.num_lanes, np.nan)
    step = lanes.reset(seed)
    while np.isnan(results).any():
        theirs = random_actions(rng, lanes.num_lanes, lanes.num_actions, step.legal)
        lanes.send(np.where(step.player == ours, policy.act(step), theirs))
        step = lanes.receive()
        ended = step.terminated & np.isnan(results)
        results[ended] = (np.where(ours == FIRST, 1, -1) * step.reward)[ended]
    return results.tolist()
