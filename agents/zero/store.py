"""Games of self-play: moves and what the searches said, in memory and in append-only files.

    replay/games-000123.safetensors     the games between two checkpoints

A checkpoint lists its files with their SHA-256. A file or a game that does not hold what it should
is left out with a line that names it. Planes are rebuilt when rows are drawn.

Legend: N games of a file, M moves, R rows to learn from, A actions, B batch.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from agents.zero.replaying import rebuild_rows, replay_game
from core.errors import UserError
from core.files import atomic, tensor_file
from core.machine.threads import Threads, shares_of
from envs.games.game import Game
from envs.games.state import OUTCOME, UNDECIDED
from envs.games.symmetry import symmetries


@dataclass(frozen=True)
class GameRecord:
    """One game."""

    komi: int
    """In half points; 0 for games without"""
    moves: np.ndarray
    """int16 [M]"""
    outcome: int
    """+1, 0, -1 for the first player"""
    margin: int
    """The first player's, in half points"""
    resigned: bool
    """The last position does not tell who owns what."""
    plies: np.ndarray
    """Moves before each row, int16 [R]"""
    policies: np.ndarray
    """Policy targets, float16 [R, A]"""
    copies: np.ndarray
    """How often each row is learned from, uint8 [R]"""

    @property
    def rows(self) -> int:
        """Rows to learn from, counted as often as they are learned from."""
        return int(self.copies.sum())


@dataclass(frozen=True)
class Rows:
    """A batch to learn from, for the player to move in each row."""

    planes: np.ndarray
    """uint8 [B, C, H, W]"""
    handicap: np.ndarray
    """Half points, int32 [B]"""
    policy: np.ndarray
    """float32 [B, A]"""
    value: np.ndarray
    """Outcome, float32 [B]"""
    ownership: np.ndarray
    """+1 the player to move, int8 [B, H W]"""
    margin: np.ndarray
    """Half points, int32 [B]"""
    settled: np.ndarray
    """Whether ownership and margin are known, bool [B]"""
    on_board: np.ndarray | None = None
    """Where boards of several sizes are padded to one: 1 on the board, uint8 [B, H, W]"""


