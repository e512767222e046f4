"""A game in the terminal: the board, a prompt, an opponent."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

from core.errors import UserError
from envs.games.session import Session
from envs.games.text import board_text
from search.player import RESIGN, Judgement, Player

HELP = """\
  {example:<10} play there{passing}
  undo       take back your last move and the answer
  hint       what the opponent would play in your place
  score      who leads as the position stands
  save FILE  write the game record (SGF, Go only)
  resign     give the game up
  quit       leave"""


@dataclass
class TerminalGame:
    """A person against a player, or two persons at one keyboard."""

    session: Session
    opponent: Player | None
    human: int
    """The person's side, 0 or 1; without an opponent the person plays both."""
    source: TextIO
    sink: TextIO
    colour: bool = False
    save: Callable[[Session, str, Path], None] | None = None
    """Writes a record: session, result, file."""
    resigned: int | None = None
    counted: str | None = None
    """The result as SGF writes it, where stones were taken off as dead."""

    def run(self) -> None:
        """Play until the game is over or the person leaves."""
        self._say(board_text(self.session, self.colour))
        while self.resigned is None:
            if self.session.is_over:
                if self._is_settled():
                    break
            elif self.opponent is not None and self.session.to_move != self.human:
                self._answer()
            elif not self._ask():
                return
        self._say(self._ending())

    def result(self) -> str:
        """The result as SGF writes it; ? while the game goes on."""
        if self.resigned is not None:
            return f"{'WB'[self.resigned]}+R"
        if self.counted is not None:
            return self.counted
        return self.session.result() if self.session.is_over else "?"

    def _is_settled(self) -> bool:
        """Whether the game is over for good: the person agrees which stones of Go are dead, where
        the rules give players a say. If not, play goes on.
        """
        if self.session.game.name != "go":
            return True
        from envs.games.go.estimate import area_margin, dead_cells
        from play.settle import go_on, may_be_settled, written

        if not may_be_settled(self.session):
            return True
        dead = None if self.opponent is None else self.opponent.dead_stones(self.session)
        dead = dead_cells(self.session.state) if dead is None else dead
        if not dead:
            return True
        names = " ".join(self.session.name_of(cell) for cell in sorted(dead))
        self.sink.write(f"Dead stones: {names}. Return takes them off, no plays on: ")
        self.sink.flush()
        if self.source.readline().strip().lower() in ("n", "no"):
            go_on(self.session)
            return False
        self.counted = written(area_margin(self.session.state, dead))
        return True

    def _say(self, text: str) -> None:
        self.sink.write(text + "\n")
        self.sink.flush()

    def _ask(self) -> bool:
        """Read and do what the person types; False if they leave."""
        side = self.session.player_name(self.session.to_move)
        self.sink.write(f"{side} ({self._symbol(self.session.to_move)}) to move, or help: ")
        self.sink.flush()
        line = self.source.readline()
        if not line:
            self._say("")
            return False
        word, _, rest = line.strip().partition(" ")
        try:
            return self._do(word.lower(), rest.strip())
        except UserError as error:
            self._say(f"  {error}")
            return True

    def _do(self, word: str, rest: str) -> bool:
        actions: dict[str, Callable[[], None]] = {
            "": lambda: None,
            "help": self._help,
            "undo": self._undo,
            "hint": self._hint,
            "score": self._score,
            "save": lambda: self._save(rest),
            "resign": lambda: setattr(self, "resigned", self.session.to_move),
        }
        if word in ("quit", "exit", "q"):
            return False
        if word in actions:
            actions[word]()
            return True
        self.session.play(self.session.action_of(word))
        self._show_move()
        return True

    def _answer(self) -> None:
        """Let the opponent move."""
        assert self.opponent is not None
        self._say(f"{self.opponent.name} thinks ...")
        judgement = self.opponent.judge(self.session)
        if judgement.action == RESIGN:
            self.resigned = self.session.to_move
            return
        self.session.play(judgement.action)
        self._show_move(judgement)

    def _show_move(self, judgement: Judgement | None = None) -> None:
        """Draw the board with what was just played."""
        player, action = self.session.actions[-1]
        name = self.session.name_of(action)
        text = f"\n{self.session.player_name(player)} plays {name}"
        if judgement is not None and judgement.visits.sum() > 1:
            text += f"   its chance to win {judgement.win_rate:.0%}"
        taken = self._captures()
        self._say(f"{text}{taken}\n{board_text(self.session, self.colour)}")

    def _captures(self) -> str:
        if self.session.game.name != "go":
            return ""
        from envs.games.go.board import BLACK_PRISONERS, WHITE_PRISONERS

        state = self.session.state
        return f"   captured: Black {state[WHITE_PRISONERS]}, White {state[BLACK_PRISONERS]}"

    def _help(self) -> None:
        names = [self.session.name_of(int(a)) for a in np.flatnonzero(self.session.legal_mask())]
        passing = ", or pass" if self.session.game.has_pass else ""
        self._say(HELP.format(example=names[len(names) // 2], passing=passing))

    def _undo(self) -> None:
        """Take moves back until it is the person's turn again."""
        if self.opponent is not None and all(who != self.human for who, _ in self.session.actions):
            raise UserError("you have made no move to take back")
        self.session.undo()
        while self.opponent is not None and self.session.to_move != self.human:
            self.session.undo()
        self._say(board_text(self.session, self.colour))

    def _hint(self) -> None:
        if self.opponent is None:
            raise UserError("there is no opponent to ask")
        judgement = self.opponent.judge(self.session)
        name = "resign" if judgement.action == RESIGN else self.session.name_of(judgement.action)
        self._say(f"  {self.opponent.name} would play {name}")

    def _score(self) -> None:
        margin = self.session.margin()
        if margin == 0:
            self._say("  the position is even")
            return
        leader = self.session.player_name(0 if margin > 0 else 1)
        self._say(f"  {leader} leads by {abs(margin):g} as it stands")

    def _save(self, file: str) -> None:
        if self.save is None or not file:
            raise UserError("say the file: save game.sgf" if self.save else "only Go is recorded")
        self.save(self.session, self.result(), Path(file))
        self._say(f"  written to {file}")

    def _symbol(self, player: int) -> str:
        return self.session.game.symbols[player + 1]

    def _ending(self) -> str:
        if self.resigned is not None:
            winner = self.session.player_name(1 - self.resigned)
            return f"{winner} wins by resignation"
        result = self.result()
        if result == "0":
            return "The game is drawn"
        winner = self.session.player_name(0 if result[0] == "B" else 1)
        points = result.partition("+")[2]
        return f"{winner} wins by {points}" if points else f"{winner} wins"
