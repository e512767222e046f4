"""How a game of Go that two passes ended is counted, where the rules let players agree.

Both sides name the stones that are dead. If they agree, those are taken off and the area is
counted. If not, play goes on until two more passes, and they are asked again. If they still
differ, a referee decides; without one everything on the board counts as alive.
"""

from __future__ import annotations

from dataclasses import dataclass

from envs.games.go import rules
from envs.games.go.board import END
from envs.games.go.estimate import area_margin
from envs.games.options import RULESETS
from envs.games.session import Session
from search.player import Player


@dataclass(frozen=True)
class Count:
    """A result and how it came about."""

    margin: float
    """Black's lead in points."""
    note: str
    """For the record: by whose word, and the score as the board stands."""

    @property
    def result(self) -> str:
        """As SGF writes it."""
        return written(self.margin)


def written(margin: float) -> str:
    """B+3.5, W+0.5, 0."""
    return "0" if margin == 0 else f"{'B' if margin > 0 else 'W'}+{abs(margin):g}"


def may_be_settled(session: Session) -> bool:
    """Whether the players have a say in how this game is counted."""
    if session.game.name != "go" or not session.is_over:
        return False
    passed = bool(session.state[END] == rules.TWO_PASSES)
    return passed and RULESETS[session.options.rules].dead_stones


def agreed_count(players: tuple[Player, Player], session: Session) -> Count | None:
    """The count that both sides agree on; None if they differ. Who has no opinion agrees."""
    opinions = [player.dead_stones(session) for player in players]
    told = [dead for dead in opinions if dead is not None]
    if len(told) == 2 and told[0] != told[1]:
        return None
    dead = told[0] if told else set[int]()
    return Count(area_margin(session.state, dead), f"agreed; {as_it_stands(session)}")


def referees_count(referee: Player | None, session: Session) -> Count:
    """The count in a referee's eyes; without one, of the board as it stands."""
    if referee is not None:
        dead = referee.dead_stones(session)
        if dead is not None:
            margin = area_margin(session.state, dead)
            return Count(margin, f"counted by {referee.name}; {as_it_stands(session)}")
    return Count(session.margin(), f"disputed; {as_it_stands(session)}")


def as_it_stands(session: Session) -> str:
    """The score with every stone alive, in words."""
    return f"with every stone alive {written(session.margin())}"


def go_on(session: Session) -> None:
    """Let play go on after two passes."""
    rules.resume(session.state)
