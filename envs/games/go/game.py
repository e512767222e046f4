"""Go as a `Game`, and what only Go has: handicap stones and given positions."""

from __future__ import annotations

import numpy as np

from core.errors import UserError
from envs.games.game import Game
from envs.games.go import features, rollout, rules
from envs.games.options import GoOptions
from envs.games.state import SECOND

GO = Game(
    name="go",
    title="Go",
    options=GoOptions,
    new=rules.new,
    play=rules.play,
    legal=rules.legal,
    observe=features.observe,
    cells=features.copy_cells,
    score=rules.score,
    owners=features.ownership,
    handicap=features.handicap,
    random_playout=rules.playout,
    guided_playout=rollout.pattern_playout,
    words=lambda options: int(rules.state_words(options.size, options.limit)),
    actions=lambda options: options.size**2 + 1,
    planes=features.PLANES,
    has_pass=True,
)


def fixed_handicap(size: int, stones: int) -> list[int]:
    """Cells of the handicap stones in the order of GTP 2, section 4.1.1.

    Raises:
        UserError: there are no such points on this board.
    """
    most = 0 if size < 7 else (4 if size % 2 == 0 or size == 7 else 9)
    if not 2 <= stones <= most:
        raise UserError(
            f"{stones} handicap stones have no fixed places on {size}x{size}"
            + (f" (2 to {most} have)" if most else "")
        )
    near = 2 if size < 13 else 3
    low, middle, high = near, size // 2, size - 1 - near
    # Rows count from the top: (high, low) is the lower left corner.
    order = [(high, low), (low, high), (low, low), (high, high)]
    if stones >= 6:
        order += [(middle, low), (middle, high)]
    if stones >= 8:
        order += [(low, middle), (high, middle)]
    if stones in (5, 7, 9):
        order = [*order[: stones - 1], (middle, middle)]
    return [row * size + column for row, column in order[:stones]]


def new_game(options: GoOptions) -> np.ndarray:
    """Return the position at the start, int32 [words], handicap stones on the board."""
    state = GO.initial_state(options)
    if options.handicap:
        place_handicap(state, options.size, fixed_handicap(options.size, options.handicap))
    return state


def place_handicap(state: np.ndarray, size: int, cells: list[int]) -> None:
    """Put Black's handicap stones on an empty board; White moves first."""
    board = np.zeros(size * size, np.int8)
    board[cells] = 1
    rules.set_position(state, board, SECOND)
