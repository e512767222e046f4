"""Does a network know what a small board is worth? Go under every komi, against itself.

On a solved board Black should win every game under komi half a point below the known value, and
White every game half a point above; the network's own value should fall from 1 to -1 in between.
Known by area scoring: 5x5 25 (van der Werf et al. 2003), 7x7 9 (Li Zhe 2015, not a proof).

    tengen study komi-sweep pretrained/zero-go5
    tengen study komi-sweep RUN --games 8 --reach 2 --out runs/studies/komi-7

A cell is all games under one komi. Legend: G games.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from core.config import free
from core.errors import UserError
from envs.games.options import BOARD_VALUES
from studies.grid import Cell, Found, key, run_grid

TITLE = "Go under every komi"


@dataclass(frozen=True)
class Options:
    """Games of a network of Zero against itself under a range of komi."""

    run: str = field(default="pretrained/zero-go5", metadata={"positional": True})
    """Folder of a run of zero on Go."""
    size: int = free(0, at_least=0)
    """Lines of the board, of a run that learned several sizes; 0: the largest."""
    quick: bool = False
    """4 games for each of 5 values of komi, 16 simulations: a minute."""
    known: float = free(-1.0)
    """What the board is worth to Black; -1: as published."""
    reach: float = free(5.0, at_least=0.5)
    """Points of komi to either side of it."""
    games: int = free(32, at_least=1)
    """Games for each komi."""
    simulations: int = free(64, at_least=1)
    """Simulations a move."""
    processes: int = free(0, at_least=0)
    """Values of komi at once; 0: one on each core."""
    out: str = "runs/studies/komi-sweep"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All games, or what is missing of them; what they say together.

    Raises:
        UserError: there is no such run on Go, or nothing is known of its board.
    """
    from core.files.tensor_file import digest
    from studies.zero_networks import load_run

    trained = load_run(Path(options.run), "go", options.size)
    size = trained.options.size
    known = options.known if options.known >= 0 else BOARD_VALUES.get(size)
    if known is None:
        raise UserError(f"nobody says what {size}x{size} is worth: give --known POINTS")
    quick = replace(options, reach=1.0, games=4, simulations=16) if options.quick else options
    steps = round(2 * quick.reach)
    shared = {"run": options.run, "size": size, "agent_steps": trained.step,
              "weights": digest(trained.weights), "games": quick.games,
              "simulations": quick.simulations}  # fmt: skip
    cells = [{"komi": known + step / 2, **shared} for step in range(-steps, steps + 1)]
    found = run_grid(compute, cells, Path(options.out), options.processes)
    rows = [{"komi": cell["komi"], **found[key(cell)]} for cell in cells]
    return {
        "size": size,
        "known": known,
        "agent_steps": trained.step,
        "games_for_each_komi": quick.games,
        "simulations": quick.simulations,
        "rows": rows,
        "black_under": _at(rows, known - 0.5)["black_score"],
        "white_over": 1 - _at(rows, known + 0.5)["black_score"],
    }


def _at(rows: list[dict[str, Any]], komi: float) -> dict[str, Any]:
    return next(row for row in rows if row["komi"] == komi)


def compute(cell: Cell) -> Found:
    """Play all games under one komi side by side, varied by Gumbel noise; and what the search says
    of the empty board to Black."""
    import numpy as np

    from envs.games.state import OUTCOME, UNDECIDED
    from studies.zero_networks import load_run

    trained = load_run(Path(cell["run"]), "go", cell["size"])
    start = trained.game.initial_state(replace(trained.options, komi=cell["komi"]))
    states = np.repeat(start[None], cell["games"], axis=0)  # [G, S]
    search = trained.search(trained.weights, cell["games"], cell["simulations"])
    while (active := states[:, OUTCOME] == UNDECIDED).any():
        chosen = search.run(states, cell["simulations"], active=active, noise=True)
        for game in np.flatnonzero(active):
            trained.game.play(states[game], chosen.actions[game])
    margins = [trained.game.score(state) / 2 + cell["komi"] for state in states]
    alone = trained.search(trained.weights, 1, cell["simulations"])
    value = alone.run(start[None], cell["simulations"]).root_values[0]
    return {
        "black_score": float((states[:, OUTCOME].mean() + 1) / 2),
        "mean_margin": float(np.mean(margins)),
        "value": float(value),
    }


def page(results: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    size, known = results["size"], results["known"]
    lines = [
        f"Go on {size}x{size}, {results['games_for_each_komi']} games for each komi, "
        f"{results['simulations']} simulations a move, network of {results['agent_steps']:,} "
        f"steps.", "", "| komi | Black scores | mean margin on the board | value |",
        "|---|---|---|---|",
    ]  # fmt: skip
    lines += [
        f"| {row['komi']:g} | {row['black_score']:.0%} | {row['mean_margin']:+.1f} | "
        f"{row['value']:+.2f} |"
        for row in results["rows"]
    ]
    return [*lines, "", f"Of the games that perfect play wins, Black takes "
            f"{results['black_under']:.0%} with komi {known - 0.5:g} and White "
            f"{results['white_over']:.0%} with {known + 0.5:g}."]  # fmt: skip


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Black's score and the value against komi."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, (axes,) = new_figure(1, height=4.0)
    rows, known = results["rows"], results["known"]
    komis = [row["komi"] for row in rows]
    shares = [100 * row["black_score"] for row in rows]
    values = [50 * (row["value"] + 1) for row in rows]
    axes.plot(komis, shares, "o-", color=COLOURS[0], label="games won by Black, against itself")
    axes.plot(komis, values, "s--", color=COLOURS[1], label="value of the empty board")
    axes.axvline(known, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)))
    axes.annotate(f"known value {known:g}", (known, 50), fontsize=8, color="#555555")
    size = results["size"]
    axes.set(title=f"Go on {size}x{size}", xlabel="komi", ylabel="Black's chance, %")
    axes.legend(frameon=False, fontsize=9)
    save_figure(figure, path)
