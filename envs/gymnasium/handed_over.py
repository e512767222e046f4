"""What an environment hands over, checked before anything learns from it.

Thoroughly at a reset of all lanes; at every step only what costs next to nothing.
"""

from __future__ import annotations

import traceback
from typing import Any

import numpy as np

from core.lanes import ObservationSpec


class HandoverError(Exception):
    """What was wrong; the lanes add the environment, the lane and the step."""


def reset_parts(result: Any) -> tuple[Any, dict[str, Any]]:
    """(observation, info) of what ``reset`` returned.

    Raises:
        HandoverError: anything but (observation, info).
    """
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[1], dict)):
        raise HandoverError(
            f"reset() returned {_short(result)} instead of (observation, info), as Gymnasium wants"
        )
    return result


def require_exact(given: np.ndarray, spec: ObservationSpec) -> None:
    """Raise HandoverError for numbers that float32 cannot tell apart, where it holds them."""
    whole = spec.dtype == "float32" and given.dtype.kind in "iu"
    if whole and (given.astype(np.float32).astype(np.float64) != given).any():
        raise HandoverError(
            f"the observation {_short(given)} would lose its last digits in float32; scale it in a "
            f"wrapper"
        )


def legal_actions(info: Any, num_actions: int) -> np.ndarray:
    """The legal actions that ``info`` names as ``action_mask``, bool [A]: all where it has none.

    Raises:
        HandoverError: not one number per action.
    """
    if not isinstance(info, dict) or info.get("action_mask") is None:
        return np.ones(num_actions, dtype=bool)
    mask = np.asarray(info["action_mask"])
    if mask.shape != (num_actions,) or mask.dtype.kind not in "biu":
        raise HandoverError(
            f"info['action_mask'] is {_short(mask)}, not a 0 or 1 for each of {num_actions} actions"
        )
    return mask.astype(bool)


def require_no_mask(info: Any) -> None:
    """Raise HandoverError where `info` names legal actions, which it did not at the start."""
    if isinstance(info, dict) and info.get("action_mask") is not None:
        raise HandoverError(
            "info has an 'action_mask', and it had none when the environment was opened: give one "
            "at every reset and step"
        )


def step_parts(result: Any) -> tuple[Any, float, bool, bool, Any]:
    """(observation, reward, terminated, truncated, info) of what ``step`` returned.

    Raises:
        HandoverError: not five values, or a reward that is not one number.
    """
    if not isinstance(result, tuple | list) or len(result) != 5:
        count = len(result) if isinstance(result, tuple | list) else 1
        raise HandoverError(_wrong_count(count))
    observation, reward, terminated, truncated, info = result
    if type(reward) is not float:
        number = np.asarray(reward)
        if number.size != 1 or number.dtype.kind not in "biuf":
            raise HandoverError(f"the reward is {_short(reward)} and not one number")
        reward = float(number.reshape(()))
    return observation, reward, bool(terminated), bool(truncated), info


def checked_frame(observation: Any, spec: ObservationSpec, first_state: int) -> np.ndarray:
    """An observation as ``spec`` says. Whether it is finite is asked of all lanes at once.

    Raises:
        HandoverError: another shape, no numbers, or values that the dtype cannot hold.
    """
    frame = np.asarray(observation)
    if spec.categories:
        return _state(frame, spec.categories, first_state)
    if frame.shape != spec.shape:
        raise HandoverError(f"the observation has shape {frame.shape}, its space says {spec.shape}")
    if frame.dtype == spec.dtype:
        return frame
    if frame.dtype.kind not in "biuf":
        raise HandoverError(f"the observation {_short(observation)} holds no numbers")
    if spec.dtype == "uint8":
        if frame.dtype.kind == "f":
            raise HandoverError(
                f"the observation is {frame.dtype} from {frame.min():g} to {frame.max():g}, its "
                f"space says an image of uint8; return whole numbers from 0 to 255"
            )
        if frame.min() < 0 or frame.max() > 255:
            raise HandoverError(
                f"the image holds values from {frame.min()} to {frame.max()}, which uint8 does not"
            )
    with np.errstate(over="ignore"):  # it becomes infinite, which is refused for all lanes at once
        return frame.astype(spec.dtype)


def _state(number: np.ndarray, categories: int, first_state: int) -> np.ndarray:
    if number.size != 1 or number.dtype.kind not in "biu":
        raise HandoverError(f"the observation {_short(number)} is not the number of a state")
    state = number.reshape(1).astype(np.int64) - first_state
    if not 0 <= state[0] < categories:
        raise HandoverError(
            f"the observation {number} is no state from {first_state} to "
            f"{first_state + categories - 1}, as its space says"
        )
    return state


def require_finite(values: np.ndarray, what: str) -> None:
    """Raise HandoverError where a number is NaN or infinite."""
    if values.dtype.kind == "f" and not np.isfinite(values).all():
        raise HandoverError(f"{what} is {_short(values)}")


def explain(error: Exception, call: str) -> HandoverError:
    """What an exception inside the environment's ``reset`` or ``step`` means for its author."""
    text = " ".join(str(error).split())
    if isinstance(error, ValueError) and "expected 5, got " in text and _is_gymnasiums(error):
        # Gymnasium's own wrappers unpack five values before we see them.
        count = text.partition("expected 5, got ")[2].rstrip(")")
        return HandoverError(_wrong_count(int(count) if count.isdigit() else 1))
    hint = ""
    if "unexpected keyword argument 'seed'" in text or "'options'" in text:
        hint = "; Gymnasium calls reset(seed=..., options=...)"
    return HandoverError(f"{call}() raised {type(error).__name__}: {text}{hint}")


def _is_gymnasiums(error: Exception) -> bool:
    """Whether it was raised in a wrapper of Gymnasium's, not in the environment itself."""
    *_, last = traceback.walk_tb(error.__traceback__)
    return str(last[0].f_globals.get("__name__", "")).startswith("gymnasium.wrappers")


def _wrong_count(count: int) -> str:
    old = "; four are the old Gym's, which had one `done` for both" if count == 4 else ""
    return (
        f"step() returned {count} values; Gymnasium's five are observation, reward, terminated, "
        f"truncated, info{old}"
    )


def _short(value: Any) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
