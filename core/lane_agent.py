"""An agent that acts on lanes, and the tick in which it does.

    act -> send -> learn -> receive -> observe          one tick, all lanes together

``send`` starts the lanes on their actions and ``learn`` works while they move. The agent sees
only experience committed before the tick, so the order of things never depends on timing and the
same seed gives the same run.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Protocol

import numpy as np

from core.agent import Advanced, Learning, Metrics
from core.episodes import EpisodesInProgress
from core.lanes import Lanes, Step, restored_step, standing_actions
from core.seeds import derived_seed


class LaneAgent(Learning, Protocol):
    """How it chooses actions, what it stores and what its loss is; no loop, no file, no logging."""

    lanes: Lanes

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        """Actions, int64 [L], for the newest step; ``agent_steps`` drives schedules."""

    def learn(self, agent_steps: int) -> None:
        """Make all updates that are due. Runs while the lanes carry out the actions, so it sees
        only experience committed before them."""

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        """Commit one tick of experience: the actions taken at ``step`` led to ``outcome``."""

    def lanes_restarted(self, last: Step) -> None:
        """The lanes could not be restored: ``last`` was the newest step of the cut episodes."""


class OnLanes:
    """A lane agent as the trainer sees it: see ``core.agent.Agent``."""

    _parts_of_time: tuple[str, ...] = ("acting", "learning", "environment", "waiting", "other")
    """What together takes all the time there is."""

    def __init__(self, agent: LaneAgent, seed: int) -> None:
        """``seed`` is the run's; the lanes get one of their own."""
        self.agent = agent
        self.lanes = agent.lanes
        self.seed = seed
        self.sound = True
        self.episodes = EpisodesInProgress(self.lanes.num_lanes)
        self._step: Step | None = None
        self._actions = np.zeros(self.lanes.num_lanes, dtype=np.int64)
        self._in_tick = False
        self._times = dict.fromkeys(("acting", "learning", "environment", "waiting", "other"), 0.0)

    @property
    def step(self) -> Step:
        """The newest step; the lanes start when it is first asked for."""
        if self._step is None:
            self._step = self.lanes.reset(derived_seed(self.seed, "lanes"))
        return self._step

    def advance(self, agent_steps: int) -> Advanced:
        """One tick."""
        agent, lanes, step = self.agent, self.lanes, self.step
        self._in_tick = True
        with self._timed("acting"):
            chosen = agent.act(step, agent_steps)
            self._actions = actions = standing_actions(step, chosen, self._actions)
        with self._timed("environment"):
            lanes.send(actions)
        self.sound = False
        with self._timed("learning"):
            agent.learn(agent_steps)
        self.sound = True
        with self._timed("waiting" if lanes.overlaps else "environment"):
            outcome = lanes.receive()
        self.sound = False
        with self._timed("other"):
            agent.observe(step, actions, outcome)
            self._step = outcome
            finished = self.episodes.update(outcome)
        self.sound, self._in_tick = True, False
        return Advanced(int(np.count_nonzero(~outcome.busy)), finished)

    @contextmanager
    def _timed(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self._times[name] += time.perf_counter() - started

    def metrics(self) -> Metrics:
        """The agent's, and the shares of time that the parts of a tick took."""
        metrics = self.agent.metrics()
        total = sum(self._times[name] for name in self._parts_of_time) or 1.0
        metrics.scalars |= {f"time/{name}": spent / total for name, spent in self._times.items()}
        self._times = dict.fromkeys(self._times, 0.0)
        return metrics

    def needs_checkpoint(self) -> bool:
        """When the agent says so."""
        return self.agent.needs_checkpoint()

    def state_dict(self) -> dict[str, Any]:
        """The agent's parts, the newest step and the lanes.

        After a failure within a tick the lanes are in the middle of it: they are left out, and
        start new episodes.
        """
        tick = {
            "step": self.step.state_dict(),
            "actions": self._actions,
            "episodes": self.episodes.state_dict(),
        }
        restorable = self.lanes.restorable and not self._in_tick
        lanes = self.lanes.state_dict() if restorable else {}
        return {**self.agent.state_dict(), "tick": tick, "lanes": lanes}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``. Lanes that cannot be restored, or whose part was left
        out, start new episodes; the cut ones count as truncated."""
        self.agent.load_state_dict(state)
        tick = state.get("tick", state["trainer"])  # where older checkpoints have it
        last = restored_step(tick["step"])
        self._actions = np.asarray(tick.get("actions", self._actions))
        if self.lanes.restorable and state.get("lanes"):
            self.lanes.reset(derived_seed(self.seed, "lanes"))
            self.lanes.load_state_dict(state["lanes"])
            self.episodes.load_state_dict(tick["episodes"])
            self._step = last
        else:
            self.agent.lanes_restarted(last)
            agent_steps = int(state["trainer"]["agent_steps"])
            self._step = self.lanes.reset(derived_seed(self.seed, "lanes", agent_steps))

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with trained weights."""
        self.agent.start_from(network)

    def close(self) -> None:
        """Close the lanes."""
        self.lanes.close()
