"""From what an environment shows to the frames that lanes hand on.

Vectors, images and numbered states stay what they are. What is made of several parts (Dict, Tuple,
MultiDiscrete, MultiBinary) and floats of any other shape become one vector, in the order in which
``gymnasium.spaces.flatten`` lays them out; every part is checked as if it stood alone.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from core.errors import UserError
from core.lanes import ObservationSpec
from envs.gymnasium.handed_over import HandoverError, checked_frame, require_exact, require_finite

IMAGE_STACK = 4


class ObservationReader(Protocol):
    """Makes frames of one environment's observations."""

    spec: ObservationSpec

    def frame(self, observation: Any) -> np.ndarray:
        """The frame of an observation; whether it is finite is asked of all lanes at once.

        Raises:
            HandoverError: not what the environment's space promises.
        """

    def first_frame(self, observation: Any) -> np.ndarray:
        """As ``frame``, checked thoroughly."""


def reader_for(env_id: str, space: Any) -> ObservationReader:
    """The reader of an observation space. Raises UserError for what no network here reads."""
    whole = _single(space)
    if whole is not None:
        return whole
    try:
        parts = list(_parts(space))
        if not parts:
            raise _UnreadableError
    except _UnreadableError as error:
        raise UserError(
            f"{env_id} has observations {space}; vectors, uint8 images [height, width] or "
            f"[height, width, colours], single integers, and Dict and Tuple of these are supported"
        ) from error
    return PartsReader(parts)


class SingleReader:
    """One array or number."""

    def __init__(self, spec: ObservationSpec, first_state: int = 0) -> None:
        """``first_state``: numbered states count from 0, whatever the environment's own start."""
        self.spec = spec
        self._first_state = first_state

    def frame(self, observation: Any) -> np.ndarray:
        """See ``ObservationReader``."""
        return checked_frame(observation, self.spec, self._first_state)

    def first_frame(self, observation: Any) -> np.ndarray:
        """See ``ObservationReader``."""
        frame = self.frame(observation)
        require_exact(np.asarray(observation), self.spec)
        require_finite(frame, "the observation")
        return frame


class _Numbers:
    """An array of any shape, as a part."""

    def __init__(self, space: Any) -> None:
        dtype = "uint8" if space.dtype == np.uint8 else "float32"
        self._reader = SingleReader(ObservationSpec(tuple(space.shape), dtype))
        self.length = int(np.prod(space.shape))

    def vector(self, observation: Any, first: bool) -> np.ndarray:
        read = self._reader.first_frame if first else self._reader.frame
        return read(observation).ravel()


class _Choices:
    """One or more choices, each among several, as a part: one-hot."""

    def __init__(self, sizes: np.ndarray, starts: np.ndarray) -> None:
        self._sizes, self._starts = sizes, starts
        self._offsets = np.cumsum([0, *sizes[:-1]])
        self.length = int(sizes.sum())

    def vector(self, observation: Any, first: bool) -> np.ndarray:
        given = np.asarray(observation).ravel()
        if given.shape != self._sizes.shape or given.dtype.kind not in "iu":
            count = len(self._sizes)
            raise HandoverError(f"{given.tolist()} instead of {count} whole numbers, one a choice")
        chosen = given.astype(np.int64) - self._starts
        if (chosen < 0).any() or (chosen >= self._sizes).any():
            raise HandoverError(f"{given.tolist()} is no choice that its space has")
        vector = np.zeros(self.length, dtype=np.float32)
        vector[self._offsets + chosen] = 1.0
        return vector


@dataclass(frozen=True)
class _Part:
    """One array or choice among several."""

    keys: tuple[Any, ...]
    """Where it is: ('arm', 0) for observation['arm'][0]; () for the whole."""
    kind: _Numbers | _Choices

    def vector(self, observation: Any, first: bool) -> np.ndarray:
        """This part's share of the vector, float32 [length]."""
        name = "".join(f"[{key!r}]" for key in self.keys)
        try:
            for key in self.keys:
                observation = observation[key]
        except (KeyError, IndexError, TypeError) as error:
            raise HandoverError(f"there is no observation{name}, which its space has") from error
        try:
            return self.kind.vector(observation, first)
        except HandoverError as error:
            raise HandoverError(f"observation{name}: {error}") from error


class PartsReader:
    """Several parts laid out in one vector."""

    def __init__(self, parts: list[_Part]) -> None:
        self._parts = parts
        self.spec = ObservationSpec((sum(part.kind.length for part in parts),), "float32")

    def frame(self, observation: Any) -> np.ndarray:
        """See ``ObservationReader``."""
        return self._vector(observation, first=False)

    def first_frame(self, observation: Any) -> np.ndarray:
        """See ``ObservationReader``."""
        return self._vector(observation, first=True)

    def _vector(self, observation: Any, first: bool) -> np.ndarray:
        shares = [part.vector(observation, first) for part in self._parts]
        return np.concatenate(shares, dtype=np.float32)


class _UnreadableError(Exception):
    pass


def _single(space: Any) -> SingleReader | None:
    """The reader of a space that needs no layout; None for others."""
    from gymnasium.spaces import Box, Discrete

    if isinstance(space, Discrete):
        spec = ObservationSpec((1,), "int64", categories=int(space.n))
        return SingleReader(spec, int(space.start))
    if isinstance(space, Box) and space.dtype == np.uint8 and _is_frame(space.shape):
        return SingleReader(ObservationSpec(tuple(space.shape), "uint8", IMAGE_STACK))
    if isinstance(space, Box) and len(space.shape) == 1:
        return SingleReader(ObservationSpec(tuple(space.shape), "float32"))
    return None


def _is_frame(shape: tuple[int, ...]) -> bool:
    """Whether it is [H, W] or [H, W, C], and not [C, H, W]."""
    return len(shape) == 2 or (len(shape) == 3 and shape[2] <= 4)


def _parts(space: Any, keys: tuple[Any, ...] = ()) -> Iterator[_Part]:
    """The parts of a space, in the order of ``gymnasium.spaces.flatten``."""
    from gymnasium import spaces

    if isinstance(space, spaces.Dict):
        for key, inner in space.spaces.items():
            yield from _parts(inner, (*keys, key))
    elif isinstance(space, spaces.Tuple):
        for index, inner in enumerate(space.spaces):
            yield from _parts(inner, (*keys, index))
    elif isinstance(space, spaces.Discrete):
        yield _Part(keys, _Choices(np.array([space.n]), np.array([space.start])))
    elif isinstance(space, spaces.MultiDiscrete):
        yield _Part(keys, _Choices(space.nvec.ravel(), space.start.ravel()))
    elif isinstance(space, spaces.MultiBinary) or _is_array(space):
        yield _Part(keys, _Numbers(space))
    else:
        raise _UnreadableError


def _is_array(space: Any) -> bool:
    """Whether it is numbers that may stand in a row: not an image with its colours first."""
    from gymnasium.spaces import Box

    if not isinstance(space, Box):
        return False
    return space.dtype != np.uint8 or len(space.shape) < 3 or _is_frame(space.shape)
