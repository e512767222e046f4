"""One name for each environment: every usual spelling of an Atari game is ALE/<Game>-v5."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache

from core.errors import UserError

ATARI_CLASS = "ale_py.env:AtariEnv"
"""Where ids that give raw frames of an Atari game lead."""

_SPELLING = re.compile(
    r"(?:ale_py:)?(?:ale/)?(?P<game>[a-z0-9_ -]+?)"
    r"(?P<ram>-ram)?(?:noframeskip|deterministic)?(?:-v\d+)?",
    re.IGNORECASE,
)


@cache
def atari_games() -> dict[str, str]:
    """The id of every Atari game, such as ALE/SpaceInvaders-v5, to its ROM, space_invaders."""
    import ale_py
    import gymnasium

    gymnasium.register_envs(ale_py)
    return {
        name: str(spec.kwargs["game"])
        for name, spec in gymnasium.registry.items()
        if spec.namespace == "ALE" and spec.version == 5 and spec.entry_point == ATARI_CLASS
    }


def canonical_id(env_id: str, note: Callable[[str], object] | None = None) -> str:
    """The one name of an environment: 'PongNoFrameskip-v4', 'pong' and others are 'ALE/Pong-v5'.

    An id that is no Atari game's, or that another package registered, is returned as it is.

    Args:
        env_id: any spelling.
        note: told where the name is not the one given: frame-skip and sticky actions are then the
            protocol's, not those that the old name stood for.

    Raises:
        UserError: an Atari game whose memory is to be observed.
    """
    if env_id.startswith("tengen/") or env_id in atari_games():
        return env_id
    spelling = _SPELLING.fullmatch(env_id)
    games = {_folded(name[len("ALE/") : -len("-v5")]): name for name in atari_games()}
    name = games.get(_folded(spelling["game"])) if spelling else None
    if spelling is None or name is None or _registered_by_others(env_id):
        return env_id
    if spelling["ram"]:
        raise UserError(
            f"{env_id} shows the console's memory; agents here see frames: --env {name}"
        )
    if note is not None:
        note(f"{env_id} is {name} here; --protocol decides on sticky actions and starts")
    return name


def is_atari(env_id: str) -> bool:
    """True for an Atari game, however it is spelled."""
    return env_id.startswith("ALE/") or canonical_id(env_id).startswith("ALE/")


def _folded(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _registered_by_others(env_id: str) -> bool:
    """Whether it names somebody else's environment: Blackjack-v1 is Gymnasium's."""
    import gymnasium

    name = _folded(re.sub(r"-v\d+$", "", env_id))
    return any(
        spec.namespace is None and _folded(spec.name) == name and spec.entry_point != ATARI_CLASS
        for spec in gymnasium.registry.values()
    )
