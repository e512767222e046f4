"""Lanes: many things in progress that advance together, one agent step each per tick.

A lane is one episode at a time: an Atari game, a board game, a network being designed.
At every tick the actor chooses one action per lane. See ``Step`` for what may come of it.

Autoreset is Gymnasium's NEXT_STEP: the tick that ends an episode returns its true final
observation; the tick after it ignores its action and returns the first observation of the next
episode. So every tick appends exactly one frame per lane, final frames included, and a truncated
episode can be bootstrapped from the frame it really ended on.

Legend: L lanes, K frames stacked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from core.errors import UserError


@dataclass(frozen=True)
class ObservationSpec:
    """What one lane shows: the shape and dtype of a single frame, and how many are stacked."""

    shape: tuple[int, ...]
    """Shape of one frame: (height, width[, channels]) for images, (features,) for vectors."""
    dtype: str
    """'uint8', 'float32' or 'int64'."""
    stack: int = 1
    """Frames the network sees at once, oldest first."""
    categories: int = 0
    """Where a frame is the number of a state, [1] int64: how many states there are, counted from 0.
    Stored as the number; networks see it one-hot."""
    masked: bool = False
    """Every step says which actions are legal."""

    @property
    def is_image(self) -> bool:
        """True when a frame has height and width."""
        return len(self.shape) >= 2

    @property
    def stacked_shape(self) -> tuple[int, ...]:
        """Shape of one observation as a network receives it, without the batch axis."""
        return (self.stack, *self.shape) if self.is_image or self.stack > 1 else self.shape


@dataclass(frozen=True)
class Step:
    """What one tick returned. Every array has a leading axis of L lanes.

        valid   first    the lane ...
        true    false    carried out its action: a transition, which may have ended the episode
        true    true     did so, and shows the next episode already; only after ``terminated``
        false   true     ignored its action: it reset, or started a life
        false   false    is busy: no news. Its observation is the one before, its reward is 0,
                         nothing ended; nothing is stored, stacked, counted or learned for it.

    A busy lane is at work on the action it was sent last: a network is trained, a worker is asked.
    What is sent to it meanwhile changes nothing, and the transition that comes in the end is that
    of the first action (``standing_actions``).
    """

    observation: np.ndarray
    """The newest single frame, [L, *shape]."""
    reward: np.ndarray
    """Raw reward of the action, float64 [L]."""
    terminated: np.ndarray
    """The episode ended by its rules, bool [L]."""
    truncated: np.ndarray
    """The episode was cut off by a limit, bool [L]."""
    life_lost: np.ndarray
    """A life was lost and the episode goes on, bool [L]."""
    valid: np.ndarray
    """The action was carried out: there is a transition, bool [L]."""
    first: np.ndarray
    """The observation starts an episode or a life, and with it a stack of frames, bool [L]."""
    legal: np.ndarray | None = None
    """Actions that may be chosen now, bool [L, A]; None where all may, always. At least one a lane,
    but where an episode has ended."""
    player: np.ndarray | None = None
    """The player to move, int8 [L]; None where there is only one."""

    @cached_property
    def busy(self) -> np.ndarray:
        """True where there is no news, bool [L]."""
        busy: np.ndarray = ~(self.valid | self.first)
        return busy

    def state_dict(self) -> dict[str, Any]:
        """The fields by name; `restored_step` reads them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @property
    def done(self) -> np.ndarray:
        """True where the episode ended with this tick, bool [L]."""
        done: np.ndarray = self.terminated | self.truncated
        return done


