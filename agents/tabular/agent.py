"""Tabular Q-learning on L lanes: Watkins 1989, "Learning from Delayed Rewards".

Legend: S states, A actions, L lanes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agents.tabular.config import TabularConfig
from agents.tabular.table import QTable
from core.agent import Metrics
from core.errors import UserError
from core.lanes import Lanes, Step
from core.schedule import linear


class EpsilonGreedyTable:
    """The best action of a table, drawn among equals, or with probability epsilon any action."""

    def __init__(self, q: np.ndarray, epsilon: float, rng: np.random.Generator) -> None:
        """``q`` [S, A]; states beyond it are worth 0."""
        self.q = q
        self.epsilon = epsilon
        self.rng = rng

    def act(self, step: Step) -> np.ndarray:
        """Actions, int64 [L], for the newest step."""
        state = step.observation[:, 0]
        known = state < len(self.q)
        q = np.where(known[:, None], self.q[np.where(known, state, 0)], 0.0)  # [L, A]
        # Always taking the first of equals would keep an unlearned agent in a corner.
        tie_break = self.rng.random(q.shape)
        explore = self.rng.random(len(q)) < self.epsilon
        if step.legal is not None:
            q, tie_break = (np.where(step.legal, x, -np.inf) for x in (q, tie_break))
        best = (q == q.max(axis=1, keepdims=True)) | explore[:, None]
        action: np.ndarray = np.where(best, tie_break, -np.inf).argmax(axis=1)
        return action


class TabularQLearning:
    """Learns each transition once, at the tick after it was made."""

    def __init__(self, config: TabularConfig, lanes: Lanes) -> None:
        self.config = config
        self.lanes = lanes
        self.table = QTable(lanes.num_actions)
        rng = np.random.default_rng(config.run.seed)
        self.actor = EpsilonGreedyTable(self.table.q, config.epsilon_start, rng)
        self._pending: dict[str, np.ndarray] = {}
        self._error_sum, self._errors = 0.0, 0

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        """Epsilon-greedy actions, int64 [L]."""
        config = self.config
        self.actor.epsilon = linear(
            config.epsilon_start, config.epsilon_end, config.epsilon_decay_steps, agent_steps
        )
        self.table.require(step.observation[:, 0])
        self.actor.q = self.table.q
        return self.actor.act(step)

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        """Keep one transition per lane for ``learn``; a tick that only reset a lane is none."""
        rows = outcome.valid
        self._pending = {
            "state": step.observation[rows, 0],
            "action": actions[rows],
            "reward": outcome.reward[rows],
            "terminated": outcome.terminated[rows],
            "next_state": outcome.observation[rows, 0],
        }
        if outcome.legal is not None:
            self._pending["next_legal"] = outcome.legal[rows]

    def learn(self, agent_steps: int) -> None:
        """Update the table with the transitions of the last tick."""
        pending, self._pending = self._pending, {}
        if not pending or not len(pending["state"]):
            return
        self.table.require(pending["next_state"])
        errors = self.table.update(
            **pending, discount=self.config.discount, power=self.config.learning_rate_power
        )
        self._error_sum += float(np.square(errors).sum())
        self._errors += len(errors)

    def metrics(self) -> Metrics:
        """Squared TD error, values and exploration since the last call."""
        table = self.table
        met = table.visits[: table.num_states].any(axis=1)
        scalars = {
            "exploration/epsilon": self.actor.epsilon,
            "exploration/states_met": float(met.sum()),
        }
        if self._errors:
            scalars["loss/total"] = self._error_sum / self._errors
        if met.any():
            best = table.q[: table.num_states][met].max(axis=1)
            scalars |= {"q/mean": float(best.mean()), "q/max": float(best.max())}
        self._error_sum, self._errors = 0.0, 0
        return Metrics(scalars)

    def evaluation_policy(self, lanes: Lanes, seed: int) -> EpsilonGreedyTable:
        """The policy to be scored: greedy, but for the user's ``evaluation_epsilon``."""
        return EpsilonGreedyTable(
            self.table.q, self.config.evaluation_epsilon, np.random.default_rng(seed)
        )

    def needs_checkpoint(self) -> bool:
        """Never: nothing on the disk is overwritten."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """The table, transitions still to be learned, and the random stream."""
        table = self.table.state_dict()
        return {
            "network": {"q": torch.from_numpy(table["q"])},
            "agent": {
                "visits": table["visits"],
                "pending": dict(self._pending),
                "acting_rng": self.actor.rng.bit_generator.state,
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        agent = state["agent"]
        self.table.load_state_dict(
            {
                "q": state["network"]["q"].numpy(),
                "visits": agent["visits"],
            }
        )
        self._pending = {name: np.asarray(array) for name, array in agent["pending"].items()}
        self.actor.rng.bit_generator.state = agent["acting_rng"]

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with a learned table; no state counts as visited."""
        if "q" not in network:
            raise UserError("these weights are not a table of values: the file lacks 'q'")
        q = np.asarray(network["q"])
        self.table.load_state_dict({"q": q, "visits": np.zeros(q.shape, np.int64)})

    def lanes_restarted(self, last: Step) -> None:
        """Nothing to do: every transition stands on its own."""
