"""How often does Zero choose a right move in Connect Four? Against an exact solver.

Random positions are solved by bitbully, which we did not write (`pip install bitbully
bitbully-databases`). A move is right if it keeps the value of the position: a win stays a win, a
draw a draw. Positions in which every move does are left out. Every network of the run's pool is
asked, so the result stands against the number of steps.

    tengen study connect-four RUN
    tengen study connect-four --quick       # without a network: random moves and UCT

Cells: what is right in some positions; what a player chooses in all of them. Legend: G positions.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.config import free
from core.errors import UserError
from studies.grid import Cell, Found, key, run_grid

TITLE = "Right moves in Connect Four"
COLUMNS = 7
PART = 100
"""Positions that are solved as one cell."""


@dataclass(frozen=True)
class Options:
    """Right moves of a run's networks in positions that a solver solved."""

    run: str = field(default="", metadata={"positional": True})
    """Folder of a run of zero on connect-four; without: only random moves and UCT."""
    quick: bool = False
    """200 positions, 1 and 16 simulations: a minute."""
    positions: int = free(2_000, at_least=1)
    """Random positions; those in which every move is right do not count."""
    least_plies: int = free(8, at_least=0, at_most=41)
    """Stones on the board, at least."""
    most_plies: int = free(30, at_least=0, at_most=41)
    """Stones on the board, at most."""
    simulations: str = "1 64 400"
    """Simulations a move; 1 is nearly the bare network."""
    uct_playouts: int = free(1_000, at_least=1)
    """Playouts of the tree search without a network that stands beside it."""
    seed: int = free(1, at_least=0)
    processes: int = free(0, at_least=0)
    """Cells at once; 0: one on each core."""
    out: str = "runs/studies/connect-four"
    """Folder of journal, results.json, figure.png and page.md."""

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        counts = self.simulations.split()
        if not counts or not all(count.isdecimal() and int(count) for count in counts):
            raise UserError(f"--simulations are numbers such as '1 64', got {self.simulations!r}")
        if self.most_plies < self.least_plies:
            raise UserError(
                f"--most-plies must be at least the --least-plies of {self.least_plies}, got "
                f"{self.most_plies}"
            )


def run(options: Options) -> dict[str, Any]:
    """Solve, ask, compare.

    Raises:
        UserError: the solver is not installed, or there is no such run on Connect Four.
    """
    if importlib.util.find_spec("bitbully") is None:
        raise UserError("this study needs a solver: pip install bitbully bitbully-databases")
    count = 200 if options.quick else options.positions
    drawn = {"positions": count, "seed": options.seed, "least_plies": options.least_plies,
             "most_plies": options.most_plies}  # fmt: skip
    solving = [{"first": first, **drawn} for first in range(0, count, PART)]
    uct = {"uct": options.uct_playouts, **drawn}
    networks = network_cells(options, drawn)
    found = run_grid(compute, [*solving, uct, *networks], Path(options.out), options.processes)
    right: list[str] = [position for cell in solving for position in found[key(cell)]["right"]]
    differs = [g for g, moves in enumerate(right) if "0" in moves and "1" in moves]
    if not differs:
        raise UserError(f"in none of {count} positions do moves differ: ask for more --positions")

    def score(cell: Cell) -> float:
        chosen: list[int] = found[key(cell)]["chosen"]
        return sum(right[g][chosen[g]] == "1" for g in differs) / len(differs)

    rows: dict[int, dict[str, float]] = {}
    for cell in networks:
        rows.setdefault(cell["agent_steps"], {})[str(cell["simulations"])] = score(cell)
    shares = [right[g].count("1") / (COLUMNS - right[g].count(".")) for g in differs]
    return {
        "positions": len(differs),
        "random": sum(shares) / len(shares),
        f"uct:{options.uct_playouts}": score(uct),
        "rows": [{"agent_steps": step, "right": scores} for step, scores in rows.items()],
    }


def network_cells(options: Options, drawn: Cell) -> list[Cell]:
    """Every network of the run's pool and its newest, with every number of simulations."""
    if not options.run:
        return []
    from core.files.tensor_file import digest
    from studies.zero_networks import load_run

    counts = [1, 16] if options.quick else [int(count) for count in options.simulations.split()]
    trained = load_run(Path(options.run), "connect-four")
    return [
        {"run": options.run, "agent_steps": step, "weights": digest(trained.network(step)),
         "simulations": count, **drawn}
        for step in sorted({*trained.pool, trained.step})
        for count in counts
    ]  # fmt: skip


