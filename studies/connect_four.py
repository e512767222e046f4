"""How often does Zero choose a right move in Connect Four? Against an exact solver.

Random positions are solved by bitbully, which we did not write (`pip install bitbully
bitbully-databases`). A move is right if it keeps the value of the position: a win stays a win, a
draw a draw. Positions in which every move does are left out. Every network of the run's pool is
asked, so the result stands against the number of steps.

    python -m studies.connect_four runs/zero/connect-four/RUN

Legend: G positions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from core.errors import UserError
from core.machine.environment_facts import usable_cores
from envs.games.registry import load_game
from envs.games.session import Session
from envs.games.state import OUTCOME, UNDECIDED
from search.tree_search import TreeSearch
from search.uct import UctOptions, UctPlayer
from studies.zero_networks import TrainedZero, load_run, write_results


@dataclass(frozen=True)
class Options:
    """Right moves of a run's networks in solved positions."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run of zero on connect-four."""
    positions: int = 2_000
    """Random positions in which moves differ."""
    least_plies: int = 8
    """Stones on the board, at least."""
    most_plies: int = 30
    """Stones on the board, at most."""
    simulations: tuple[int, ...] = (1, 64, 400)
    """Simulations a move; 1 is the bare network."""
    uct_playouts: int = 1_000
    """Playouts of the tree search without a network that stands beside it."""
    seed: int = 1
    out: Path = Path("runs/studies/connect-four.json")
    """Where the results go."""


@dataclass(frozen=True)
class Solved:
    """Positions and which of their moves are right."""

    states: np.ndarray
    """int32 [G, S]"""
    right: np.ndarray
    """bool [G, 7]"""


def main(argv: Sequence[str] | None = None) -> None:
    """Solve, ask, print, write."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    trained = load_run(options.run, "connect-four")
    solved = solve(options)
    chance = float((solved.right.sum(axis=1) / _legal(solved.states).sum(axis=1)).mean())
    uct = uct_score(solved, options.uct_playouts)
    print(f"{len(solved.right)} positions; a random move is right in {chance:.1%}, ", end="")
    print(f"UCT with {options.uct_playouts:,} playouts in {uct:.1%}")
    networks = trained.pool | {trained.step: trained.weights}
    rows = []
    for step, weights in sorted(networks.items()):
        scores = {n: score(trained, weights, solved, n) for n in options.simulations}
        rows.append({"agent_steps": step, "right": scores})
        print(f"{step:>10,} steps   " + "   ".join(f"{n}: {s:.1%}" for n, s in scores.items()))
    write_results(
        options.out,
        {"positions": len(solved.right), "random": chance, f"uct:{options.uct_playouts}": uct,
         "rows": rows},
    )  # fmt: skip


def solve(options: Options) -> Solved:
    """Random positions, solved. Raises UserError where the solver is not installed."""
    try:
        from bitbully import BitBully, Board
    except ImportError as error:
        raise UserError("this study needs: pip install bitbully bitbully-databases") from error
    game, solver = load_game("connect-four"), BitBully()
    rng = np.random.default_rng(options.seed)
    states: list[np.ndarray] = []
    right: list[list[bool]] = []
    while len(states) < options.positions:
        plies = int(rng.integers(options.least_plies, options.most_plies + 1))
        session, board = Session(game, _options()), Board()
        for _ in range(plies):
            move = int(rng.choice(np.flatnonzero(session.legal_mask())))
            session.play(move)
            board.play(move)
            if session.is_over:
                break
        if session.is_over:
            continue
        values = {move: int(np.sign(s)) for move, s in solver.score_all_moves(board).items()}
        best = max(values.values())
        if min(values.values()) < best:
            states.append(session.state.copy())
            right.append([values.get(move, -2) == best for move in range(7)])
    return Solved(np.stack(states), np.array(right))


def _options() -> Any:
    from envs.games.options import ConnectFourOptions

    return ConnectFourOptions()


def _legal(states: np.ndarray) -> np.ndarray:
    """uint8 [G, 7]"""
    game = load_game("connect-four")
    masks = np.zeros((len(states), 7), np.uint8)
    for state, mask in zip(states, masks, strict=True):
        assert state[OUTCOME] == UNDECIDED
        game.legal(state, mask)
    return masks


def score(trained: TrainedZero, weights: dict[str, Any], solved: Solved, simulations: int) -> float:
    """Share of positions in which a network's search chooses a right move."""
    games = len(solved.states)
    search = TreeSearch(
        trained.game, trained.options, games, trained.config.search, trained.evaluator(weights),
        max_simulations=simulations, threads=usable_cores(), seed=1,
    )  # fmt: skip
    chosen = search.run(solved.states, simulations).actions
    search.close()
    return float(solved.right[np.arange(games), chosen].mean())


def uct_score(solved: Solved, playouts: int) -> float:
    """The same of tree search with random playouts."""
    player = UctPlayer(UctOptions(playouts=playouts, seed=1))
    game, options = load_game("connect-four"), _options()
    chosen = [player.judge(Session(game, options, state)).action for state in solved.states]
    return float(solved.right[np.arange(len(chosen)), chosen].mean())


if __name__ == "__main__":
    main()
