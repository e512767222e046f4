"""Self-play on boards of one size: search, choice of moves, and what a game tells when it ends.

Legend: L lanes, A actions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from agents.zero.config import ZeroConfig
from agents.zero.evaluator import NetworkEvaluator
from agents.zero.report import Report
from agents.zero.self_play import GameInProgress, draw_openings, surprises, without_passes
from agents.zero.store import GameRecord, GameStore
from envs.games.lanes import GameLanes
from envs.games.state import MOVE_NUMBER, TO_MOVE
from search.tree_search import SearchResult, TreeSearch

LEAST_RECORDED = 0.1
"""Share of the positions of a game without hope that are learned from (Wu 2019)."""


class SelfPlay:
    """The lanes of one board, their search and their games."""

    def __init__(
        self,
        config: ZeroConfig,
        lanes: GameLanes,
        store: GameStore,
        evaluator: NetworkEvaluator,
        rng: np.random.Generator,
        *,
        threads: int,
        seed: int,
        passes_from: int,
    ) -> None:
        """Args:
        config: the options.
        lanes: games to play.
        store: of the same game and board, for games that ended.
        evaluator: judges the positions.
        rng: draws what is not the search's to draw.
        threads: of the trees.
        seed: of the search.
        passes_from: move of a game before which nobody passes.
        """
        self.config, self.lanes, self.store, self.rng = config, lanes, store, rng
        self.passes_from = passes_from
        self.search = TreeSearch(
            lanes.game, lanes.options, lanes.num_lanes, config.search, evaluator,
            max_simulations=max(config.simulations, config.quick_simulations,
                                config.first_simulations),
            threads=threads, seed=seed,
        )  # fmt: skip
        self.report = Report(lanes.game, lanes.options)
        self.games: list[GameInProgress] = []
        self._finished: list[GameRecord] = []

    @property
    def name(self) -> str:
        """The board's size: 5x5."""
        return board_name(self.lanes.options)

    def act(self, most: int) -> np.ndarray:
        """Search all positions, in full searches with `most` simulations; a move of each, int64
        [L]."""
        config, lanes = self.config, self.lanes
        if not self.games:
            self.games = [self._begin(lane) for lane in range(lanes.num_lanes)]
        full = bool(self.rng.random() < config.full_share)
        quick = min(config.quick_simulations, most)
        hopes = np.array([game.hope(config.soft_resign_below, config.soft_resign_moves)
                          for game in self.games])  # fmt: skip
        plies = lanes.states[:, MOVE_NUMBER]
        result = self.search.run(
            lanes.states,
            np.rint(quick + hopes * (most - quick)).astype(np.int32) if full else quick,
            noise=full,
            temperature=(plies < config.temperature_moves).astype(np.float64),
        )
        if lanes.game.has_pass:
            result = without_passes(result, plies < self.passes_from)
        if full:
            self._note(result, hopes)
        return self._choose(result)

    def _begin(self, lane: int) -> GameInProgress:
        """Start a lane's game over, with komi of its own."""
        config, rng = self.config, self.rng
        komi = 0
        if hasattr(self.lanes.options, "komi"):
            middle = self.lanes.options.komi
            komi = round(2 * (middle + config.komi_spread * rng.standard_normal()))
            self.lanes.begin(lane, self.store.encoded(komi))
        opening = int(rng.exponential(config.opening_moves)) if config.opening_moves else 0
        return GameInProgress(komi, opening, bool(rng.random() < config.resign_checked))

    def _note(self, result: SearchResult, hopes: np.ndarray) -> None:
        """Remember what full searches say is to be learned, of games without hope, float64 [L],
        little."""
        surprise = surprises(result.policy_target, result.priors)
        self.report.searched(result, surprise, self.lanes.states[:, MOVE_NUMBER])
        policies = result.policy_target.astype(np.float16)
        for game, policy, divergence, hope in zip(
            self.games, policies, surprise.tolist(), hopes.tolist(), strict=True
        ):
            if hope == 1 or self.rng.random() < LEAST_RECORDED + (1 - LEAST_RECORDED) * hope:
                game.learn_from(policy, divergence)

    def _choose(self, result: SearchResult) -> np.ndarray:
        """The moves, openings drawn at random, and who gives up."""
        actions = result.actions.copy()
        plies = self.lanes.states[:, MOVE_NUMBER]
        opening = np.array([game.opening for game in self.games])
        drawn = np.flatnonzero(plies < opening)
        if len(drawn):
            actions[drawn] = draw_openings(result, drawn, self.config.opening_temperature, self.rng)
        resigning = np.zeros(len(actions), np.bool_)
        players = self.lanes.states[:, TO_MOVE].tolist()
        values = result.root_values.tolist()
        for lane, game in enumerate(self.games):
            settled = game.think(players[lane], values[lane])
            if settled < self.config.resign_below and not game.played_on:
                resigning[lane] = True
        self.lanes.resign(resigning)
        return actions

    def observe(self, actions: np.ndarray, outcomes: np.ndarray, ended: np.ndarray) -> None:
        """Note the moves, int64 [L], and the games that ended, bool [L], with whose outcomes."""
        resigned = self.lanes.resigned.tolist()
        for game, action, gave_up in zip(self.games, actions.tolist(), resigned, strict=True):
            if not gave_up:
                game.moves.append(action)
        for lane in np.flatnonzero(ended).tolist():
            self._finish(lane, int(outcomes[lane]), bool(self.lanes.resigned[lane]))

    def _finish(self, lane: int, outcome: int, resigned: bool) -> None:
        game = self.games[lane]
        margin = 0 if resigned else self.store.finish(game.komi, game.moves)[1]
        record = game.record(outcome, margin, resigned, self.config.surprise_share, self.rng)
        if record.rows:
            self._finished.append(record)
        self.report.finished(record, game, self.config)
        self.games[lane] = self._begin(lane)

    def commit(self) -> list[GameRecord]:
        """Store the games that ended since the last call, and return them."""
        finished, self._finished = self._finished, []
        for record in finished:
            self.store.add(record)
        return finished


def board_name(options: Any) -> str:
    """A board's size: 5x5."""
    height, width = options.shape
    return f"{height}x{width}"
