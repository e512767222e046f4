"""Zero's self-play beside two that others wrote in Python, with the same network and simulations.

All play 9x9 Go against themselves; the figure is moves per second over the whole machine.

- OpenSpiel's `MCTSBot`, as its AlphaZero in Python uses it: rules in C++, trees in Python, one
  position a forward pass (`pip install open_spiel`).
- alpha-zero-general's `MCTS.py`: trees in Python dictionaries, one position a pass, on our rules;
  name a checkout with --alpha-zero-general.

Both are single games in one process; the network may use all cores.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import SkippedError, in_own_process, parse_options, report, run_rounds
from core.config import free

ACTIONS = 82


@dataclass(frozen=True)
class Options:
    """Moves of self-play per second, beside OpenSpiel and alpha-zero-general."""

    seconds: float = free(15.0, over=0)
    """Measured per contender and round."""
    rounds: int = free(2, at_least=1)
    """How often each is measured."""
    simulations: int = 32
    """Simulations a move."""
    blocks: int = 6
    channels: int = 64
    games: int = 256
    """Our games side by side."""
    alpha_zero_general: str = ""
    """Folder of a checkout of alpha-zero-general."""
    out: str = "runs/benchmarks/zero-peers.json"
    """Where the results go."""


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    limit = 240 + 4 * options.seconds
    yardstick = "OpenSpiel's MCTSBot in Python"

    def own(work: Callable[..., float]) -> Callable[[], float]:
        return partial(in_own_process, work, options, limit_seconds=limit)

    contenders = {
        f"tengen, {options.games} games": own(measure_many),
        "tengen, 1 game": own(measure_one),
        yardstick: own(measure_open_spiel),
        "alpha-zero-general": own(measure_alpha_zero_general),
    }
    results, skipped = run_rounds(contenders, options.rounds)
    title = f"self-play, {options.simulations} simulations, {options.blocks}x{options.channels}"
    report(title, "moves/s", results, skipped, yardstick, options.out)


def _evaluator(options: Options, planes: int) -> Any:
    """The network of all contenders, folded, fp32, over boards with so many planes."""
    import torch

    from agents.zero.evaluator import NetworkEvaluator
    from core.learner import Arithmetic
    from core.machine.environment_facts import usable_cores
    from networks.control.zero import ZeroNetwork, ZeroShape

    torch.manual_seed(1)
    threads = usable_cores()
    torch.set_num_threads(threads)
    network = ZeroNetwork(
        ZeroShape(planes, 9, 9, ACTIONS, "points"), options.blocks, options.channels
    )
    return NetworkEvaluator(network, Arithmetic("cpu", threads))


def _judge(evaluator: Any, planes: np.ndarray) -> tuple[np.ndarray, float]:
    """Policy [A] and value of one position."""
    logits, values = evaluator.begin(planes[None].astype(np.uint8), np.zeros(1, np.int32))()
    odds = np.exp(logits[0] - logits[0].max())
    return odds / odds.sum(), float(values[0])


def _rate(play: Callable[[], int], seconds: float) -> float:
    """Moves per second of calls that return how many they made; the first is not counted."""
    play()
    moves, began = 0, time.perf_counter()
    while time.perf_counter() - began < seconds:
        moves += play()
    return moves / (time.perf_counter() - began)


def _tengen(options: Options, games: int, leaves: int) -> float:
    from core.machine.environment_facts import usable_cores
    from envs.games.batch import GameBatch
    from envs.games.go.game import GO
    from envs.games.options import GoOptions
    from search.config import SearchConfig
    from search.tree_search import TreeSearch

    go, threads = GoOptions(9, 7.0, "cgos"), usable_cores()
    batch = GameBatch(GO, go, games, threads)
    batch.reset()
    search = TreeSearch(
        GO, go, games, SearchConfig(), _evaluator(options, GO.planes),
        max_simulations=options.simulations, leaves=leaves, threads=threads,
    )  # fmt: skip

    def play() -> int:
        batch.step(search.run(batch.states, options.simulations, noise=True).actions)
        return games

    return _rate(play, options.seconds)


def measure_many(options: Options) -> float:
    """Our search over many games at once."""
    return _tengen(options, options.games, 1)


def measure_one(options: Options) -> float:
    """Our search in one game, eight leaves a tick, as in play."""
    return _tengen(options, 1, 8)


def measure_open_spiel(options: Options) -> float:
    """OpenSpiel's tree search in Python."""
    try:
        import pyspiel
        from open_spiel.python.algorithms import mcts
    except ImportError as error:
        raise SkippedError(f"needs: pip install open_spiel ({error})") from error
    game = pyspiel.load_game("go(board_size=9,komi=7.0)")
    network = _evaluator(options, game.observation_tensor_shape()[0])
    latest: dict[str, tuple[np.ndarray, float]] = {}

    def judge(state: Any) -> tuple[np.ndarray, float]:
        """Once a position: its AlphaZero keeps answers too."""
        key = str(state.history())
        if key not in latest:
            latest.clear()
            planes = np.array(state.observation_tensor(), np.float32).reshape(-1, 9, 9)
            latest[key] = _judge(network, planes)
        return latest[key]

    class Network(mcts.Evaluator):  # type: ignore[misc]
        def evaluate(self, state: Any) -> np.ndarray:
            value = judge(state)[1]
            sign = 1 - 2 * state.current_player()
            return np.array([sign * value, -sign * value])

        def prior(self, state: Any) -> list[tuple[int, float]]:
            policy = judge(state)[0]
            return [(action, policy[action]) for action in state.legal_actions()]

    bot = mcts.MCTSBot(
        game, 1.5, options.simulations, Network(), solve=False, dirichlet_noise=(0.25, 0.3),
        child_selection_fn=mcts.SearchNode.puct_value,
    )  # fmt: skip
    holder = SimpleNamespace(state=game.new_initial_state())

    def play() -> int:
        if holder.state.is_terminal():
            holder.state = game.new_initial_state()
        holder.state.apply_action(bot.step(holder.state))
        return 1

    return _rate(play, options.seconds)


