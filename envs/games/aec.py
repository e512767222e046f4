"""Every game as a PettingZoo AEC environment, with an action mask and pictures of the board.

env = board_game("go", size=9, render_mode="ansi")
"""

from __future__ import annotations

import sys
from typing import Any, ClassVar

import numpy as np
from gymnasium import spaces
from pettingzoo import AECEnv

from envs.games.actions import action_number
from envs.games.game import Game
from envs.games.picture import board_picture
from envs.games.registry import find_game, load_game
from envs.games.session import Session
from envs.games.state import OUTCOME, TO_MOVE, UNDECIDED
from envs.games.text import board_text

AGENTS = ("player_0", "player_1")


class BoardGame(AECEnv):  # type: ignore[misc, type-arg]
    """Two agents in turn. Rewards come at the end: +1, 0 or -1.

    An illegal move loses the game at once, as in PettingZoo's own games. An observation is a dict:
    `observation`, uint8 [C, H, W] as that agent sees the board, and `action_mask`, int8 [A], zero
    for an agent that is not to move.
    """

    metadata: ClassVar[dict[str, Any]] = {
        "render_modes": ["ansi", "rgb_array", "human"],
        "name": "tengen_board_game_v0",
        "is_parallelizable": False,
    }

    def __init__(self, game: Game, options: Any, render_mode: str | None = None) -> None:
        super().__init__()
        self.game, self.options, self.render_mode = game, options, render_mode
        self.possible_agents = list(AGENTS)
        self.agents = list(AGENTS)
        actions = game.actions(options)
        observation = spaces.Dict(
            {
                "observation": spaces.Box(0, 1, (game.planes, *options.shape), np.uint8),
                "action_mask": spaces.Box(0, 1, (actions,), np.int8),
            }
        )
        self.observation_spaces = dict.fromkeys(AGENTS, observation)
        self.action_spaces = {agent: spaces.Discrete(actions) for agent in AGENTS}
        self.position: np.ndarray | None = None
        """The state of the game, int32 [words]; None before the first reset."""
        self._planes_shape = (game.planes, *options.shape)

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """The space of one agent's observations."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The space of one agent's actions."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict[str, Any] | None = None) -> None:
        """Start a game. Nothing is random, so the seed changes nothing."""
        self.position = self.game.initial_state(self.options)
        self._mask = np.zeros(self.game.actions(self.options), np.int8)
        self.game.legal(self.position, self._mask)
        self.agents = list(AGENTS)
        self.rewards = dict.fromkeys(AGENTS, 0.0)
        self._cumulative_rewards = dict.fromkeys(AGENTS, 0.0)
        self.terminations = dict.fromkeys(AGENTS, False)
        self.truncations = dict.fromkeys(AGENTS, False)
        self.infos: dict[str, dict[str, Any]] = {agent: {} for agent in AGENTS}
        self.agent_selection = AGENTS[self.position[TO_MOVE]]
        self._show()

    def observe(self, agent: str) -> dict[str, np.ndarray]:
        """Return one agent's view of the board and what it may do."""
        if self.position is None:
            raise RuntimeError("call reset() before anything else")
        planes = np.empty(self._planes_shape, np.uint8)
        if agent == AGENTS[self.position[TO_MOVE]]:
            self.game.observe(self.position, planes)
            return {"observation": planes, "action_mask": self._mask.copy()}
        waiting = self.position.copy()
        waiting[TO_MOVE] = 1 - waiting[TO_MOVE]
        self.game.observe(waiting, planes)
        return {"observation": planes, "action_mask": np.zeros_like(self._mask)}

    def step(self, action: int | np.ndarray | None) -> None:
        """Play for the agent whose turn it is; an illegal move loses the game.

        Raises:
            TypeError: the action is no integer, and no array of one.
        """
        if self.position is None:
            raise RuntimeError("call reset() before anything else")
        agent = self.agent_selection
        if self.terminations[agent]:
            self._was_dead_step(action)
            return
        self._cumulative_rewards[agent] = 0.0
        state, mask = self.position, self._mask
        number = -1 if action is None else action_number(action)
        if not 0 <= number < mask.size or not mask[number]:
            self.infos[agent]["illegal_action"] = None if action is None else number
            self._end({name: -float(name == agent) for name in AGENTS})
            return
        self.game.play(state, number)
        self.agent_selection = AGENTS[state[TO_MOVE]]
        if state[OUTCOME] == UNDECIDED:
            self.game.legal(state, mask)
        else:
            result = float(state[OUTCOME])
            self._end({AGENTS[0]: result, AGENTS[1]: -result})
        self._show()

    def _end(self, rewards: dict[str, float]) -> None:
        """Hand out the rewards; nobody may do anything any more."""
        self._mask[:] = 0
        self.rewards = rewards
        self.terminations = dict.fromkeys(AGENTS, True)
        self._accumulate_rewards()

    def _show(self) -> None:
        """Print the board after every move where a person looks on."""
        if self.render_mode == "human":
            self.render()

    def render(self) -> str | np.ndarray | None:
        """The board as text or as a picture, uint8 [pixels, pixels, 3]; None if it was printed."""
        session = Session(self.game, self.options, self.position)
        if self.render_mode == "human":
            sys.stdout.write(board_text(session) + "\n")
            return None
        if self.render_mode == "ansi":
            return board_text(session)
        return board_picture(session) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """Nothing to free."""


def board_game(name: str, render_mode: str | None = None, **options: Any) -> AECEnv[str, Any, int]:
    """Make a game's environment by name; options are the game's own, such as size and komi.

    Raises:
        UserError: there is no such game, or an option is wrong.
    """
    entry, named = find_game(name)
    game = load_game(name)
    return BoardGame(game, entry.options(**{**named, **options}), render_mode)
