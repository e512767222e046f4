"""What the trainer must know of an environment."""

from __future__ import annotations

from collections.abc import Callable

from core.agent import Task
from core.config import RunConfig
from core.evaluation import Policy
from core.lanes import Lanes
from core.report.statistics import human_normalised
from core.scoring import by_episodes
from envs.atari.protocol import FRAMES_PER_STEP, AtariConfig
from envs.atari.scores import random_and_human
from envs.gymnasium.config import GymnasiumConfig, full_name
from envs.make import is_atari, make_lanes
from envs.names import canonical_id


def make_task(
    env_id: str,
    atari: AtariConfig,
    gymnasium: GymnasiumConfig,
    run: RunConfig,
    make_policy: Callable[[Lanes, int], Policy],
) -> Task:
    """The task of an environment, whose score is the mean of whole episodes.

    Args:
        env_id: the environment.
        atari: its options where it is a game of Atari.
        gymnasium: its options otherwise.
        run: how evaluations are made.
        make_policy: from (lanes, seed) to the present policy.
    """

    def normalise(score: float) -> float | None:
        return normalised(env_id, score)

    def open_lanes(num_lanes: int) -> Lanes:
        return make_lanes(env_id, num_lanes, atari, gymnasium, evaluation=True)

    return Task(
        environment=environment_name(env_id, gymnasium),
        protocol=protocol_name(env_id, atari),
        frames_per_step=FRAMES_PER_STEP if is_atari(env_id) else 1,
        evaluate=by_episodes(open_lanes, make_policy, normalise, run),
        normalise=normalise,
    )


def environment_name(env_id: str, gymnasium: GymnasiumConfig) -> str:
    """What results call it: its id, and its arguments where it has any."""
    return full_name(canonical_id(env_id), gymnasium)


def protocol_name(env_id: str, atari: AtariConfig) -> str:
    """The rules under which scores count; '' where there are none."""
    return atari.protocol if is_atari(env_id) else ""


def normalised(env_id: str, score: float) -> float | None:
    """The human-normalised score, None where no human score is known."""
    known = random_and_human(game_name(env_id)) if is_atari(env_id) else None
    return None if known is None else human_normalised(score, *known)


def game_name(env_id: str) -> str:
    """'ALE/SpaceInvaders-v5' to 'SpaceInvaders', the key of score tables."""
    return canonical_id(env_id).removeprefix("ALE/").rsplit("-", 1)[0]
