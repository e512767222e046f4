"""Games of Go from SGF files, checked one by one: what is kept, and why the rest is not."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from core.errors import UserError
from core.files.atomic import read_bounded
from core.files.json_files import disk_errors
from core.machine.kernels import kernel
from envs.games.go import rules
from envs.games.go.board import SIZE, point_of
from envs.games.go.game import GO
from envs.games.options import GoOptions, RulesetName
from envs.games.sgf.record import BLACK, GameRecord, record_of
from envs.games.sgf.tree import Limits, Node, SgfError, each_game
from envs.games.state import SECOND, TO_MOVE, is_over

RULES: RulesetName = "chinese"
"""Simple ko, no suicide: what nearly all games of people keep to."""
LIMITS = Limits(bytes=1 << 30, games=10_000_000)
NOTED = 10_000
"""Games between two lines of progress."""
BLACK_WINS, WHITE_WINS, NO_WINNER = 1, -1, 0
_RANK = re.compile(r"(-?\d{1,3})\s*([kdp])")


@dataclass(frozen=True)
class Filters:
    """Which games are wanted."""

    size: int
    """Lines of the board."""
    lowest_rank: str = ""
    """Of both players, such as 1d or 5k; '' for any, also unknown ones."""
    most_handicap: int = 0
    """Stones that Black may begin with."""
    fewest_moves: int = 10
    """Shorter games are left out."""


@dataclass(frozen=True)
class Game:
    """A game that passed all checks."""

    stones: tuple[int, ...]
    """Cells of Black's handicap stones."""
    moves: np.ndarray
    """int16 [moves]: cells, size * size a pass. Black moves first, White after a handicap."""
    result: int
    """1 Black won, -1 White won, 0 nobody or unknown."""
    key: str
    """Digest of stones and moves: equal games have equal ones."""


@dataclass
class Counts:
    """What became of the games of a collection."""

    kept: int = 0
    left_out: Counter[str] = field(default_factory=Counter)
    """Reason to number of games."""
    damaged: list[str] = field(default_factory=list)
    """Faults of files, which are read up to there."""

    def lines(self) -> list[str]:
        """For the user: a line with all reasons, and one for each of the first damaged files."""
        total = self.kept + self.left_out.total()
        reasons = ", ".join(f"{why} {count:,}" for why, count in self.left_out.most_common())
        found = f"{total:,} games found, {self.kept:,} kept"
        shown = [f"read in part: {fault}" for fault in self.damaged[:5]]
        if len(self.damaged) > len(shown):
            shown.append(f"... and {len(self.damaged) - len(shown):,} more files")
        return [found + (f"; left out: {reasons}" if reasons else ""), *shown]


def sgf_files(path: Path) -> list[Path]:
    """A file, or all .sgf files below a folder, sorted.

    Raises:
        UserError: there is none.
    """
    if path.is_file():
        return [path]
    files = sorted(file for file in path.rglob("*") if file.suffix.lower() == ".sgf")
    if not files:
        raise UserError(
            f"there are no games at {path}: give an SGF file or a folder of .sgf files, or make "
            f"games with: tengen games go --out FOLDER"
        )
    return files


def read_games(
    files: list[Path], filters: Filters, counts: Counts, note: Callable[[str], None]
) -> Iterator[Game]:
    """The games that pass, each once; `counts` is kept, `note` is told how far it is.

    Raises:
        UserError: a file cannot be read at all.
    """
    lowest = None
    if filters.lowest_rank:
        lowest = rank_number(filters.lowest_rank)
        if lowest is None:
            raise UserError(f"{filters.lowest_rank!r} is no rank; write 1d, 5k or 9p")
    seen: set[str] = set()
    start = GO.initial_state(GoOptions(size=filters.size, rules=RULES))
    found = 0
    for number, file in enumerate(files):
        for root in _roots(file, counts):
            found += 1
            if found % NOTED == 0:
                files_done = f"file {number + 1:,} of {len(files):,}"
                note(f"reading games: {found:,}, {counts.kept:,} kept, {files_done}")
            game, why = _checked(root, filters, lowest, start)
            if game is not None and game.key in seen:
                game, why = None, "there twice"
            if game is None:
                counts.left_out[why] += 1
                continue
            seen.add(game.key)
            counts.kept += 1
            yield game


def _roots(file: Path, counts: Counts) -> Iterator[Node]:
    """The games of a file up to its first fault."""
    with disk_errors("read", file):
        content = read_bounded(file, LIMITS.bytes)
    try:
        yield from each_game(content, LIMITS)
    except SgfError as error:
        counts.damaged.append(f"{file}: {error}")


def _checked(
    root: Node, filters: Filters, lowest: int | None, start: np.ndarray
) -> tuple[Game | None, str]:
    """The game, or why it is left out."""
    try:
        record = record_of(root)
    except SgfError:
        return None, "not a game that can be read"
    why = next(_reasons(record, filters, lowest), "")
    return (None, why) if why else _replayed(record, filters, start)


def _reasons(record: GameRecord, filters: Filters, lowest: int | None) -> Iterator[str]:
    """Why a game is not wanted, the first that holds first."""
    if record.size != filters.size:
        yield "another size"
    if lowest is not None:
        ranks = [rank_number(rank) for rank in (record.black_rank, record.white_rank)]
        if any(rank is None or rank < lowest for rank in ranks):
            yield "rank too low or unknown"
    if max(len(record.black_stones), record.handicap) > filters.most_handicap:
        yield "handicap"
    if record.white_stones or (record.black_stones and record.to_move == BLACK):
        yield "begins with given stones"
    first = record.to_move
    if first != BLACK and not record.black_stones:
        yield "White begins"
    if any(colour != (3 - first if i & 1 else first) for i, (colour, _) in enumerate(record.moves)):
        yield "colours not in turn"


def _replayed(record: GameRecord, filters: Filters, start: np.ndarray) -> tuple[Game | None, str]:
    """The game by the rules: up to where it is over, or left out at an illegal move."""
    cells = record.size**2
    moves = np.array([cells if c is None else c for _, c in record.moves], np.int16)
    state = start.copy()
    if record.black_stones:
        board = np.zeros(cells, np.int8)
        board[list(record.black_stones)] = 1
        rules.set_position(state, board, SECOND)
    played = play_legal(state, moves)
    if played < 0:
        return None, "illegal move"
    if played < filters.fewest_moves:
        return None, "too short"
    moves = moves[:played]
    stones = np.array(record.black_stones, np.int16)
    key = hashlib.sha256(np.int16(len(stones)).tobytes() + stones.tobytes() + moves.tobytes())
    winner = {"B": BLACK_WINS, "W": WHITE_WINS}.get(record.result[:1].upper(), NO_WINNER)
    return Game(record.black_stones, moves, winner, key.hexdigest()), ""


@kernel
def play_legal(state: np.ndarray, moves: np.ndarray) -> int:
    """Play moves, int16, until the game is over; their number, or -1 if one is illegal."""
    cells = state[SIZE] * state[SIZE]
    for index in range(moves.size):
        if is_over(state):
            return index
        action = moves[index]
        if action < cells:
            colour = state[TO_MOVE] + 1
            if not rules.is_legal(state, point_of(state[SIZE], action), colour):
                return -1
        rules.play(state, action)
    return int(moves.size)


def rank_number(text: str) -> int | None:
    """A rank as a number that grows with strength: 30k -29, 1k 0, 1d 1, 1p 10; None for no rank."""
    match = _RANK.match(text.strip().lower())
    if match is None:
        return None
    number = int(match[1])
    return {"k": 1 - number, "d": number, "p": 9 + number}[match[2]]
