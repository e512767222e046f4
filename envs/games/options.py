"""What may be chosen about each game. Imports neither numba nor NumPy: help texts are quick."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from core.errors import UserError

if TYPE_CHECKING:
    import numpy as np

KO_RULES = ("simple", "positional", "situational")
KoRule = Literal["simple", "positional", "situational"]


@dataclass(frozen=True)
class Ruleset:
    """A published set of rules of Go with area scoring."""

    ko: KoRule
    suicide: bool
    handicap_points: Literal["none", "stones", "stones - 1"]
    """What White is given for Black's handicap stones."""
    dead_stones: bool
    """Whether players may agree at the end that stones are dead; else all count as alive."""


RULESETS: dict[str, Ruleset] = {
    "tromp-taylor": Ruleset("positional", True, "none", False),
    "chinese": Ruleset("simple", False, "stones", True),
    "chinese-superko": Ruleset("positional", False, "stones", True),
    "aga": Ruleset("situational", False, "stones - 1", True),
    "new-zealand": Ruleset("situational", True, "none", True),
    "cgos": Ruleset("positional", False, "none", False),
}
RulesetName = Literal["tromp-taylor", "chinese", "chinese-superko", "aga", "new-zealand", "cgos"]


def _integers(*values: int) -> np.ndarray:
    import numpy as np

    return np.array(values, np.int32)


def _within(what: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise UserError(f"{what} is {value}; it must be from {low} to {high}")


MOST_MOVES = 10_000
"""The latest that a game of Go can be made to end by its number of moves."""


BOARD_VALUES = {2: 1.0, 3: 9.0, 4: 2.0, 5: 25.0, 6: 4.0, 7: 9.0}
"""What an empty board is worth to Black by area scoring, by its size. Up to 5x5 solved (van der
Werf and Winands 2009); 6x6 and 7x7 (Li Zhe 2015) are not proved."""


@dataclass(frozen=True)
class GoOptions:
    """Go with area scoring."""

    size: int = 9
    """Lines of the board, 1 to 19."""
    komi: float = 7.0
    """Points for White, a multiple of 0.5; with a whole number games can be drawn."""
    rules: RulesetName = "chinese"
    """Ruleset: sets ko, suicide, what White is given for handicap stones, and whether dead stones
    may be agreed on. The default (simple ko, no suicide) allows what every Go program allows."""
    handicap: int = 0
    """Stones that Black begins with, 2 to 9 on GTP's fixed points; White then moves first."""
    move_limit: int = 0
    """The game is scored as it stands after so many moves; 0: three a point and fifty."""

    def __post_init__(self) -> None:
        _within("the size of the board", self.size, 1, 19)
        _within("the move limit", self.move_limit, 0, MOST_MOVES)
        _within("the handicap", self.handicap, 0, self.size**2 - 1)
        if self.handicap == 1:
            raise UserError("a handicap of 1 is no stone but the first move; say --komi 0.5")
        if not abs(self.komi) <= 1000 or self.komi * 2 != int(self.komi * 2):
            raise UserError(f"komi is {self.komi}; it must be a multiple of 0.5 up to 1000")
        if self.rules not in RULESETS:
            raise UserError(f"there are no rules {self.rules!r} (known: {', '.join(RULESETS)})")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the board."""
        return self.size, self.size

    @property
    def limit(self) -> int:
        """Moves after which the game is scored as it stands."""
        return self.move_limit or 3 * self.size * self.size + 50

    @property
    def compensation(self) -> float:
        """Points for White: komi and what the rules give for handicap stones."""
        points = {"none": 0, "stones": self.handicap, "stones - 1": max(0, self.handicap - 1)}
        return self.komi + points[RULESETS[self.rules].handicap_points]

    def encode(self) -> np.ndarray:
        """What `go.rules.new` reads, int32 [5 + handicap stones].

        Raises:
            UserError: so many handicap stones have no fixed places on this board.
        """
        rules = RULESETS[self.rules]
        ko = KO_RULES.index(rules.ko)
        values = [self.size, round(2 * self.compensation), ko, rules.suicide, self.limit]
        return _integers(*values, *(fixed_handicap(self.size, self.handicap)))


def fixed_handicap(size: int, stones: int) -> list[int]:
    """Cells of the handicap stones in the order of GTP 2, section 4.1.1; none of no stones.

    Raises:
        UserError: there are no such points on this board.
    """
    most = 0 if size < 7 else (4 if size % 2 == 0 or size == 7 else 9)
    if stones == 0:
        return []
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


@dataclass(frozen=True)
class _FixedOptions:
    """A game without options."""

    def encode(self) -> np.ndarray:
        """Nothing to say, int32 [0]."""
        return _integers()


@dataclass(frozen=True)
class TicTacToeOptions(_FixedOptions):
    """Three in a row on nine cells."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the board."""
        return 3, 3


@dataclass(frozen=True)
class ConnectFourOptions(_FixedOptions):
    """Four in a row; stones drop to the lowest free cell of a column."""

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the board."""
        return 6, 7


@dataclass(frozen=True)
class OthelloOptions:
    """Othello (Reversi)."""

    size: int = 8
    """Cells along an edge: 4, 6, 8 or 10."""

    def __post_init__(self) -> None:
        if self.size not in (4, 6, 8, 10):
            raise UserError(f"the size of the board is {self.size}; it must be 4, 6, 8 or 10")

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the board."""
        return self.size, self.size

    def encode(self) -> np.ndarray:
        """What `othello.new` reads, int32 [1]."""
        return _integers(self.size)


@dataclass(frozen=True)
class GomokuOptions:
    """Five or more in a row win, for both players alike."""

    size: int = 15
    """Lines of the board, 5 to 19."""

    def __post_init__(self) -> None:
        _within("the size of the board", self.size, 5, 19)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the board."""
        return self.size, self.size

    def encode(self) -> np.ndarray:
        """What `gomoku.new` reads, int32 [1]."""
        return _integers(self.size)
