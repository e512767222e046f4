"""AlphaGo's planes, slowly, from extended data table 2 of the paper: on sets and whole boards.

Nothing of the kernels' bookkeeping is used: chains are found again at every question, and ladders
play on copies of `SlowGo` boards.
"""

from __future__ import annotations

import numpy as np

from tests.envs.games.slow_go import Board, SlowGo

NAMES = (
    ("own", 1), ("other", 1), ("empty", 1), ("ones", 1), ("turns since", 8), ("liberties", 8),
    ("capture size", 8), ("self-atari size", 8), ("liberties after", 8), ("ladder capture", 1),
    ("ladder escape", 1), ("sensible", 1), ("zeros", 1), ("black to move", 1),
)  # fmt: skip


def slow_planes(game: SlowGo, legal: list[int]) -> dict[str, np.ndarray]:
    """The planes by name, each [planes, cells]; `legal` are the cells that may be played."""
    board, own = game.board, game.to_move
    planes = {name: np.zeros((count, len(board)), np.uint8) for name, count in NAMES}

    def mark(name: str, cell: int, value: int) -> None:
        if value:
            planes[name][min(value, 8) - 1, cell] = 1

    planes["ones"][:] = 1
    planes["black to move"][:] = own == 1
    for cell, colour in enumerate(board):
        planes[{0: "empty", own: "own", 3 - own: "other"}[colour]][0, cell] = 1
        if colour:
            mark("liberties", cell, len(game.liberties(board, cell)))
            mark("turns since", cell, turns_since(game, cell))
    for cell in legal:
        after = game.after(cell, own)
        taken = sum(
            before == 3 - own and now == 0 for before, now in zip(board, after, strict=True)
        )
        mark("capture size", cell, taken)
        if after[cell]:
            chain, liberties = game.reach(after, cell)[0], game.liberties(after, cell)
            mark("liberties after", cell, len(liberties))
            mark("self-atari size", cell, len(chain) if len(liberties) == 1 else 0)
        else:
            lost = sum(b == own and now == 0 for b, now in zip(board, after, strict=True))
            mark("self-atari size", cell, lost + 1)
        planes["sensible"][0, cell] = not is_eye(game, cell, own)
        planes["ladder capture"][0, cell] = ladder_captures(game, cell)
        planes["ladder escape"][0, cell] = ladder_escapes(game, cell)
    return planes


def turns_since(game: SlowGo, cell: int) -> int:
    """How many positions ago the stone was not there; 8 where it always was."""
    boards = [board for board, _ in game.history][::-1]
    for ago, board in enumerate(boards):
        if board[cell] != game.board[cell]:
            return ago
    return 8


def is_eye(game: SlowGo, cell: int, colour: int) -> bool:
    """All neighbours own, and all diagonals but one in the middle, none at the edge."""
    if any(game.board[c] != colour for c in game.neighbours(cell)):
        return False
    row, column = divmod(cell, game.size)
    corners = [(row + r, column + c) for r in (-1, 1) for c in (-1, 1)]
    inside = [r * game.size + c for r, c in corners if 0 <= r < game.size and 0 <= c < game.size]
    bad = sum(game.board[c] == 3 - colour for c in inside)
    return bad <= (1 if len(inside) == 4 else 0)


def step(game: SlowGo, board: Board, cell: int, colour: int, before: Board | None) -> Board | None:
    """The board after a move in a ladder: no suicide, no return to the board before; else None."""
    after = SlowGo(game.size, board=board).after(cell, colour)
    return after if after[cell] and after != before else None


def lives(game: SlowGo, board: Board, before: Board | None, prey: int, its_turn: bool) -> bool:
    """Whether the hunted chain gets away, all ladder moves tried."""
    colour = board[prey]
    liberties = game.liberties(board, prey)
    if len(liberties) > 2 or (its_turn and len(liberties) == 2):
        return True
    if not its_turn and len(liberties) < 2:
        return False
    mover, moves = 3 - colour, liberties
    if its_turn:
        mover = colour
        hunters = [c for c in game.reach(board, prey)[1] if board[c] == 3 - colour]
        in_atari = [game.liberties(board, hunter) for hunter in hunters]
        moves = liberties.union(*(last for last in in_atari if len(last) == 1))
    for cell in sorted(moves):
        after = step(game, board, cell, mover, before)
        if after is not None and lives(game, after, board, prey, not its_turn) == its_turn:
            return its_turn
    return not its_turn


def ladder_captures(game: SlowGo, cell: int) -> bool:
    """Whether the move catches a neighbouring chain of two liberties in a ladder."""
    after = game.after(cell, game.to_move)
    preys = [c for c in game.neighbours(cell) if game.board[c] == 3 - game.to_move]
    return any(
        len(game.liberties(game.board, prey)) == 2
        and not lives(game, after, game.board, prey, True)
        for prey in preys
    )


def ladder_escapes(game: SlowGo, cell: int) -> bool:
    """Whether the move saves an own chain in atari: it extends it, or takes a chain beside it."""
    board, own = game.board, game.to_move
    after = game.after(cell, own)
    for prey in (c for c in range(len(board)) if board[c] == own):
        border = game.reach(board, prey)[1]
        saving = game.liberties(board, prey)
        if len(saving) != 1:
            continue
        for hunter in (c for c in border if board[c] == 3 - own):
            if len(game.liberties(board, hunter)) == 1:
                saving = saving | game.liberties(board, hunter)
        if cell in saving and after[cell] and lives(game, after, board, prey, False):
            return True
    return False
