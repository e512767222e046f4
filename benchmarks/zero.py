"""Zero's speed: tree work alone, and self-play against the bare network.

Tree work is search with an evaluation that costs nothing (uniform policy, value 0) on 9x9 Go; one
thread is counted per second of processor time, which other work on the machine disturbs less.
Self-play is the agent's own `act` and `observe` with a network; its yardstick is the same network
fed full batches and nothing else. Evaluations count positions that the network judged.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.common import in_own_process, parse_options, report, run_rounds
from core.config import free


@dataclass(frozen=True)
class Options:
    """Simulations and evaluations per second."""

    seconds: float = free(8.0, over=0)
    """Measured per contender and round."""
    rounds: int = free(3, at_least=1)
    """How often each is measured."""
    device: str = "cpu"
    blocks: int = 6
    channels: int = 64
    games: int = 256
    """Games side by side."""
    out: str = "runs/benchmarks/zero.json"
    """Where the results go."""


def main() -> None:
    """Measure, print and write."""
    options = parse_options(Options)
    limit = 240 + 4 * options.seconds

    def own(work: Callable[..., float], *arguments: Any) -> Callable[[], float]:
        return partial(in_own_process, work, options.seconds, *arguments, limit_seconds=limit)

    usual = "64 simulations a move, 256 games, 2 threads"
    trees = {
        usual: own(measure_trees, 64, 256, 2),
        "64 simulations a move, 256 games": own(measure_trees, 64, 256, 1),
        **{
            f"{simulations} simulations a move, 64 games": own(measure_trees, simulations, 64, 1)
            for simulations in (16, 64, 512, 4096)
        },
    }
    results, skipped = run_rounds(trees, options.rounds)
    out = options.out.replace(".json", "-trees.json")
    report("tree work alone, 9x9 Go", "simulations/s", results, skipped, usual, out)

    bare = f"the {options.blocks}x{options.channels} network alone"
    network = (options.device, options.blocks, options.channels, options.games)
    contenders = {
        "self-play": own(measure_self_play, *network),
        bare: own(measure_network, *network),
    }
    results, skipped = run_rounds(contenders, options.rounds)
    report("9x9 Go", "evaluations/s", results, skipped, bare, options.out)


class Uniform:
    """No opinion."""

    overlaps = False

    def __init__(self, slots: int, actions: int) -> None:
        self._logits = np.zeros((slots, actions), np.float32)
        self._values = np.zeros(slots, np.float32)

    def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: Any) -> Any:
        """Nothing is computed."""
        count = len(planes)
        return lambda: (self._logits[:count], self._values[:count])


def measure_trees(seconds: float, simulations: int, games: int, threads: int) -> float:
    """Simulations per second of searches from positions of random games."""
    from envs.games.go.game import GO
    from envs.games.options import GoOptions
    from search.config import SearchConfig
    from search.tree_search import TreeSearch

    clock = time.perf_counter if threads > 1 else time.process_time
    go = GoOptions(9)
    search = TreeSearch(
        GO, go, games, SearchConfig(), Uniform(games, 82), max_simulations=simulations,
        threads=threads,
    )  # fmt: skip
    states = _random_positions(games)
    search.run(states, 2, noise=True)
    done, began = 0, clock()
    while clock() - began < seconds:
        search.run(states, simulations, noise=True)
        done += games * simulations
    return done / (clock() - began)


def _random_positions(games: int) -> np.ndarray:
    from core.machine.random_numbers import random_state
    from envs.games.game import random_legal_action
    from envs.games.go.game import GO
    from envs.games.options import GoOptions
    from envs.games.state import is_over

    rng, mask = random_state(1)[0], np.zeros(82, np.uint8)
    states = []
    for game in range(games):
        state = GO.initial_state(GoOptions(9))
        for _ in range(game % 40):
            GO.legal(state, mask)
            mask[81] = 0
            if mask.any() and not is_over(state):
                GO.play(state, random_legal_action(mask, rng))
        states.append(state)
    return np.stack(states)


def _config(device: str, blocks: int, channels: int, games: int) -> Any:
    from agents.zero.config import ZeroConfig
    from core.config import RunConfig

    run = RunConfig(device=device, total_steps=1 << 40)
    return ZeroConfig(
        blocks=blocks, channels=channels, lanes=games, first_simulations=32, simulations=32, run=run
    )


def measure_self_play(seconds: float, device: str, blocks: int, channels: int, games: int) -> float:
    """Evaluations per second of self-play, learning left out."""
    from agents.zero.build import build

    config = _config(device, blocks, channels, games)
    with tempfile.TemporaryDirectory() as folder:
        on_lanes: Any = build(config, Path(folder), print).agent
        agent = on_lanes.agent
        step = agent.lanes.reset(1)
        evaluations, began = 0, 0.0
        ticks = 0
        while ticks < 3 or time.perf_counter() - began < seconds:
            if ticks == 2:  # two ticks compile and warm up
                evaluations, began = agent.boards[0].search.evaluations, time.perf_counter()
            actions = agent.act(step, 0)
            agent.lanes.send(actions)
            outcome = agent.lanes.receive()
            agent.observe(step, actions, outcome)
            step = outcome
            ticks += 1
        return float(
            (agent.boards[0].search.evaluations - evaluations) / (time.perf_counter() - began)
        )


def measure_network(seconds: float, device: str, blocks: int, channels: int, games: int) -> float:
    """Evaluations per second of full batches and nothing else, in the arithmetic of self-play."""
    from agents.zero.build import build

    config = _config(device, blocks, channels, games)
    with tempfile.TemporaryDirectory() as folder:
        on_lanes: Any = build(config, Path(folder), print).agent
        agent = on_lanes.agent
        evaluator = agent.evaluator
        planes = np.random.default_rng(0).integers(0, 2, (games, 17, 9, 9), dtype=np.uint8)
        handicap = np.zeros(games, np.int32)
        for _ in range(5):
            evaluator.begin(planes, handicap)()
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds:
            evaluator.begin(planes, handicap)()
            done += games
        return done / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
