"""From an environment id to lanes: 'ALE/Pong-v5', 'CartPole-v1', 'tengen/Catch'."""

from __future__ import annotations

from core.errors import UserError
from core.lanes import Lanes
from core.machine.environment_facts import usable_cores
from envs.atari.protocol import PROTOCOLS, AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from envs.names import canonical_id, is_atari

__all__ = ["evaluation_epsilon", "is_atari", "make_lanes"]

DEFAULTS = GymnasiumConfig()


def evaluation_epsilon(asked: float, env_id: str, atari: AtariConfig) -> float:
    """Chance of a random action when scored: what was asked for, or, where that is below 0, the
    protocol's."""
    if asked >= 0:
        return asked
    return PROTOCOLS[atari.protocol].evaluation_epsilon if is_atari(env_id) else 0.0


def make_lanes(
    env_id: str,
    num_lanes: int,
    atari: AtariConfig,
    gymnasium: GymnasiumConfig = DEFAULTS,
    *,
    evaluation: bool = False,
    first_lane: int = 0,
    meanwhile: bool = False,
) -> Lanes:
    """Open ``num_lanes`` lanes of an environment.

    Args:
        env_id: an Atari game (ALE/Pong-v5, however spelled), a small world (tengen/...) or any
            Gymnasium id.
        num_lanes: how many.
        atari: protocol, action set and threads of Atari games.
        gymnasium: arguments and worker processes of Gymnasium environments.
        evaluation: episodes are for scoring: the protocol's evaluation limits hold.
        first_lane: number of the first of these, where they are some of more; for messages.
        meanwhile: a thread learns while these move: emulators leave a core to that, since in turns
            on it both lose.

    Raises:
        UserError: unknown environment, or one that this suite cannot drive.
    """
    if num_lanes < 1:
        raise UserError(f"--lanes must be at least 1, got {num_lanes}")
    env_id = canonical_id(env_id)
    if gymnasium != DEFAULTS and (is_atari(env_id) or env_id.startswith("tengen/")):
        raise UserError(
            f"{env_id} takes no --env-kwargs and no --env-workers; Atari's options are --protocol, "
            f"--full-action-space and --env-threads"
        )
    if is_atari(env_id):
        from envs.atari.lanes import AtariLanes

        return AtariLanes(
            env_id,
            num_lanes,
            PROTOCOLS[atari.protocol],
            evaluation=evaluation,
            full_action_space=atari.full_action_space,
            threads=atari.env_threads or (max(1, usable_cores() - 1) if meanwhile else 0),
            pixels=atari.pixels,
        )
    if env_id.startswith("tengen/"):
        from envs.small import make_small

        return make_small(env_id, num_lanes)
    if gymnasium.env_workers:
        from envs.gymnasium.worker_lanes import WorkerLanes

        return WorkerLanes(
            env_id, num_lanes, arguments=gymnasium.arguments, workers=gymnasium.env_workers
        )
    from envs.gymnasium.lanes import GymnasiumLanes

    return GymnasiumLanes(env_id, num_lanes, arguments=gymnasium.arguments, first_lane=first_lane)