def measure_alpha_zero_general(options: Options) -> float:
    """alpha-zero-general's tree search, over our rules and network."""
    path = Path(options.alpha_zero_general) / "MCTS.py"
    if not options.alpha_zero_general or not path.is_file():
        raise SkippedError("name a checkout with --alpha-zero-general")
    spec = importlib.util.spec_from_file_location("alpha_zero_general_mcts", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    board = _Board()
    evaluator = _evaluator(options, board.game.planes)

    def predict(state: np.ndarray) -> tuple[np.ndarray, float]:
        return _judge(evaluator, board.planes(state))

    arguments = SimpleNamespace(numMCTSSims=options.simulations, cpuct=1.0)
    holder = SimpleNamespace(state=board.empty(), tree=None)
    rng = np.random.default_rng(1)

    def play() -> int:
        if holder.tree is None or board.getGameEnded(holder.state, 1) != 0:
            # Its training, too, plays every game with a new tree.
            holder.state = board.empty()
            holder.tree = module.MCTS(board, SimpleNamespace(predict=predict), arguments)
        action = rng.choice(ACTIONS, p=holder.tree.getActionProb(holder.state))
        holder.state = board.getNextState(holder.state, 1, action)[0]
        return 1

    return _rate(play, options.seconds)


class _Board:
    """Our rules of Go with the method names that alpha-zero-general calls."""

    def __init__(self) -> None:
        from envs.games.go.game import GO
        from envs.games.options import GoOptions

        self.game, self.options = GO, GoOptions(9, 7.0, "cgos")

    def empty(self) -> np.ndarray:
        state: np.ndarray = self.game.initial_state(self.options)
        return state

    def planes(self, state: np.ndarray) -> np.ndarray:
        planes = np.zeros((self.game.planes, 9, 9), np.uint8)
        self.game.observe(state, planes)
        return planes

    def getActionSize(self) -> int:  # noqa: N802
        return ACTIONS

    def getNextState(self, state: np.ndarray, player: int, action: int) -> Any:  # noqa: N802
        after = state.copy()
        self.game.play(after, action)
        return after, -player

    def getCanonicalForm(self, state: np.ndarray, player: int) -> np.ndarray:  # noqa: N802
        return state

    def getValidMoves(self, state: np.ndarray, player: int) -> np.ndarray:  # noqa: N802
        mask = np.zeros(ACTIONS, np.uint8)
        self.game.legal(state, mask)
        return mask

    def getGameEnded(self, state: np.ndarray, player: int) -> float:  # noqa: N802
        from envs.games.state import OUTCOME, TO_MOVE, UNDECIDED

        if state[OUTCOME] == UNDECIDED:
            return 0.0
        seen = int(state[OUTCOME]) * (1 if state[TO_MOVE] == 0 else -1)
        return float(seen) or 1e-4

    def stringRepresentation(self, state: np.ndarray) -> bytes:  # noqa: N802
        return state.tobytes()


if __name__ == "__main__":
    main()
