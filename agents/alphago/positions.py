"""A collection of games compiled once into arrays on the disk, and read as positions.

Games are kept as moves, two bytes each; a position is rebuilt by replaying its game, which takes
microseconds and gives history and ko with it. The arrays are mapped, not read, so that any number
of runs share one copy:

    moves     int16 [M]      of all games, one after the other: cells, size * size a pass
    starts    int64 [N + 1]  where each game's moves begin
    stones    int16 [S]      handicap stones of all games
    stones_at int64 [N + 1]  where each game's begin
    results   int8  [N]      1 Black won, -1 White won, 0 nobody or unknown
    parts     uint8 [N]      0 training, 1 validation, 2 test: by the digest of the game

Legend: N games, M moves, B samples of a batch, W words of a state.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from agents.alphago.collection import RULES, Counts, Filters, Game, read_games, sgf_files
from core.errors import UserError
from core.files import atomic
from core.files.json_files import disk_errors, json_text
from core.machine.kernels import kernel
from envs.games.go.alphago_planes import observe
from envs.games.go.board import KO, PASSES, PAST, SIZE, place, point_of
from envs.games.go.game import GO
from envs.games.go.rules import PAST_BOARDS, pack_newest, play, set_position
from envs.games.options import GoOptions
from envs.games.state import SECOND, TO_MOVE, copy_state, end_turn
from tasks.data.files import fraction

TRAINING, VALIDATION, TEST = 0, 1, 2
VALIDATION_SHARE, TEST_SHARE = 0.05, 0.05
FORMAT = 1
ARRAYS = {"moves": "<i2", "starts": "<i8", "stones": "<i2", "stones_at": "<i8", "results": "|i1",
          "parts": "|u1"}  # fmt: skip
_FACTS = "facts.json"
_MAX_FACTS_BYTES = 1 << 20


@dataclass(frozen=True)
class Samples:
    """Positions with what was played there."""

    states: np.ndarray
    """int32 [B, W], history included."""
    moves: np.ndarray
    """The next move, int64 [B]: cells."""
    results: np.ndarray
    """int8 [B]: 1 the player to move won, -1 lost, 0 nobody or unknown."""


class Positions:
    """The positions of a compiled collection in which a stone was played next."""

    def __init__(self, arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> None:
        """`arrays` as the file's description has them; `facts` name their games and size."""
        self.facts = facts
        self.size = int(facts["filters"]["size"])
        self.moves, self.starts = arrays["moves"], arrays["starts"]
        self.stones, self.stones_at = arrays["stones"], arrays["stones_at"]
        self.results, self.parts = arrays["results"], arrays["parts"]
        self.start = GO.initial_state(GoOptions(size=self.size, rules=RULES))

    @classmethod
    def mapped(cls, folder: Path) -> Positions:
        """Map the files of a folder. Raises UserError where they are damaged."""
        try:
            facts = json.loads(atomic.read_bounded(folder / _FACTS, _MAX_FACTS_BYTES))
            arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ARRAYS}
            # Games are replayed unchecked.
            if facts["digest"] != _digest(arrays):
                raise ValueError("the games are not those that were written")
            return cls(arrays, facts)
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise UserError(f"{folder} is damaged ({error}); remove it and start again") from error

    def samples(self, part: int) -> np.ndarray:
        """The numbers of a part's samples, int64: places in `moves` that are no passes."""
        counts = np.diff(self.starts)
        wanted = np.repeat(self.parts == part, counts) & (self.moves != self.size**2)
        return np.flatnonzero(wanted)

    def read(self, numbers: np.ndarray) -> Samples:
        """Rebuild positions by their numbers, int64 [B]."""
        games = np.searchsorted(self.starts, numbers, side="right") - 1
        states = np.empty((len(numbers), len(self.start)), np.int32)
        _rebuild(self.start, self.moves, self.starts, self.stones, self.stones_at, games, numbers,
                 states)  # fmt: skip
        mover = 1 - 2 * states[:, TO_MOVE]
        results = (self.results[games] * mover).astype(np.int8)
        return Samples(states, self.moves[numbers].astype(np.int64), results)


@kernel
def _rebuild(
    start: np.ndarray,
    moves: np.ndarray,
    starts: np.ndarray,
    stones: np.ndarray,
    stones_at: np.ndarray,
    games: np.ndarray,
    numbers: np.ndarray,
    states: np.ndarray,
) -> None:
    """Replay each sample's game up to it."""
    for row in range(len(numbers)):
        game, state = games[row], states[row]
        copy_state(start, state)
        first, last = stones_at[game], stones_at[game + 1]
        if last > first:
            board = np.zeros(state[4] * state[5], np.int8)
            for index in range(first, last):
                board[stones[index]] = 1
            set_position(state, board, SECOND)
        begin = max(starts[game], numbers[row] - PAST_BOARDS)
        for index in range(starts[game], begin):
            _play_unseen(state, moves[index])
        pack_newest(state)
        for index in range(begin, numbers[row]):
            play(state, moves[index])


