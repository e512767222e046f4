"""Board games as lanes: each lane a game between the agent and itself, on boards of one size or
of several.

A game that ends begins anew within the same tick: no tick is spent on resetting. The reward is the
outcome as the first player sees it, so the return of an episode is the first player's result.

Legend: L lanes, A actions, C planes, H W board, S words of a state.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from core.errors import UserError
from core.lanes import ObservationSpec, Step, check_actions, first_step, joined
from envs.games.batch import BatchStep, GameBatch
from envs.games.game import Game
from envs.games.state import FIRST, LOSS, TO_MOVE, WIN


class GameLanes:
    """L games side by side. `restorable`: a resumed run goes on in the middle of every game."""

    restorable = True
    overlaps = False

    def __init__(self, game: Game, options: Any, lanes: int, threads: int = 1) -> None:
        self.batch = GameBatch(game, options, lanes, threads)
        self.game, self.options = game, options
        self.num_lanes, self.num_actions = lanes, self.batch.num_actions
        shape = (game.planes, *options.shape)
        self.observation_spec = ObservationSpec(shape, "uint8", 1, masked=True)
        self.resigned = np.zeros(lanes, np.bool_)
        """Lanes that give up instead of playing the next action, bool [L]."""
        self._stepped: BatchStep | None = None

    @property
    def states(self) -> np.ndarray:
        """The positions, int32 [L, S]; a new game's where one ended."""
        return self.batch.states

    def reset(self, seed: int) -> Step:
        """Begin every game anew."""
        self.resigned[:] = False
        fresh = self.batch.reset()
        return first_step(fresh.planes.copy(), fresh.legal.astype(bool), fresh.to_move.copy())

    def begin(self, lane: int, options: np.ndarray) -> None:
        """Start a lane's game over under other options of the same board, as encoded."""
        self.game.new(self.states[lane], options)

    def resign(self, lanes: np.ndarray) -> None:
        """Let the players to move of these lanes, bool [L], give up in place of the next action."""
        self.resigned[:] = lanes

    def send(self, actions: np.ndarray) -> None:
        """Play a move in every game, int64 [L]."""
        checked = check_actions(actions, self.num_lanes, self.num_actions)
        lost = np.where(self.states[:, TO_MOVE] == FIRST, LOSS, WIN)
        self._stepped = self.batch.step(checked)
        for lane in np.flatnonzero(self.resigned).tolist():
            self._stepped.ended[lane], self._stepped.outcomes[lane] = True, lost[lane]
            self.batch.start_over(lane)

    def receive(self) -> Step:
        """What came of the moves."""
        stepped = self._stepped
        assert stepped is not None, "send comes before receive"
        none = np.zeros(self.num_lanes, np.bool_)
        return Step(
            stepped.planes.copy(),
            stepped.outcomes.astype(np.float64),
            stepped.ended.copy(),
            none,
            none.copy(),
            ~none,
            stepped.ended.copy(),
            stepped.legal.astype(bool),
            stepped.to_move.copy(),
        )

    def state_dict(self) -> dict[str, Any]:
        """Every position."""
        return {"states": self.states.copy()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`.

        Raises:
            UserError: the positions are of another game or board.
        """
        states = np.asarray(state["states"])
        if states.shape != self.states.shape or states.dtype != np.int32:
            raise UserError(
                f"the checkpoint's games are {states.dtype} {states.shape}, this run needs int32 "
                f"{self.states.shape}: where an older version wrote them, begin a new run with "
                "--initial RUN"
            )
        self.batch.restore(states)

    def close(self) -> None:
        """Stop the threads."""
        self.batch.close()


class MixedLanes:
    """The lanes of boards of several sizes, one size after the other.

    Smaller boards stand in the upper left corner of the largest one's planes. Actions are each
    board's own: on 5x5 the pass is 25, whatever the others are.
    """

    restorable = True
    overlaps = False

    def __init__(self, boards: Sequence[GameLanes]) -> None:
        """`boards`: of one game, the largest last."""
        self.boards = boards
        self.num_lanes = sum(lanes.num_lanes for lanes in boards)
        self.num_actions = boards[-1].num_actions
        self.observation_spec = boards[-1].observation_spec
        self._ends = np.cumsum([lanes.num_lanes for lanes in boards])[:-1]

    def split(self, values: np.ndarray) -> list[np.ndarray]:
        """Something of each lane, [L, ...], by board."""
        return np.split(values, self._ends)

    def reset(self, seed: int) -> Step:
        """Begin every game anew."""
        return self._joined([lanes.reset(seed) for lanes in self.boards])

    def send(self, actions: np.ndarray) -> None:
        """Play a move in every game, int64 [L]."""
        for lanes, own in zip(self.boards, self.split(actions), strict=True):
            lanes.send(own)

    def receive(self) -> Step:
        """What came of the moves."""
        return self._joined([lanes.receive() for lanes in self.boards])

    def _joined(self, steps: Sequence[Step]) -> Step:
        channels, height, width = self.observation_spec.shape
        padded = []
        for step in steps:
            lanes = len(step.observation)
            observation = np.zeros((lanes, channels, height, width), np.uint8)
            legal = np.zeros((lanes, self.num_actions), np.bool_)
            assert step.legal is not None
            observation[:, :, : step.observation.shape[2], : step.observation.shape[3]] = (
                step.observation
            )
            legal[:, : step.legal.shape[1]] = step.legal
            padded.append(replace(step, observation=observation, legal=legal))
        return joined(padded)

    def state_dict(self) -> dict[str, Any]:
        """Every position, by the number of its board."""
        return {str(number): lanes.state_dict() for number, lanes in enumerate(self.boards)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from `state_dict`. Raises UserError as `GameLanes` does."""
        for number, lanes in enumerate(self.boards):
            lanes.load_state_dict(state[str(number)])

    def close(self) -> None:
        """Stop the threads."""
        for lanes in self.boards:
            lanes.close()