class Lanes(Protocol):
    """L environments or games behind one interface.

    ``send`` hands the actions over and may return before they are carried out, so that native
    threads step the lanes while the learner works; ``receive`` waits for the result.
    """

    num_lanes: int
    num_actions: int
    observation_spec: ObservationSpec
    restorable: bool
    """True when ``state_dict`` holds everything: a resumed run goes on in mid-episode. False:
    lanes restart at an episode boundary."""
    overlaps: bool
    """True when lanes step in the background between ``send`` and ``receive``."""

    def reset(self, seed: int) -> Step:
        """Start every lane anew; the returned step is ``first`` and not ``valid`` everywhere."""

    def send(self, actions: np.ndarray) -> None:
        """Hand over one action per lane, int64 [L]. Raises ValueError for one out of range."""

    def receive(self) -> Step:
        """Wait for what came of the actions; a lane that takes longer may say that it is busy."""

    def state_dict(self) -> dict[str, Any]:
        """The lanes' whole state where ``restorable``, else an empty dict."""

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``. Only called where ``restorable``."""

    def close(self) -> None:
        """Free what the lanes hold."""


def first_step(
    observation: np.ndarray, legal: np.ndarray | None = None, player: np.ndarray | None = None
) -> Step:
    """The step that a reset returns: no reward, nothing ended, no transition."""
    lanes = len(observation)
    none = np.zeros(lanes, dtype=bool)
    flags = (none, none.copy(), none.copy(), none.copy(), ~none)
    return Step(observation, np.zeros(lanes), *flags, legal, player)


def joined(steps: Sequence[Step]) -> Step:
    """One step of all the lanes of ``steps``, in this order."""
    columns: dict[str, Any] = {}
    for name in Step.__dataclass_fields__:
        parts = [getattr(step, name) for step in steps]
        columns[name] = None if parts[0] is None else np.concatenate(parts)
    return Step(**columns)


def restored_step(state: Mapping[str, Any]) -> Step:
    """The step of a checkpoint: its fields by name."""
    arrays = {name: np.asarray(value) for name, value in state.items() if value is not None}
    # Earlier versions had no busy lanes, so `first` was what is not valid.
    return Step(**{"first": ~arrays["valid"], **arrays})


def standing_actions(step: Step, chosen: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The actions to send, int64 [L]: those ``chosen``, but where a lane is busy the one
    ``before``, which it is at work on."""
    return np.where(step.busy, before, chosen)


def check_actions(actions: np.ndarray, num_lanes: int, num_actions: int) -> np.ndarray:
    """Return actions as int64 [L]. Raises ValueError when the shape or a value is out of range.

    Native vector environments hang on an action out of range instead of failing.
    """
    actions = np.asarray(actions)
    if actions.shape != (num_lanes,):
        raise ValueError(
            f"{num_lanes} lanes need actions of shape ({num_lanes},), got {actions.shape}"
        )
    if not np.issubdtype(actions.dtype, np.integer):
        raise ValueError(f"actions must be integers, got {actions.dtype}")
    if num_lanes and (actions.min() < 0 or actions.max() >= num_actions):
        raise ValueError(f"actions must lie in 0..{num_actions - 1}, got {actions.tolist()}")
    return actions.astype(np.int64, copy=False)


class FrameStack:
    """The last K frames of every lane, zero before the start of an episode."""

    def __init__(self, spec: ObservationSpec, num_lanes: int) -> None:
        self.spec = spec
        # The stack axis before the pixels: a push then moves whole frames, not single bytes.
        self._frames = np.zeros((num_lanes, spec.stack, *spec.shape), dtype=spec.dtype)

    def push(self, step: Step) -> np.ndarray:
        """Add the newest frame of the lanes that are not busy; return observations
        [L, K, *shape], or [L, *shape] for vectors.

        The array is reused by the next call.
        """
        frames, busy = self._frames, step.busy
        new = ~busy if busy.any() else slice(None)  # the slice copies nothing twice
        frames[new, :-1] = frames[new, 1:]
        frames[step.first, :-1] = 0
        frames[new, -1] = step.observation[new]
        return self.observation

    @property
    def observation(self) -> np.ndarray:
        """What the network sees now, without adding a frame."""
        if not self.spec.is_image and self.spec.stack == 1:
            return self._frames[:, 0]
        return self._frames

    def state_dict(self) -> dict[str, Any]:
        """The frames held."""
        return {"stacks": self._frames.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the frames. Raises UserError when they have another shape."""
        if "stacks" in state:
            frames = np.asarray(state["stacks"])
        else:  # an earlier version's, with the stack axis last
            frames = np.moveaxis(np.asarray(state["frames"]), -1, 1)
        if frames.shape != self._frames.shape or frames.dtype != self._frames.dtype:
            raise UserError(
                f"the checkpoint's frame stack is {frames.dtype} {frames.shape}, "
                f"this run needs {self._frames.dtype} {self._frames.shape}"
            )
        self._frames = frames.copy()
