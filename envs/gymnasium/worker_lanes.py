"""Lanes over Gymnasium environments in processes of their own, for environments slow in Python.

Every worker steps a fixed share of the lanes, one after another, while the others and the learner
work. The seeds of lanes do not depend on the number of workers, so the run is the same as in one
process; only environments that draw from ``random`` or ``np.random`` have a stream a worker.

Workers are started as new programs, not forked: a fork copies the locks of torch's threads.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from multiprocessing import Pipe
from typing import Any

import numpy as np

from core.errors import UserError
from core.lanes import ObservationSpec, Step, check_actions, joined
from envs.gymnasium.seeds import lane_seeds
from envs.gymnasium.worker import CLOSE, ERROR, RESET, STEP, unpacked

SECONDS_TO_CLOSE = 10.0
"""What environments may take to close before their processes are ended."""
SECONDS_BETWEEN_LOOKS = 1.0
"""How often a worker that does not answer is asked whether it lives."""

_START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from envs.gymnasium.worker import main; main(int(sys.argv[2]), int(sys.argv[3]))"
)


class _Worker:
    """One process and the lanes it steps."""

    def __init__(self, env_id: str, arguments: Mapping[str, Any], lanes: range) -> None:
        self._env_id = env_id
        self.lanes = lanes
        self._connection, theirs = Pipe()
        lifeline, self._lifeline = os.pipe()
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-c", _START, json.dumps(sys.path), str(theirs.fileno()),
                 str(lifeline)],
                pass_fds=(theirs.fileno(), lifeline),
                stdin=subprocess.DEVNULL,
                process_group=0,  # out of reach of Ctrl-C, which means the one that trains
            )  # fmt: skip
        finally:
            theirs.close()
            os.close(lifeline)
        wanted = {
            "env_id": env_id,
            "num_lanes": len(lanes),
            "arguments": dict(arguments),
            "first_lane": lanes.start,
        }
        self.send(json.dumps(wanted).encode())

    def send(self, message: bytes) -> None:
        # A worker that died is told of when its answer is missing.
        with suppress(ConnectionError):
            self._connection.send_bytes(message)

    def receive(self) -> bytes:
        """The answer. Raises UserError for one that says what failed, or when none comes."""
        try:
            # What the environment has started may keep our connection open when it is gone.
            while not self._connection.poll(SECONDS_BETWEEN_LOOKS):
                if self._process.poll() is not None and not self._connection.poll():
                    raise EOFError
            answer = self._connection.recv_bytes()
        except (EOFError, ConnectionError) as error:
            raise UserError(
                f"{self._env_id}, lanes {self.lanes.start} to {self.lanes.stop - 1}: their worker "
                f"process ended {_how(self._process.wait())}"
            ) from error
        if answer[:1] == ERROR:
            raise UserError(answer[1:].decode())
        return answer[1:]

    def ask_to_close(self) -> None:
        self.send(CLOSE)
        self._connection.close()

    def end(self, deadline: float) -> None:
        try:
            self._process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._lifeline)


class WorkerLanes:
    """L copies of one Gymnasium environment. See ``core.lanes.Lanes`` for the contract."""

    restorable = False
    overlaps = True

    def __init__(
        self,
        env_id: str,
        num_lanes: int,
        *,
        arguments: Mapping[str, Any] | None = None,
        workers: int,
    ) -> None:
        """Start the workers and make the environments in them.

        Args:
            env_id: any Gymnasium id that is registered when its module is imported.
            num_lanes: L.
            arguments: of the environment's constructor.
            workers: processes, at most one per lane.

        Raises:
            UserError: as for ``GymnasiumLanes``, or a worker that ends.
        """
        self.num_lanes = num_lanes
        self._workers: list[_Worker] = []
        self._stepping = False
        try:
            for lanes in np.array_split(np.arange(num_lanes), min(workers, num_lanes)):
                share = range(int(lanes[0]), int(lanes[-1]) + 1)
                self._workers.append(_Worker(env_id, arguments or {}, share))
            answers = [json.loads(worker.receive()) for worker in self._workers]
        except UserError as error:
            self.close()
            raise UserError(f"{error}{_hint(env_id)}") from error
        except BaseException:
            self.close()
            raise
        self.num_actions = int(answers[0]["num_actions"])
        spec = answers[0]["spec"]
        self.observation_spec = ObservationSpec(**spec | {"shape": tuple(spec["shape"])})

    def reset(self, seed: int) -> Step:
        """Start every lane anew; lane i is seeded from (seed, i). Raises UserError."""
        if self._stepping:
            self.receive()
        self._send(RESET, lane_seeds(seed, self.num_lanes))
        return self.receive()

    def send(self, actions: np.ndarray) -> None:
        """Start all lanes on their actions, int64 [L], and return at once."""
        self._send(STEP, check_actions(actions, self.num_lanes, self.num_actions))

    def receive(self) -> Step:
        """Wait for all lanes. Raises UserError where an environment or a worker fails."""
        spec = self.observation_spec
        self._stepping = False
        return joined(
            [unpacked(w.receive(), spec, len(w.lanes), self.num_actions) for w in self._workers]
        )

    def _send(self, command: bytes, numbers: np.ndarray) -> None:
        self._stepping = True
        for worker in self._workers:
            share = numbers[worker.lanes.start : worker.lanes.stop]
            worker.send(command + share.astype(np.int64).tobytes())

    def state_dict(self) -> dict[str, Any]:
        """Empty: Gymnasium environments offer no way to save their state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Never called: these lanes are not restorable."""
        raise RuntimeError("Gymnasium lanes cannot be restored")

    def close(self) -> None:
        """Close every environment and wait for the workers to end."""
        for worker in self._workers:
            worker.ask_to_close()
        deadline = time.monotonic() + SECONDS_TO_CLOSE
        for worker in self._workers:
            worker.end(deadline)
        self._workers = []


def _how(code: int) -> str:
    """The end of a process in words: negative codes are signals."""
    if code >= 0:
        return f"with exit code {code}"
    killed = "; out of memory?" if code == -9 else ""
    return f"by signal {-code}{killed}"


def _hint(env_id: str) -> str:
    """Ids registered in this process alone are unknown in others."""
    import gymnasium

    spec = gymnasium.registry.get(env_id)
    if spec is None or str(spec.entry_point).startswith("gymnasium.envs."):
        return ""
    return "; workers know what a module registers: --env module:id"
