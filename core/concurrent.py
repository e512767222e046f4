"""Acting and learning at the same time, a period of ticks after the other.

    acting thread     act send receive observe  act send receive observe  ...    N ticks
    this thread       learn: the updates that were due before the period
                                                                         join, commit

What acts works on copies of the weights and keeps what it observes to itself; both change at the
boundary, ``commit``, when neither thread is at work. So the order of events never depends on
timing, as in the tick of ``core.lane_agent``, and updates come one period later than there.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Protocol

import numpy as np
import torch

from core.agent import Advanced
from core.evaluation import Episode
from core.lane_agent import LaneAgent, OnLanes
from core.lanes import standing_actions


class ConcurrentAgent(LaneAgent, Protocol):
    """A lane agent whose ``act`` and ``observe`` touch nothing that ``learn`` does: networks,
    stored experience, random streams (torch's own among them)."""

    def commit(self) -> None:
        """Store what was observed since the last call, and act with the newest weights from now
        on. Only ``observe`` may go before it: what is not committed is no part of the state."""


class OnLanesConcurrently(OnLanes):
    """Advances by ``ticks`` ticks of the lanes in a thread of their own; learns meanwhile."""

    _parts_of_time = ("learning", "waiting", "other")

    def __init__(self, agent: ConcurrentAgent, seed: int, ticks: int, device: str) -> None:
        """``seed`` is the run's; ``device`` is the one that the networks are on."""
        super().__init__(agent, seed)
        self.concurrent_agent = agent
        self.ticks = ticks
        cuda = torch.device(device).type == "cuda"
        # A GPU carries out the work of one stream in order, and that of two side by side.
        self._stream = torch.cuda.Stream(device) if cuda else None  # type: ignore[no-untyped-call]
        self._thread = ThreadPoolExecutor(1, "acting")
        self._give_up = threading.Event()
        self._acted_before = False
        self._reached = (self._step, self._actions)

    def advance(self, agent_steps: int) -> Advanced:
        """One period. Raises what failed in either thread once both are at rest; where both did,
        what failed in learning."""
        self._reached = (self.step, self._actions)
        self._in_tick = True
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
        acting = self._thread.submit(self._act, agent_steps)
        if not self._acted_before:
            # First calls compile kernels and record work, which wants none beside it.
            with self._timed("waiting"):
                wait([acting])
            self._acted_before = True
        self.sound = False
        try:
            with self._timed("learning"):
                self.agent.learn(agent_steps)
        except BaseException:
            self._give_up.set()
            raise
        finally:
            with self._timed("waiting"):
                wait([acting])
        # What was not committed is forgotten: a failure of the lanes leaves the boundary before.
        self.sound = True
        advanced = acting.result()
        if self._stream is not None:
            torch.cuda.current_stream(self._stream.device).wait_stream(self._stream)
        self.sound = False
        with self._timed("other"):
            self.concurrent_agent.commit()
            self._step, self._actions = self._reached
        self.sound, self._in_tick = True, False
        return advanced

    def _act(self, agent_steps: int) -> Advanced:
        """The period, in the acting thread."""
        agent, lanes = self.agent, self.lanes
        step, actions = self._reached
        assert step is not None
        made, finished = 0, list[Episode]()
        with torch.cuda.stream(self._stream):
            for _ in range(self.ticks):
                if self._give_up.is_set():
                    break
                with self._timed("acting"):
                    chosen = agent.act(step, agent_steps + made)
                    actions = standing_actions(step, chosen, actions)
                with self._timed("environment"):
                    lanes.send(actions)
                    outcome = lanes.receive()
                with self._timed("acting"):
                    agent.observe(step, actions, outcome)
                    finished += self.episodes.update(outcome)
                made += int(np.count_nonzero(~outcome.busy))
                step = outcome
        self._reached = (step, actions)
        return Advanced(made, finished)

    def close(self) -> None:
        """End the thread and close the lanes."""
        self._thread.shutdown()
        super().close()


def on_lanes(agent: ConcurrentAgent, seed: int, ticks: int, device: str) -> OnLanes:
    """The agent as the trainer sees it: in periods of so many ticks, or tick by tick where 0."""
    return OnLanesConcurrently(agent, seed, ticks, device) if ticks else OnLanes(agent, seed)
