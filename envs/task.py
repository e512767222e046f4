"""What the trainer must know of an environment."""

from __future__ import annotations

from core.agent import Task
from core.lanes import Lanes
from core.statistics import human_normalised
from envs.atari_protocol import FRAMES_PER_STEP, AtariConfig
from envs.atari_scores import random_and_human
from envs.make import is_atari, make_lanes
from envs.names import canonical_id


def make_task(env_id: str, atari: AtariConfig) -> Task:
    """The task of an environment: how to score it and what a human scores."""

    def evaluation_lanes(num_lanes: int) -> Lanes:
        return make_lanes(env_id, num_lanes, atari, evaluation=True)

    def normalise(score: float) -> float | None:
        known = random_and_human(game_name(env_id)) if is_atari(env_id) else None
        return None if known is None else human_normalised(score, *known)

    return Task(
        environment=canonical_id(env_id),
        protocol=atari.protocol if is_atari(env_id) else "",
        frames_per_step=FRAMES_PER_STEP if is_atari(env_id) else 1,
        evaluation_lanes=evaluation_lanes,
        normalise=normalise,
    )


def game_name(env_id: str) -> str:
    """'ALE/SpaceInvaders-v5' to 'SpaceInvaders', the key of score tables."""
    return canonical_id(env_id).removeprefix("ALE/").rsplit("-", 1)[0]
