"""A game as a value that kernels take as an argument: `game.play(state, action)` in both worlds.

Numba compiles a kernel that takes a `Game` once for every game, with the game's functions inlined.
The type's key holds a digest of the game's source, so an edited or moved game is compiled anew.
"""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numba import types
from numba.extending import (
    NativeValue,
    models,
    overload_attribute,
    overload_method,
    register_model,
    typeof_impl,
    unbox,
)

from core.machine.kernels import kernel
from core.machine.random_numbers import random_below
from envs.games import state as common

Kernel = Callable[..., Any]
Symmetry = Literal["square", "mirror", "none"]
Naming = Literal["points", "columns", "own"]


@dataclass(frozen=True, eq=False)
class Game:
    """Rules of a two-player game of perfect information on a board.

    The kernels work on one state, int32 [words]; `envs/games/state.py` says what its first words
    are. Only `new` and `play` have no default.
    """

    name: str
    title: str
    options: type[Any]
    """Frozen dataclass: `encode()` gives the int32 array that `new` reads, `shape` is (H, W)."""
    new: Kernel
    """new(state, options): write the position at the start."""
    play: Kernel
    """play(state, action): play a legal action; set OUTCOME when the game is over."""
    legal: Kernel = common.legal_on_empty_cells
    """legal(state, mask): mark legal actions, uint8 [A]; never none while the game goes on."""
    observe: Kernel = common.observe_own_and_other
    """observe(state, planes): planes [C, H, W] as the player to move sees the board."""
    cells: Kernel = common.copy_cells
    """cells(state, out): int8 [H * W], 0 empty, 1 first player, 2 second player."""
    score: Kernel = common.score_by_outcome
    """score(state): the first player's margin in half points."""
    owners: Kernel = common.copy_cells
    """owners(state, out): int8 [H * W], who owns each cell at the end, as `cells` writes it."""
    handicap: Kernel = common.no_handicap
    """handicap(state): points that the player to move is given, such as komi, in half points."""
    random_playout: Kernel | None = None
    """random_playout(state, rng, mask): a faster random game than picking of the legal moves."""
    guided_playout: Kernel | None = None
    """guided_playout(state, rng, mask, guide): a playout by what was learned; marks in mask, uint8
    [A], who was first to play each action: 0 nobody, 1 the first player, 2 the second."""
    chances: Kernel | None = None
    """chances(state, mask, guide, out): how likely what was learned plays each legal action,
    float64 [A]."""
    words: Callable[[Any], int] = lambda options: common.HEADER_WORDS + np.prod(options.shape)
    """Length of a state."""
    actions: Callable[[Any], int] = lambda options: int(np.prod(options.shape))
    """Number of actions, legal or not."""
    planes: int = 2
    has_pass: bool = False
    """The last action is a pass."""
    symmetry: Symmetry = "square"
    """Maps of the board onto itself that change nothing: all 8, left and right, none."""
    naming: Naming = "points"
    """Actions are cells (D4), or columns (numbers from 1), or named by `action_names`."""
    action_names: Callable[[Any], list[str]] | None = None
    players: tuple[str, str] = ("Black", "White")
    symbols: str = ".XO"
    """Of an empty cell, the first and the second player."""
    key: str = field(init=False)
    """Digest of the game's kernels: their modules' names and text."""

    def __post_init__(self) -> None:
        functions = [getattr(self, name).py_func for name in _required()]
        # What numba keeps on the disk imports the kernels' modules by their names.
        modules = [function.__module__ for function in functions]
        digest = hashlib.sha256(" ".join([self.name, *modules]).encode())
        for file in sorted({str(inspect.getsourcefile(function)) for function in functions}):
            digest.update(Path(file).read_bytes() if Path(file).is_file() else b"")
        object.__setattr__(self, "key", digest.hexdigest()[:16])
        _GAMES[self.name, self.key] = self

    @property
    def counts_points(self) -> bool:
        """Whether a win has a size."""
        return self.score is not common.score_by_outcome

    def playout(self, state: np.ndarray, rng: np.ndarray, mask: np.ndarray) -> None:
        """Play at random to the end in place; rng uint64 [1], mask scratch, uint8 [A]."""
        if self.random_playout is None:
            play_uniformly(self, state, rng, mask)
        else:
            self.random_playout(state, rng, mask)

    def initial_state(self, options: Any) -> np.ndarray:
        """Return the position at the start, int32 [words]."""
        state = np.zeros(self.words(options), np.int32)
        self.new(state, options.encode())
        return state


def _required() -> tuple[str, ...]:
    return ("new", "play", "legal", "observe", "cells", "score", "owners", "handicap")


_GAMES: dict[tuple[str, str], Game] = {}


class GameType(types.Type):  # type: ignore[misc]
    """Numba's type of one game; it holds no data."""

    def __init__(self, name: str, key: str) -> None:
        self.game = (name, key)
        super().__init__(f"Game({name}, {key})")

    @property
    def key(self) -> tuple[str, str]:
        """What makes two types the same."""
        return self.game


register_model(GameType)(models.OpaqueModel)


@typeof_impl.register(Game)  # type: ignore[untyped-decorator]
def _type_of_game(game: Game, context: Any) -> GameType:
    return GameType(game.name, game.key)


@unbox(GameType)  # type: ignore[untyped-decorator]
def _unbox_game(typ: Any, value: Any, context: Any) -> Any:
    return NativeValue(context.context.get_dummy_value())


def _let_kernels_call(name: str) -> None:
    """Let kernels call game.<name>(...): the game's own kernel, known when they are compiled.

    An attribute, not a method: a method would be one more function around the kernel, and whatever
    calls it is compiled once more for every function around it.
    """

    @overload_attribute(GameType, name)  # type: ignore[untyped-decorator]
    def attribute(game: Any) -> Any:
        function = getattr(_GAMES[game.game], name)

        def kernel_of(game: Any) -> Any:
            return function

        return kernel_of


for _name in (*_required(), "guided_playout", "chances"):
    _let_kernels_call(_name)


@overload_method(GameType, "playout")  # type: ignore[untyped-decorator]
def _compile_playout(game: Any, state: Any, rng: Any, mask: Any) -> Any:
    function = _GAMES[game.game].random_playout

    def call_own(game: Any, state: Any, rng: Any, mask: Any) -> Any:
        function(state, rng, mask)  # type: ignore[misc]

    def call_uniform(game: Any, state: Any, rng: Any, mask: Any) -> Any:
        play_uniformly(game, state, rng, mask)

    return call_uniform if function is None else call_own


@kernel
def random_legal_action(mask: np.ndarray, rng: np.ndarray) -> int:
    """Draw one of the marked actions."""
    count = 0
    for action in range(mask.size):
        count += mask[action]
    left = random_below(rng, count)
    for action in range(mask.size):
        left -= mask[action]
        if left < 0:
            return action
    return -1


@kernel
def play_uniformly(game: Any, state: np.ndarray, rng: np.ndarray, mask: np.ndarray) -> None:
    """Play uniformly among the legal moves until the game is over."""
    while not common.is_over(state):
        game.legal(state, mask)
        game.play(state, random_legal_action(mask, rng))
