"""Does a network know what a small board is worth? Go under every komi, against itself.

On a solved board Black should win every game under komi half a point below the known value, and
White every game half a point above; the network's own value should fall from 1 to -1 in between.
Known by area scoring: 5x5 25 (van der Werf et al. 2003), 7x7 9 (Li Zhe 2015, not a proof).

    python -m studies.komi_sweep runs/zero/go-5/RUN --known 25

Legend: K values of komi, G games.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

if not __package__:  # started as a file: its folder, not the repository, is first on the path
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from agents.zero.evaluator import NetworkEvaluator
from core.machine.environment_facts import usable_cores
from core.report.plots import COLOURS
from envs.games.state import OUTCOME, UNDECIDED
from search.tree_search import TreeSearch
from studies.zero_networks import TrainedZero, load_run, write_results


@dataclass(frozen=True)
class Options:
    """Games of a network against itself under a range of komi."""

    run: Annotated[Path, tyro.conf.Positional]
    """Folder of a run of zero on Go."""
    known: float = 25.0
    """What the board is worth to Black."""
    reach: float = 5.0
    """Points of komi to either side of it."""
    games: int = 32
    """Games for each komi."""
    simulations: int = 64
    """Simulations a move."""
    out: Path = Path("runs/studies/komi-sweep.json")
    """Where the results go; the picture lies beside it."""


def main(argv: Sequence[str] | None = None) -> None:
    """Play, print, write, draw."""
    options = tyro.cli(Options, args=argv, description=Options.__doc__)
    trained = load_run(options.run, "go")
    komis = np.arange(options.known - options.reach, options.known + options.reach + 0.25, 0.5)
    evaluator = trained.evaluator(trained.weights)
    scores, margins = play(trained, evaluator, komis, options)
    values = root_values(trained, evaluator, komis, options.simulations)
    rows = [
        {
            "komi": float(komi),
            "black_score": float(score),
            "mean_margin": float(margin),
            "value": float(value),
        }
        for komi, score, margin, value in zip(komis, scores, margins, values, strict=True)
    ]
    for row in rows:
        print(
            f"komi {row['komi']:5.1f}   Black scores {row['black_score']:4.0%}   "
            f"mean margin on the board {row['mean_margin']:+5.1f}   value {row['value']:+.2f}"
        )
    below, above = (
        next(row["black_score"] for row in rows if row["komi"] == options.known + half)
        for half in (-0.5, 0.5)
    )
    print(
        f"perfect-play score: Black {below:.0%} under, White {1 - above:.0%} over {options.known}"
    )
    size = trained.config.size
    facts = {"size": size, "known": options.known, "agent_steps": trained.step}
    settings = {"games_for_each_komi": options.games, "simulations": options.simulations}
    write_results(options.out, {**facts, **settings, "rows": rows})
    draw(rows, options.known, size, options.out.with_suffix(".png"))


def _positions(trained: TrainedZero, komis: np.ndarray, games: int) -> np.ndarray:
    """Empty boards, `games` for each komi, int32 [K * games, S]."""
    boards = [
        trained.game.initial_state(replace(trained.options, komi=float(komi))) for komi in komis
    ]
    return np.repeat(np.stack(boards), games, axis=0)


def _search(
    trained: TrainedZero, evaluator: NetworkEvaluator, games: int, simulations: int
) -> TreeSearch:
    return TreeSearch(
        trained.game, trained.options, games, trained.config.search, evaluator,
        max_simulations=simulations, threads=usable_cores(), seed=1,
    )  # fmt: skip


def play(
    trained: TrainedZero, evaluator: NetworkEvaluator, komis: np.ndarray, options: Options
) -> tuple[np.ndarray, np.ndarray]:
    """Play all games at once, varied by Gumbel noise.

    Returns:
        Black's share of points [K], and Black's mean margin on the board [K].
    """
    states = _positions(trained, komis, options.games)
    search = _search(trained, evaluator, len(states), options.simulations)
    while (active := states[:, OUTCOME] == UNDECIDED).any():
        chosen = search.run(states, options.simulations, active=active, noise=True)
        for game in np.flatnonzero(active):
            trained.game.play(states[game], chosen.actions[game])
    search.close()
    outcomes = states[:, OUTCOME].reshape(len(komis), options.games)
    margins = np.array([trained.game.score(state) / 2 for state in states])
    on_board = margins.reshape(outcomes.shape) + komis[:, None]
    return (outcomes.mean(axis=1) + 1) / 2, on_board.mean(axis=1)


def root_values(
    trained: TrainedZero, evaluator: NetworkEvaluator, komis: np.ndarray, simulations: int
) -> np.ndarray:
    """What the search says of the empty board to Black, [K]."""
    states = _positions(trained, komis, 1)
    search = _search(trained, evaluator, len(states), simulations)
    values: np.ndarray = search.run(states, simulations).root_values
    search.close()
    return values


def draw(rows: Sequence[dict[str, Any]], known: float, size: int, path: Path) -> None:
    """Black's score and the value against komi."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(8, 4), dpi=120, layout="constrained")
    komis = [row["komi"] for row in rows]
    shares = [100 * row["black_score"] for row in rows]
    values = [50 * (row["value"] + 1) for row in rows]
    axes.plot(komis, shares, "o-", color=COLOURS[0], label="games won by Black, against itself")
    axes.plot(komis, values, "s--", color=COLOURS[1], label="value of the empty board")
    axes.axvline(known, color="#777777", linewidth=0.9, linestyle=(0, (4, 3)))
    axes.annotate(f"known value {known:g}", (known, 50), fontsize=8, color="#555555")
    axes.set(title=f"Go on {size}x{size}", xlabel="komi", ylabel="Black's chance, %")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=9)
    figure.savefig(path)
    pyplot.close(figure)


if __name__ == "__main__":
    main()