@kernel
def _play_unseen(state: np.ndarray, action: int) -> None:
    """Play a move after which eight more follow: nobody will look at the board that it leaves.

    As `rules.play` under simple ko, without that board.
    """
    if action == state[SIZE] * state[SIZE]:
        state[PASSES] += 1
        state[KO] = 0
    else:
        state[PASSES] = 0
        place(state, point_of(state[SIZE], action), state[TO_MOVE] + 1)
    state[PAST] += 1
    end_turn(state, action)


@kernel
def observe_all(states: np.ndarray, boards: np.ndarray, planes: np.ndarray) -> None:
    """AlphaGo's planes of positions, int32 [B, W], into planes [B, C, H, W]."""
    for row in range(len(states)):
        observe(states[row], boards, planes[row])


# ----------------------------------------------------------------------------- compiling


def compiled(path: Path, filters: Filters, note: Callable[[str], None]) -> Positions:
    """The positions of SGF files, compiled now unless that was done before with the same files.

    Args:
        path: a file, or a folder of .sgf files.
        filters: which games.
        note: told progress and counts.

    Raises:
        UserError: there are no games, or the cache cannot be written.
    """
    files = sgf_files(path)
    folder = cache_folder() / _key(path, files, filters)
    if not (folder / _FACTS).is_file():
        _compile(files, filters, folder, note)
    return Positions.mapped(folder)


def cache_folder() -> Path:
    """Where compiled collections are kept: below the user's cache folder."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tengen" / "go-positions"


def _key(path: Path, files: list[Path], filters: Filters) -> str:
    """Names a compiled collection: files by name, size and time, filters, format."""
    digest = hashlib.sha256(json.dumps([FORMAT, asdict(filters)]).encode())
    for file in files:
        facts = file.stat()
        digest.update(
            f"{os.path.relpath(file, path)}\0{facts.st_size}\0{facts.st_mtime_ns}\0".encode()
        )
    return digest.hexdigest()[:24]


def _compile(
    files: list[Path], filters: Filters, folder: Path, note: Callable[[str], None]
) -> None:
    """Read all games and write the arrays, whole or not at all."""
    counts = Counts()
    games = list(read_games(files, filters, counts, note))
    for line in counts.lines():
        note(line)
    if not games:
        raise UserError(f"no game is left of {len(files):,} files; {counts.lines()[0]}")
    arrays = _arrays(games)
    facts = {
        "filters": asdict(filters),
        "digest": _digest(arrays),
        "games": len(games),
        "left_out": dict(counts.left_out),
        "damaged": counts.damaged[:100],
    }
    with disk_errors("write", folder):
        _write(folder, arrays, facts)


def _digest(arrays: dict[str, np.ndarray]) -> str:
    """Of the contents, in the order of the file's description."""
    digest = hashlib.sha256()
    for name in ARRAYS:
        digest.update(name.encode() + arrays[name].tobytes())
    return digest.hexdigest()


def _arrays(games: list[Game]) -> dict[str, np.ndarray]:
    """All games as the arrays of the file's description."""
    parts = np.array([part_of(game.key) for game in games], np.uint8)
    arrays = {
        "moves": np.concatenate([game.moves for game in games]),
        "starts": np.cumsum([0, *(len(game.moves) for game in games)]),
        "stones": np.array([cell for game in games for cell in game.stones]),
        "stones_at": np.cumsum([0, *(len(game.stones) for game in games)]),
        "results": np.array([game.result for game in games]),
        "parts": parts,
    }
    return {name: array.astype(ARRAYS[name]) for name, array in arrays.items()}


def part_of(key: str) -> int:
    """The part that a game is in, by its digest."""
    place = fraction(key)
    if place >= 1 - TEST_SHARE:
        return TEST
    return VALIDATION if place < VALIDATION_SHARE else TRAINING


def _write(folder: Path, arrays: dict[str, np.ndarray], facts: dict[str, Any]) -> None:
    """Write beside the folder and rename: at every moment it is whole or not there."""
    atomic.make_folder(folder.parent)
    temporary = folder.with_name(f".tmp-{folder.name}-{os.getpid()}")
    atomic.remove(temporary)
    atomic.make_new_folder(temporary)
    for name, array in arrays.items():
        buffer = io.BytesIO()
        np.save(buffer, array)
        atomic.write_file(temporary / f"{name}.npy", [buffer.getbuffer()])
    atomic.write_file(temporary / _FACTS, [json_text(facts)])
    atomic.remove(folder)
    atomic.rename(temporary, folder)
    atomic.sync_folder(folder.parent)
