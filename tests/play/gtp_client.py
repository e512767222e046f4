"""A client of the GTP engine that sends a whole input, and a player whose answers are fixed."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from envs.games.options import GoOptions
from envs.games.session import Session
from play.gtp.analysis import STREAMING
from play.gtp.extras import COMMANDS
from play.gtp.server import GtpServer
from search.player import Judgement, Limits, RandomPlayer, Watcher


class FirstLegal(RandomPlayer):
    """Plays the first legal point, so that transcripts are fixed."""

    name = "first"

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        mask = session.legal_mask()
        action = int(np.flatnonzero(mask)[0])
        visits = np.zeros(len(mask), np.int64)
        visits[action] = 3
        values = np.where(visits, 0.5, np.nan)
        judgement = Judgement(action, 0.5, visits, values, variation=(action,))
        endless = limits is not None and (limits.seconds or 0) > 1e6
        while watch and endless and watch(judgement):
            pass
        return judgement


def talk(text: str, player: Any = None, **options: Any) -> str:
    """What the engine writes for a whole input."""
    sink = io.StringIO()
    source, chosen = io.BytesIO(text.encode()), GoOptions(**{"size": 5, **options})
    GtpServer(player or FirstLegal(), chosen, COMMANDS, STREAMING, source, sink).run()
    return sink.getvalue()


def said(text: str, player: Any = None, **options: Any) -> list[str]:
    """The answers to a whole input, one by one."""
    return talk(text, player, **options).removesuffix("\n\n").split("\n\n")