class GameStore:
    """A sliding window of games."""

    def __init__(
        self, game: Game, options: Any, folder: Path, note: Callable[[str], None], threads: int = 1
    ) -> None:
        self.game, self.options, self.folder, self.note = game, options, folder, note
        self.games: deque[GameRecord] = deque()
        self.window_rows = self.total_rows = self.total_games = 0
        self._fresh: list[GameRecord] = []
        self._files: list[dict[str, Any]] = []
        self._index: np.ndarray | None = None
        self._in_order: list[GameRecord] = []
        self._encoded: dict[int, np.ndarray] = {}
        self._cells, self._actions = symmetries(game, options)
        self._words = game.words(options)
        self._mask = np.zeros(game.actions(options), np.uint8)
        self._threads = Threads(threads)

    # ---------------------------------------------------------------- filling

    def add(self, record: GameRecord) -> None:
        """Take a finished game in."""
        self.games.append(record)
        self._fresh.append(record)
        self.window_rows += record.rows
        self.total_rows += record.rows
        self.total_games += 1
        self._index = None

    def trim(self, rows: int) -> None:
        """Drop the oldest games that the newest so many rows do without."""
        while self.games and self.window_rows - self.games[0].rows >= rows:
            self.window_rows -= self.games.popleft().rows
            self._index = None

    def encoded(self, komi: int) -> np.ndarray:
        """What `game.new` reads of the options with this komi, int32 [O]."""
        if komi not in self._encoded:
            options = self.options
            if hasattr(options, "komi"):
                options = replace(options, komi=komi / 2)
            self._encoded[komi] = options.encode()
        return self._encoded[komi]

    def finish(self, komi: int, moves: Sequence[int]) -> tuple[int, int]:
        """Play a game again; return (outcome or UNDECIDED, margin in half points).

        Raises:
            ValueError: a move is not legal.
        """
        state = np.zeros(self._words, np.int32)
        played = np.asarray(moves, np.int16)
        legal = replay_game(self.game, state, self.encoded(komi), played, self._mask)
        if legal != len(played):
            raise ValueError(f"move {legal + 1} is not legal")
        return int(state[OUTCOME]), int(self.game.score(state))

    # ---------------------------------------------------------------- drawing

    def sample(self, batch: int, rng: np.random.Generator, turn: bool) -> Rows:
        """Draw rows with replacement, each turned by a random symmetry if `turn`."""
        index, games = self._row_index()
        drawn = index[rng.integers(0, len(index), batch)].tolist()
        records = [games[game] for game, _ in drawn]
        plies = np.array([games[game].plies[row] for game, row in drawn], np.int32)
        turns = rng.integers(0, len(self._cells), batch) if turn else np.zeros(batch, int)
        planes, handicap, owners, to_move = self._rebuild(records, plies, turns.astype(np.int32))
        policy = np.stack([games[game].policies[row] for game, row in drawn]).astype(np.float32)
        np.put_along_axis(policy, self._actions[turns].astype(np.int64), policy.copy(), axis=1)
        sign = 1 - 2 * to_move.astype(np.int32)
        outcomes = np.array([record.outcome for record in records], np.int32)
        margins = np.array([record.margin for record in records], np.int32)
        return Rows(
            planes,
            handicap,
            policy / policy.sum(axis=1, keepdims=True),
            (sign * outcomes).astype(np.float32),
            owners,
            sign * margins,
            np.array([not record.resigned for record in records]),
        )

    def _row_index(self) -> tuple[np.ndarray, list[GameRecord]]:
        """(game, row) of every row to learn from, int32 [rows, 2], and the games."""
        if self._index is None:
            # A deque finds its middle slowly.
            self._in_order = list(self.games)
            copies = [record.copies for record in self._in_order]
            games = np.repeat(np.arange(len(copies)), [len(c) for c in copies])
            rows = np.concatenate([np.arange(len(c)) for c in copies])
            pairs = np.stack([games, rows], axis=1).astype(np.int32)
            self._index = np.repeat(pairs, np.concatenate(copies), axis=0)
        return self._index, self._in_order

    def _rebuild(
        self, records: Sequence[GameRecord], plies: np.ndarray, turns: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        batch, (height, width) = len(records), self.options.shape
        moves = np.zeros((batch, max(len(r.moves) for r in records)), np.int16)
        for row, record in enumerate(records):
            moves[row, : len(record.moves)] = record.moves
        lengths = np.array([0 if r.resigned else len(r.moves) for r in records], np.int32)
        komis, which = np.unique([record.komi for record in records], return_inverse=True)
        options = np.stack([self.encoded(komi) for komi in komis.tolist()])[which]
        planes = np.zeros((batch, self.game.planes, height, width), np.uint8)
        handicap, to_move = np.zeros(batch, np.int32), np.zeros(batch, np.int8)
        owners = np.zeros((batch, height * width), np.int8)

        def work(first: int, last: int, thread: int) -> None:
            rebuild_rows(
                self.game, options, moves, plies, lengths, turns, self._cells,
                np.zeros(self._words, np.int32), np.zeros(planes.shape[1:], np.uint8),
                np.zeros(height * width, np.int8), planes, handicap, owners, to_move, first, last,
            )  # fmt: skip

        self._threads.run(work, shares_of(0, batch, self._threads.count))
        return planes, handicap, owners, to_move

    # ---------------------------------------------------------------- files

    def checkpoint(self) -> dict[str, Any]:
        """Write the games since the last checkpoint to a file of their own; list all files."""
        if self._fresh:
            number = 1 + (self._files[-1]["number"] if self._files else 0)
            name = f"games-{number:06d}.safetensors"
            atomic.make_folder(self.folder)
            (self.folder / name).unlink(missing_ok=True)
            written = atomic.write_file(self.folder / name, tensor_file.chunks(_pack(self._fresh)))
            atomic.sync_folder(self.folder)
            rows = sum(record.rows for record in self._fresh)
            self._files.append(
                {
                    "number": number,
                    "sha256": written.sha256,
                    "games": len(self._fresh),
                    "rows": rows,
                }
            )
            self._fresh = []
        self._drop_old_files()
        return {
            "files": [dict(file) for file in self._files],
            "total_rows": self.total_rows,
            "total_games": self.total_games,
            "window_games": len(self.games),
        }

    def _drop_old_files(self) -> None:
        """Forget files that lie outside the window. The one before stays: an older checkpoint may
        be gone back to."""
        games = sum(file["games"] for file in self._files)
        while len(self._files) > 1 and games - self._files[0]["games"] > 2 * len(self.games):
            games -= self._files[0]["games"]
            old = self._files.pop(0)
            (self.folder / f"games-{old['number']:06d}.safetensors").unlink(missing_ok=True)

    def restore(self, state: Mapping[str, Any]) -> None:
        """Read the games that a checkpoint lists. What is damaged is named and left out."""
        self._files = [dict(file) for file in state["files"]]
        self.games.clear()
        self.window_rows, self._fresh, self._index = 0, [], None
        for file in self._files:
            for record in self._read(file):
                self.games.append(record)
                self.window_rows += record.rows
        while len(self.games) > int(state["window_games"]):
            self.window_rows -= self.games.popleft().rows
        self.total_rows = int(state["total_rows"])
        self.total_games = int(state["total_games"])

    def _read(self, file: Mapping[str, Any]) -> list[GameRecord]:
        path = self.folder / f"games-{int(file['number']):06d}.safetensors"
        try:
            arrays, digest = tensor_file.read(path)
            if digest != file["sha256"]:
                self.note(f"{path} has changed since it was written: what it holds is checked")
            records = _unpack({n: tensor_file.to_array(stored) for n, stored in arrays.items()})
        except (OSError, ValueError, KeyError) as error:
            reason = getattr(error, "strerror", None) or error
            self.note(f"skipped {path} with {file['games']} games: {reason}")
            return []
        good = []
        for number, record in enumerate(records):
            problem = self._problem(record)
            if problem:
                self.note(f"skipped game {number + 1} of {path}: {problem}")
            else:
                good.append(record)
        return good

    def _problem(self, record: GameRecord) -> str:
        """What is wrong with a record that was read; '' if nothing is."""
        if record.policies.shape[1:] != self._mask.shape or abs(record.komi) > 2000:
            return "it is of another game"
        try:
            outcome, margin = self.finish(record.komi, record.moves.tolist())
        except ValueError as error:
            return str(error)
        played_out = (outcome, margin) == (record.outcome, record.margin)
        given_up = outcome == UNDECIDED and record.outcome in (-1, 1)
        if not (given_up if record.resigned else played_out):
            return "its moves lead to another result"
        return self._problem_of_rows(record)

    def _problem_of_rows(self, record: GameRecord) -> str:
        rows = len(record.plies)
        # Who resigned had searched, and made no move.
        inside = (record.plies >= 0) & (record.plies < len(record.moves) + record.resigned)
        sums = record.policies.astype(np.float32).sum(axis=1)
        if len(record.copies) != rows or len(record.policies) != rows or not inside.all():
            return "its rows do not fit its moves"
        if not (np.abs(sums - 1) < 0.1).all() or (record.policies < 0).any():
            return "its policies are no probabilities"
        return ""


def _pack(records: Sequence[GameRecord]) -> dict[str, np.ndarray]:
    """Games as arrays of one file."""
    facts = [
        (len(r.moves), len(r.plies), r.outcome, r.margin, int(r.resigned), r.komi) for r in records
    ]
    return {
        "facts": np.array(facts, np.int32),
        "moves": np.concatenate([record.moves for record in records]),
        "plies": np.concatenate([record.plies for record in records]),
        "policies": np.concatenate([record.policies for record in records]),
        "copies": np.concatenate([record.copies for record in records]),
    }


def _unpack(arrays: Mapping[str, np.ndarray]) -> list[GameRecord]:
    """The games of a file. Raises ValueError or KeyError if its arrays do not fit one another."""
    facts = arrays["facts"]
    if facts.ndim != 2 or facts.shape[1] != 6 or facts.dtype != np.int32:
        raise ValueError("its table of games is of another kind")
    kinds = {"moves": np.int16, "plies": np.int16, "policies": np.float16, "copies": np.uint8}
    for name, kind in kinds.items():
        if arrays[name].dtype != kind or arrays[name].ndim != 1 + (name == "policies"):
            raise ValueError(f"its {name} are of another kind")
    moves_end, rows_end = np.cumsum(facts[:, :2].astype(np.int64), axis=0).T
    rows = len(arrays["plies"])
    if (
        facts.size == 0
        or (facts[:, :2] < 0).any()
        or moves_end[-1] != len(arrays["moves"])
        or rows_end[-1] != rows
        or len(arrays["policies"]) != rows
        or len(arrays["copies"]) != rows
    ):
        raise ValueError("its counts do not fit its arrays")
    records = []
    for number, (moves, count, outcome, margin, resigned, komi) in enumerate(facts.tolist()):
        end, row_end = int(moves_end[number]), int(rows_end[number])
        part = slice(row_end - count, row_end)
        records.append(
            GameRecord(
                komi, arrays["moves"][end - moves : end], outcome,
                margin, bool(resigned), arrays["plies"][part], arrays["policies"][part],
                arrays["copies"][part],
            )
        )  # fmt: skip
    return records


def require_room(free_bytes: int, rows: int, actions: int) -> None:
    """Raise UserError if a window of so many rows does not fit into memory."""
    wanted = rows * (2 * actions + 8)
    if wanted > free_bytes:
        raise UserError(
            f"a window of {rows:,} rows takes {wanted / 1e9:.1f} GB of memory, "
            f"{free_bytes / 1e9:.1f} GB are free; lower --window-rows"
        )
