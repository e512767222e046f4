"""A board game as a Gymnasium environment: one agent, and a player that answers its moves."""

from __future__ import annotations

import sys
from typing import Any, ClassVar, Literal, Protocol

import gymnasium
import numpy as np
from gymnasium import spaces

from envs.games.actions import action_number
from envs.games.game import Game
from envs.games.picture import board_picture
from envs.games.session import Session
from envs.games.text import board_text

Side = Literal["first", "second", "random"]


class Choice(Protocol):
    """What a player answers."""

    @property
    def action(self) -> int:
        """The action; below 0 it gives up."""


class Opponent(Protocol):
    """The other player; everything of `search` and `play` that plays is one."""

    def judge(self, session: Session) -> Choice:
        """Choose an action where the game is not over."""

    def new_game(self, seed: int) -> None:
        """Forget the last game; draw from another random stream."""

    def check(self, game: Game, options: Any) -> None:
        """Raise UserError if it cannot play this game."""

    def close(self) -> None:
        """Free what it holds."""


class AgainstPlayer(gymnasium.Env[np.ndarray, np.int64]):
    """Every step is a move of the agent and the answer to it.

    Observations are the planes as the agent sees the board, uint8 [C, H, W]; rewards come at the
    end: +1, 0 or -1. Legal actions are in `info["action_mask"]`, int8 [A], and `action_masks()`,
    bool [A], as sb3-contrib's MaskablePPO asks for them. An illegal move loses the game.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "render_modes": ["ansi", "rgb_array", "human"],
        "render_fps": 2,
    }

    def __init__(
        self,
        game: Game,
        options: Any,
        opponent: Opponent,
        side: Side = "random",
        render_mode: str | None = None,
    ) -> None:
        """`side` is the agent's: it begins, or the opponent, or that is drawn for every game.

        Raises:
            UserError: the opponent cannot play this game.
        """
        opponent.check(game, options)
        self.game, self.options, self.opponent, self.side = game, options, opponent, side
        self.render_mode = render_mode
        self.observation_space = spaces.Box(0, 1, (game.planes, *options.shape), np.uint8)
        self.action_space = spaces.Discrete(game.actions(options))
        self.session = Session(game, options)
        self.agent = 0
        """The agent's number in the game in progress: 0 begins."""

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start a game; the opponent moves first where it begins."""
        super().reset(seed=seed)
        drawn = int(self.np_random.integers(2))
        self.agent = {"first": 0, "second": 1}.get(self.side, drawn)
        self.session = Session(self.game, self.options)
        self.opponent.new_game(int(self.np_random.integers(2**31)))
        self._answer(may_resign=False)
        return self._observation(), self._info()

    def step(
        self, action: np.int64 | int | np.ndarray
    ) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Play an action and let the opponent answer."""
        number = action_number(action)
        mask = self.action_masks()
        if not 0 <= number < mask.size or not mask[number]:
            info = {"action_mask": np.zeros(mask.size, np.int8), "illegal_action": number}
            return self._observation(), -1.0, True, False, info
        self.session.play(number)
        resigned = self._answer()
        over = resigned or self.session.is_over
        reward = 0.0
        if over:
            sign = 1 if self.agent == 0 else -1
            reward = 1.0 if resigned else float(sign * self.session.outcome)
        return self._observation(), reward, over, False, self._info(over)

    def action_masks(self) -> np.ndarray:
        """Legal actions, bool [A]."""
        return self.session.legal_mask().astype(bool)

    def render(self) -> Any:
        """The board as text or as a picture, uint8 [pixels, pixels, 3]; None if it was printed."""
        if self.render_mode == "human":
            sys.stdout.write(board_text(self.session) + "\n")
            return None
        if self.render_mode == "ansi":
            return board_text(self.session)
        return board_picture(self.session) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Free the opponent."""
        self.opponent.close()

    def _answer(self, may_resign: bool = True) -> bool:
        """Let the opponent move until it is the agent's turn; True if it gives up."""
        while not self.session.is_over and self.session.to_move != self.agent:
            action = self.opponent.judge(self.session).action
            if action < 0 and may_resign:
                return True
            if action < 0:  # an episode cannot end before its first step
                action = int(self.np_random.choice(np.flatnonzero(self.session.legal_mask())))
            self.session.play(action)
        if self.render_mode == "human":
            self.render()
        return False

    def _observation(self) -> np.ndarray:
        """The planes as the agent sees them, whoever is to move."""
        return self.session.observation(self.agent)

    def _info(self, over: bool = False) -> dict[str, Any]:
        mask = self.session.legal_mask().astype(np.int8)
        return {"action_mask": np.zeros_like(mask) if over else mask}