# ------------------------------------------------------------------ cells


def compute(cell: Cell) -> Found:
    """What is right in some positions, or what a player chooses in all."""
    if "first" in cell:
        return {"right": solved(cell)}
    if "uct" in cell:
        return {"chosen": chosen_by_uct(cell)}
    return {"chosen": chosen_by_network(cell)}


def positions(cell: Cell) -> Iterator[tuple[Any, list[int]]]:
    """The random positions, none of them over: sessions and the moves that led there."""
    import numpy as np

    from envs.games.options import ConnectFourOptions
    from envs.games.registry import load_game
    from envs.games.session import Session

    game, options = load_game("connect-four"), ConnectFourOptions()
    rng = np.random.default_rng(cell["seed"])
    found = 0
    while found < cell["positions"]:
        session, moves = Session(game, options), []
        for _ in range(int(rng.integers(cell["least_plies"], cell["most_plies"] + 1))):
            if not session.is_over:
                moves.append(int(rng.choice(np.flatnonzero(session.legal_mask()))))
                session.play(moves[-1])
        if not session.is_over:
            found += 1
            yield session, moves


def solved(cell: Cell) -> list[str]:
    """Of each column in turn: 1 right, 0 wrong, . full; for one part of the positions."""
    from bitbully import BitBully, Board

    solver, texts = BitBully(), []
    for _, moves in list(positions(cell))[cell["first"] : cell["first"] + PART]:
        board = Board()
        for move in moves:
            board.play(move)
        signs = {move: (s > 0) - (s < 0) for move, s in solver.score_all_moves(board).items()}
        best = max(signs.values())
        texts.append("".join(
            "." if move not in signs else str(int(signs[move] == best)) for move in range(COLUMNS)
        ))  # fmt: skip
    return texts


def chosen_by_uct(cell: Cell) -> list[int]:
    """The moves of tree search with random playouts."""
    from search.uct import UctOptions, UctPlayer

    player = UctPlayer(UctOptions(playouts=cell["uct"], seed=1, threads=1))
    return [player.judge(session).action for session, _ in positions(cell)]


def chosen_by_network(cell: Cell) -> list[int]:
    """The moves of a network with its search."""
    import numpy as np

    from studies.zero_networks import load_run

    trained = load_run(Path(cell["run"]), "connect-four")
    states = np.stack([session.state for session, _ in positions(cell)])  # [G, S]
    weights = trained.network(cell["agent_steps"])
    search = trained.search(weights, len(states), cell["simulations"])
    chosen: list[int] = search.run(states, cell["simulations"]).actions.tolist()
    return chosen


# ------------------------------------------------------------------ what is shown


def page(results: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    uct = next(name for name in results if name.startswith("uct:"))
    lines = [f"{results['positions']:,} positions in which moves differ. A random move is right in "
             f"{results['random']:.1%} of them, {uct} in {results[uct]:.1%}.", ""]  # fmt: skip
    if not results["rows"]:
        return lines[:1]
    counts = list(results["rows"][0]["right"])
    lines += ["Networks, by simulations a move:", "",
              "| steps | " + " | ".join(counts) + " |",
              "|---" * (1 + len(counts)) + "|"]  # fmt: skip
    return lines + [
        f"| {row['agent_steps']:,} | " + " | ".join(f"{row['right'][n]:.1%}" for n in counts) + " |"
        for row in results["rows"]
    ]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Right moves against steps, beside UCT and chance."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, (axes,) = new_figure(1, height=4.0)
    rows = results["rows"]
    for colour, n in zip(COLOURS, rows[0]["right"] if rows else [], strict=False):
        axes.plot([row["agent_steps"] for row in rows], [100 * row["right"][n] for row in rows],
                  "o-", color=colour, label=f"{n} simulations")  # fmt: skip
    uct = next(name for name in results if name.startswith("uct:"))
    for name, style in ((uct, "--"), ("random", ":")):
        axes.axhline(100 * results[name], color="#777777", linestyle=style, label=name)
    axes.set(title=TITLE, xlabel="moves of self-play", ylabel="right moves, %", ylim=(0, 101))
    axes.legend(frameon=False, fontsize=9)
    save_figure(figure, path)
