"""Parallelised Q-network on L lanes: Gallici et al. 2024, arXiv 2407.04811, algorithm 1.

All lanes act for T ticks; then the network learns the lambda returns of these steps in some epochs
of minibatches, and the steps are forgotten.

Deviation: as the lanes move while it learns, the first two actions after an update, and their
values, are still those of the weights before; all T where acting and learning are concurrent.

Legend: T ticks of a rollout, L lanes, N transitions of an update.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.pqn.config import PQNConfig
from agents.pqn.losses import q_loss
from agents.pqn.network import QNetwork
from agents.pqn.policy import EpsilonGreedy
from agents.pqn.rollout import Experience, Rollout
from core.agent import Metrics
from core.frozen import ActingNetwork
from core.lanes import Lanes, Step
from core.learner import Arithmetic, Learner, load_weights
from core.optimisers import build_optimiser
from core.schedule import linear
from envs.make import evaluation_epsilon
from networks.registry import hidden_sizes

RADAM_EPSILON = 1e-8


class PQN:
    """Q-learning without replay memory and target network."""

    def __init__(
        self,
        config: PQNConfig,
        lanes: Lanes,
        arithmetic: Arithmetic,
        life_loss_terminal: bool,
    ) -> None:
        """Args:
        config: the algorithm's options.
        lanes: where it acts.
        arithmetic: device, precision, layout.
        life_loss_terminal: a lost life ends the return (the game goes on).
        """
        self.config = config
        self.lanes = lanes
        self.arithmetic = arithmetic
        self.life_loss_terminal = life_loss_terminal
        acting_seed, order_seed = np.random.SeedSequence(config.run.seed).spawn(2)
        self.order_rng = np.random.default_rng(order_seed)
        torch.manual_seed(config.run.seed)
        self.network = build_network(config, lanes)
        self.acting = ActingNetwork(self.network, arithmetic, meanwhile=config.concurrent)
        arithmetic.place(self.network)
        optimiser = build_optimiser(
            "radam", self.network.parameters(), config.learning_rate, RADAM_EPSILON
        )
        self.learner = Learner(self.network, optimiser, arithmetic, config.max_gradient_norm)
        self.actor = EpsilonGreedy(
            self.acting.network, lanes, arithmetic, np.random.default_rng(acting_seed)
        )
        self.rollout = Rollout(
            lanes.observation_spec, lanes.num_lanes, config.rollout_ticks, arithmetic.device
        )
        self.minibatch_size = -(-self.rollout.largest // config.minibatches)
        """Of the largest; where updates are recorded, of all."""
        self._seen: list[np.ndarray] = []  # newest frames, for the normaliser
        self._due: Experience | None = None

    # ---------------------------------------------------------------- collect

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        """Epsilon-greedy actions, int64 [L]."""
        config = self.config
        self.actor.epsilon = linear(
            config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps, agent_steps
        )
        return self.actor.act(step)

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        """Add one tick to the rollout."""
        terminated, reward = outcome.terminated, outcome.reward
        if self.life_loss_terminal:
            terminated = terminated | outcome.life_lost
        if self.config.clip_rewards:
            reward = np.sign(reward)
        self.rollout.append(
            observation=self.actor.seen,
            action=actions,
            reward=self.config.reward_scale * reward,
            terminated=terminated,
            truncated=outcome.truncated,
            valid=outcome.valid,
            value=self.actor.value,
        )
        if self.config.normalise_observations:
            self._seen.append(step.observation[~outcome.busy])
        if not self.config.concurrent:
            self.commit()

    def commit(self) -> None:
        """Hand over a rollout to be learned from, and act with the present weights from now on."""
        if self._seen:
            self.network.normaliser.update(np.concatenate(self._seen))
            self._seen = []
        self._hand_over()
        self.acting.refresh()

    def _hand_over(self) -> None:
        config = self.config
        if self.rollout.is_full or (config.concurrent and self.rollout.filled > 1):
            self._due = self.rollout.take(config.discount, config.trace_decay)

    # ---------------------------------------------------------------- learn

    def learn(self, agent_steps: int) -> None:
        """Make an update from the rollout that was handed over, if there is one."""
        config = self.config
        if self._due is None:
            return
        if config.learning_rate_falls:
            self.learner.set_learning_rate(
                linear(config.learning_rate, 0.0, config.run.total_steps, agent_steps)
            )
        due, self._due = self._due, None
        self.update(due)

    def update(self, experience: Experience) -> None:
        """Some epochs of minibatches."""
        columns = [self.arithmetic.tensor(column) for column in experience]  # sent once
        for _ in range(self.config.epochs):
            order = self.order_rng.permutation(len(experience.action))
            for rows, *weight in self._minibatches(order):
                self.learner.update(self.loss, *(column[rows] for column in columns), *weight)

    def _minibatches(self, order: np.ndarray) -> Iterator[list[Tensor]]:
        """Rows of each; where updates are recorded, which takes batches of one size, some rows
        twice, and weights that count them once."""
        parts = [part for part in np.array_split(order, self.config.minibatches) if len(part)]
        if not parts:
            return
        if not self.arithmetic.records:
            yield from ([self.arithmetic.tensor(part)] for part in parts)
            return
        size = self.minibatch_size
        rows = np.stack([np.resize(part, size) for part in parts])
        lengths = np.array([len(part) for part in parts])[:, None]
        weights = np.where(np.arange(size) < lengths, size / lengths, 0.0).astype(np.float32)
        yield from map(list, zip(*map(self.arithmetic.tensor, (rows, weights)), strict=True))

    def loss(
        self, observation: Tensor, action: Tensor, returns: Tensor, weight: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss of a minibatch and what it tells of the action values."""
        q = self.network(observation).float()
        best = q.detach().max(dim=1).values
        counted = best if weight is None else weight * best
        metrics = {"q_mean": counted.mean(), "q_max": best.max()}
        return q_loss(q, action, returns, weight), metrics

    # ---------------------------------------------------------------- report

    def metrics(self) -> Metrics:
        """Loss, action values and exploration since the last call."""
        names = {
            "loss": "loss/td",
            "q_mean": "q/mean",
            "q_max": "q/max",
            "gradient_norm": "optimiser/gradient_norm",
        }
        scalars = {names[name]: value for name, value in self.learner.drain_metrics().items()}
        scalars["exploration/epsilon"] = self.actor.epsilon
        scalars["optimiser/learning_rate"] = self.learner.learning_rate
        return Metrics(scalars)

    def evaluation_policy(self, lanes: Lanes, seed: int) -> EpsilonGreedy:
        """The policy to be scored: the same network, epsilon of evaluation."""
        policy = EpsilonGreedy(self.network, lanes, self.arithmetic, np.random.default_rng(seed))
        config = self.config
        policy.epsilon = evaluation_epsilon(config.evaluation_epsilon, config.env, config.atari)
        return policy

    # ---------------------------------------------------------------- save

    def needs_checkpoint(self) -> bool:
        """Never: a checkpoint holds all experience that is still to be used."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser, rollout, random streams and stacked frames."""
        learner = self.learner.state_dict()
        return {
            "network": learner.pop("network"),
            "learner": learner,
            "rollout": self.rollout.state_dict(),
            "due": {} if self._due is None else self._due.state_dict(),
            "agent": {
                "frames": self.actor.frames.state_dict(),
                "acting_rng": self.actor.rng.bit_generator.state,
                "order_rng": self.order_rng.bit_generator.state,
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        self.learner.load_state_dict({"network": state["network"], **state["learner"]})
        self.rollout.load_state_dict(state["rollout"])
        self._due = self.rollout.taken_before(state.get("due", {}))  # older checkpoints have none
        self._hand_over()  # a rollout begun before `concurrent` was asked for would be too long
        self.actor.frames.load_state_dict(state["agent"]["frames"])
        self.actor.rng.bit_generator.state = state["agent"]["acting_rng"]
        self.order_rng.bit_generator.state = state["agent"]["order_rng"]
        self.acting.refresh()
        if not self.config.learning_rate_falls:  # a resume may change it
            self.learner.set_learning_rate(self.config.learning_rate)

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with trained weights."""
        load_weights(self.network, network)
        self.acting.refresh()

    def lanes_restarted(self, last: Step) -> None:
        """Forget the unfinished rollout: what its last tick led to is gone."""
        self.rollout.clear()


def build_network(config: PQNConfig, lanes: Lanes) -> QNetwork:
    """The network that ``config`` asks for."""
    return QNetwork(
        config.network,
        lanes.observation_spec,
        lanes.num_actions,
        hidden=hidden_sizes(config.hidden),
        normalise=config.normalise_observations,
    )
