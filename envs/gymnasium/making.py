"""From an id to a Gymnasium environment and its actions."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from core.errors import UserError, did_you_mean
from envs.names import ATARI_CLASS, atari_games

NOT_FOR_AGENTS = (ATARI_CLASS, "gymnasium.envs.phys2d", "gymnasium.envs.tabular")
"""Where ids lead that are not suggested: raw frames of Atari games, and Gymnasium's on JAX."""


def make_environment(
    env_id: str, arguments: Mapping[str, Any], render_mode: str | None = None
) -> Any:
    """Make one environment.

    Args:
        env_id: such as 'CartPole-v1', or 'mymodule:My-v0' where importing mymodule registers it.
        arguments: of its constructor; ``max_episode_steps`` is Gymnasium's own.
        render_mode: None for no pictures.

    Raises:
        UserError: unknown id, missing dependency, or a constructor that fails.
    """
    import gymnasium
    from gymnasium import error

    module, colon, name = env_id.rpartition(":")
    if colon:
        _import(module)
    _refuse_raw_atari(env_id, name)

    # Not among the arguments unless wanted: a constructor need not know it. What the environment
    # hands over is checked by the lanes.
    options = dict(arguments) | ({"render_mode": render_mode} if render_mode else {})
    try:
        return gymnasium.make(env_id, disable_env_checker=True, **options)
    except (
        error.NameNotFound,
        error.NamespaceNotFound,
        error.VersionNotFound,
        error.DeprecatedEnv,
        error.UnregisteredEnv,
    ) as problem:
        raise UserError(
            f"there is no environment {env_id!r}{did_you_mean(env_id, _suggested())}"
        ) from problem
    except (error.DependencyNotInstalled, ImportError) as problem:
        raise UserError(f"{env_id} needs a package that is not installed: {problem}") from problem
    except error.Error as problem:
        raise UserError(f"cannot make {env_id!r}: {problem}") from problem
    except TypeError as problem:
        advice = "arguments are given with --env-kwargs"
        if render_mode:
            advice = "if it draws no pictures, leave --video and --render out"
        raise UserError(f"cannot make {env_id!r}: {problem}; {advice}") from problem
    except Exception as problem:
        raise UserError(f"cannot make {env_id!r}: {type(problem).__name__}: {problem}") from problem


def _import(module: str) -> None:
    """Import the module that registers an environment: installed, or from the working directory."""
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)  # last, so that nothing installed is hidden
    try:
        importlib.import_module(module)
    except Exception as problem:
        missing = isinstance(problem, ModuleNotFoundError) and problem.name
        if missing and f"{module}.".startswith(f"{missing}."):
            raise UserError(
                f"there is no module {missing!r} in {here} or installed, to register the "
                f"environment of --env {module}:..."
            ) from problem
        raise UserError(
            f"importing {module!r} failed: {type(problem).__name__}: {problem}"
        ) from problem


def _refuse_raw_atari(env_id: str, name: str) -> None:
    """Whoever registers ale-py's class under a name of their own would lose the protocol."""
    import gymnasium

    spec = gymnasium.registry.get(name)
    if spec is not None and spec.entry_point == ATARI_CLASS:
        games = {rom: game for game, rom in atari_games().items()}
        game = games.get(str(spec.kwargs.get("game")), "ALE/Pong-v5")
        raise UserError(
            f"{env_id} is raw frames of an Atari game, without frame-skip or protocol; use --env "
            f"{game}"
        )


def _suggested() -> list[str]:
    import gymnasium

    games = atari_games()
    return [
        name
        for name, spec in gymnasium.registry.items()
        if name in games or not str(spec.entry_point).startswith(NOT_FOR_AGENTS)
    ]


def discrete_actions(env_id: str, env: Any) -> tuple[int, int]:
    """Number of actions, and the value of the first. Raises UserError for other actions."""
    from gymnasium.spaces import Discrete

    space = env.action_space
    if not isinstance(space, Discrete):
        raise UserError(f"{env_id} has actions {space}; this agent needs a discrete choice")
    return int(space.n), int(space.start)
