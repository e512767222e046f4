"""What TensorBoard shows of self-play.

Legend: L lanes, A actions, H W board.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from agents.zero.config import ZeroConfig
from agents.zero.self_play import GameInProgress
from agents.zero.store import GameRecord
from core.agent import Metrics
from envs.games.game import Game
from envs.games.picture import board_picture
from envs.games.session import Session
from search.tree_search import SearchResult

if TYPE_CHECKING:
    from agents.zero.playing import SelfPlay

_BINS = 10
_CELL_PIXELS = 24


class Report:
    """Sums since the last report."""

    def __init__(self, game: Game, options: Any) -> None:
        self.game, self.options = game, options
        self.last_game: GameRecord | None = None
        self._first_moves = np.zeros(game.actions(options))
        self._clear(0, 0)

    def _clear(self, evaluations: int, games: int) -> None:
        self._since = time.monotonic()
        self._evaluations, self._games_before = evaluations, games
        self._lengths: list[int] = []
        self._outcomes: list[int] = []
        self._divergences: list[float] = []
        self._would_resign = self._wrongly = self._resigned = 0
        self._lost_hope = self._came_back = 0
        self._calibration = np.zeros((_BINS, 3))
        """Number, sum of expected and sum of true outcomes, by expected outcome."""

    def searched(self, result: SearchResult, surprises: np.ndarray, plies: np.ndarray) -> None:
        """Take note of a tick of full searches; `surprises` float32 [L], `plies` int32 [L]."""
        self._divergences.append(float(surprises.mean()))
        first = plies == 0
        if first.any():
            newest = result.policy_target[first].mean(axis=0)
            self._first_moves = 0.9 * self._first_moves + 0.1 * newest

    def finished(self, record: GameRecord, game: GameInProgress, config: ZeroConfig) -> None:
        """Take note of a game that ended."""
        self.last_game = record
        self._lengths.append(len(record.moves))
        self._outcomes.append(record.outcome)
        self._resigned += record.resigned
        expected = np.array(game.expected)
        bins = ((expected + 1) / 2 * _BINS).astype(int).clip(0, _BINS - 1)
        rows = np.stack([np.ones_like(expected), expected, np.full_like(expected, record.outcome)])
        np.add.at(self._calibration, bins, rows.T)
        lost = game.lost_hope(config.soft_resign_below, config.soft_resign_moves)
        for player, sign in ((0, 1), (1, -1)):
            saved = sign * record.outcome >= 0
            if game.played_on and config.resign_below > -1:
                self._would_resign += game.lowest[player] < config.resign_below
                self._wrongly += game.lowest[player] < config.resign_below and saved
            if not record.resigned:
                self._lost_hope += lost[player]
                self._came_back += lost[player] and saved

    def drain(self, scalars: dict[str, float], evaluations: int, games: int) -> Metrics:
        """Everything since the last call, added to what the agent says."""
        seconds = max(time.monotonic() - self._since, 1e-9)
        scalars["speed/evaluations_per_second"] = (evaluations - self._evaluations) / seconds
        scalars["speed/games_per_hour"] = 3600 * (games - self._games_before) / seconds
        scalars["store/total_games"] = float(games)
        if self._divergences:
            scalars["search/divergence_from_policy"] = float(np.mean(self._divergences))
        if self._lengths:
            scalars["games/length"] = float(np.mean(self._lengths))
            scalars["games/first_player_wins"] = float(np.mean(np.array(self._outcomes) > 0))
            scalars["games/draws"] = float(np.mean(np.array(self._outcomes) == 0))
            scalars["games/resigned"] = self._resigned / len(self._lengths)
            scalars["games/value_calibration_error"] = self._calibration_error()
        if self._would_resign:
            scalars["games/wrong_resignations"] = self._wrongly / self._would_resign
        if self._lost_hope:
            scalars["games/soft_resignations"] = self._lost_hope / len(self._lengths)
            scalars["games/wrong_soft_resignations"] = self._came_back / self._lost_hope
        metrics = Metrics(scalars)
        if self._first_moves.any():
            metrics.images["games/first_move"] = self._heat_map()
        if self.last_game is not None:
            metrics.images["games/last"] = self._picture(self.last_game)
        self._clear(evaluations, games)
        return metrics

    def _calibration_error(self) -> float:
        """How far expected outcomes are from true ones on average, in ten bins of the former."""
        _, expected, true = self._calibration.T
        return float(np.abs(expected - true).sum() / max(self._calibration[:, 0].sum(), 1.0))

    def _heat_map(self) -> np.ndarray:
        """How likely each cell is the first move, uint8 [H, W] enlarged."""
        height, width = self.options.shape
        if self.game.naming == "columns":
            board = np.tile(self._first_moves, (height, 1))
        else:
            board = self._first_moves[: height * width].reshape(height, width)
        shade = (255 * board / max(board.max(), 1e-9)).astype(np.uint8)
        return np.kron(shade, np.ones((_CELL_PIXELS, _CELL_PIXELS), np.uint8))

    def _picture(self, record: GameRecord) -> np.ndarray:
        """The last position of a game, uint8 [H, W, 3]."""
        session = Session(self.game, self.options)
        for action in record.moves.tolist():
            session.play(action)
        return board_picture(session, _CELL_PIXELS)


def drain_all(boards: Sequence[SelfPlay], scalars: dict[str, float]) -> Metrics:
    """What all boards report, added to what the agent says. Of several, each by the name of the
    board, and what can be added up as a sum besides."""
    if len(boards) == 1:
        return _drained(boards[0], scalars)
    everything = Metrics(scalars)
    for board in boards:
        own = _drained(board, {"store/rows": float(board.store.window_rows)})
        for tag, value in own.scalars.items():
            everything.scalars[f"{tag}_{board.name}"] = value
            if tag.startswith("speed/") or tag == "store/total_games":
                everything.scalars[tag] = everything.scalars.get(tag, 0.0) + value
        for tag, image in own.images.items():
            everything.images[f"{tag}_{board.name}"] = image
    return everything


def _drained(board: SelfPlay, scalars: dict[str, float]) -> Metrics:
    return board.report.drain(scalars, board.search.evaluations, board.store.total_games)
