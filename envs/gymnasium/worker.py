"""A process that steps some lanes of a Gymnasium environment for ``envs.gymnasium.worker_lanes``.

    to the worker     JSON: the environment | R seeds | S actions | C close
    from the worker   JSON: what it shows   | O the arrays of a Step   | E one line for the user

All arrays are raw bytes in a fixed order; nothing is pickled.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import threading
import traceback
from multiprocessing.connection import Connection

import numpy as np

from core.errors import UserError
from core.lanes import ObservationSpec, Step
from envs.gymnasium.lanes import GymnasiumLanes

RESET, STEP, CLOSE, OUTCOME, ERROR = b"R", b"S", b"C", b"O", b"E"


def main(commands: int, lifeline: int) -> None:
    """Serve until told to close, or until the process that started this one is gone.

    Args:
        commands: descriptor of a two-way connection.
        lifeline: descriptor of a pipe whose other end closes when that process ends.
    """
    # Where a whole service is told to stop, the process that trains saves first and then closes.
    # Not SIG_IGN, which programs that the environment starts would inherit.
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    threading.Thread(target=_end_with, args=(lifeline,), daemon=True).start()
    code = 1
    try:
        _serve(Connection(commands))
        code = 0
    except SystemExit as stop:  # an environment may leave
        code = stop.code if isinstance(stop.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)  # whatever threads the environment has left


def _serve(connection: Connection) -> None:
    lanes = _open(connection)
    if lanes is None:
        return
    try:
        while (message := connection.recv_bytes())[:1] != CLOSE:
            connection.send_bytes(_answer(lanes, message[:1], message[1:]))
    except (EOFError, ConnectionError):
        pass
    finally:
        lanes.close()


def _end_with(lifeline: int) -> None:
    os.read(lifeline, 1)  # nothing is ever written: this returns when the other end closes
    os._exit(1)


def _open(connection: Connection) -> GymnasiumLanes | None:
    wanted = json.loads(connection.recv_bytes())
    try:
        lanes = GymnasiumLanes(
            wanted["env_id"],
            wanted["num_lanes"],
            arguments=wanted["arguments"],
            first_lane=wanted["first_lane"],
        )
    except UserError as error:
        connection.send_bytes(ERROR + str(error).encode())
        return None
    shown = {"num_actions": lanes.num_actions, "spec": dataclasses.asdict(lanes.observation_spec)}
    connection.send_bytes(OUTCOME + json.dumps(shown).encode())
    return lanes


def _answer(lanes: GymnasiumLanes, command: bytes, numbers: bytes) -> bytes:
    values = np.frombuffer(numbers, np.int64)
    try:
        if command == RESET:
            return OUTCOME + packed(lanes.reset_from(values))
        lanes.send(values)
        return OUTCOME + packed(lanes.receive())
    except UserError as error:
        return ERROR + str(error).encode()


def packed(step: Step) -> bytes:
    """The arrays of a step, one after the other."""
    flags = (step.terminated, step.truncated, step.valid, step.first)
    legal = () if step.legal is None else (step.legal,)
    return b"".join(array.tobytes() for array in (step.observation, step.reward, *flags, *legal))


def unpacked(data: bytes, spec: ObservationSpec, num_lanes: int, num_actions: int) -> Step:
    """The step that ``packed`` made; its arrays are read-only."""
    ends = np.cumsum(
        [
            num_lanes * int(np.prod(spec.shape)) * np.dtype(spec.dtype).itemsize,
            8 * num_lanes,
            *[num_lanes] * 4,
            num_lanes * num_actions * spec.masked,
        ]
    )
    parts = [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]
    terminated, truncated, valid, first = (np.frombuffer(part, bool) for part in parts[2:6])
    return Step(
        np.frombuffer(parts[0], spec.dtype).reshape(num_lanes, *spec.shape),
        np.frombuffer(parts[1], np.float64),
        terminated,
        truncated,
        np.zeros(num_lanes, dtype=bool),
        valid,
        first,
        np.frombuffer(parts[6], bool).reshape(num_lanes, -1) if spec.masked else None,
    )
