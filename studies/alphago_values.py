"""Who wins? The value network against averages over rollouts, by the number of moves played.

Silver et al. 2016, figure 2b: the mean squared error of the outcome of held-out games, one position
a game and stage, told by the value network and by the mean outcome of rollouts of the uniform
policy, of the rollout policy, of the supervised and of the reinforced policy. Errors go from 0 to
4; 1 is that of knowing nothing.

    tengen study alphago-values --folder runs/alphago
    tengen study alphago-values --folder runs/alphago --data GAMES.sgf --part all

A cell is a teller and some games; it is named by weights and games, not by where they lie.

Legend: B positions, N rollouts, S stages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from core.config import free
from core.errors import UserError
from studies.grid import Cell, Found, key, run_grid

TITLE = "AlphaGo's value network against rollouts"
TELLERS = {
    "value network": "value",
    "uniform rollouts": "",
    "rollout policy": "rollout",
    "supervised policy": "policy",
    "reinforced policy": "rl",
}
"""Who tells the outcome, and which part that needs."""
POLICIES = ("supervised policy", "reinforced policy")
GAMES_OF_A_CELL = 50
FEWEST_DRAWN = 5
"""Positions of a stage in the picture; the table has all."""


@dataclass(frozen=True)
class Options:
    """Errors of the value network and of rollouts by move number, with a picture."""

    folder: str = "runs/alphago"
    """Folder of tengen train alphago; runs named below stand in for those in it."""
    policy: str = ""
    """Run of go-policy, or what was exported of it."""
    rl: str = ""
    """Run of go-rl."""
    value: str = ""
    """Run of go-value."""
    rollout: str = ""
    """Weights of a rollout policy; else those in the box."""
    data: str = ""
    """Games that are told: SGF file or folder, or games that go-value made; else the games of the
    policy."""
    part: Literal["held out", "all"] = "held out"
    """Games held out when such games were learned from, or all: of games that nobody learned."""
    games: int = free(500, at_least=1)
    """At the most."""
    stage: int = free(10, at_least=1)
    """Moves of a stage of the game."""
    rollouts: int = free(100, at_least=1)
    """N of the uniform and the rollout policy."""
    policy_rollouts: int = free(100, at_least=1)
    """N of the networks, which take a forward pass a move."""
    komi: float = 7.0
    """Points for White in rollouts, and in games that go-value made."""
    quick: bool = False
    """40 games at the most, 16 rollouts: two minutes."""
    processes: int = free(0, at_least=0)
    """Cells at once; 0: one on each core."""
    device: str = "cpu"
    """Where the networks are: cpu or cuda."""
    seed: int = free(1, at_least=0)
    out: str = "runs/studies/alphago-values"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All cells, or what is missing of them; errors by stage and by number of rollouts."""
    from core.machine.probe import resolve_device
    from studies.alphago_ablation import opened, runs_of

    runs = runs_of(options)
    resolve_device(options.device)
    size, digests = opened(runs)
    games = min(40, options.games) if options.quick else options.games
    source: Cell = {"size": size, "komi": options.komi, "part": options.part, "seed": options.seed,
                    "stage": options.stage, "games": games}  # fmt: skip
    data = options.data or games_of(runs["policy"])
    chosen = held_out(data, source)
    cells = cells_of(options, digests, {**source, "data": chosen.digest}, chosen.games)
    compute = partial(tell, runs={name: str(path) for name, path in runs.items()}, data=data,
                      device=options.device)  # fmt: skip
    found = run_grid(compute, cells, Path(options.out), options.processes)
    tellers = {name: joined([found[key(c)] for c in cells if c["teller"] == name], options.stage)
               for name in TELLERS}  # fmt: skip
    return {"size": size, "games": chosen.games, "positions": len(chosen.numbers),
            "stage": options.stage, "tellers": tellers}  # fmt: skip


def games_of(policy: Path) -> str:
    """The games that a run of go-policy learned from, some of them held out. Raises UserError."""
    import tomllib

    from core.files.run_folder import RunFolder

    data = tomllib.loads(RunFolder.open(policy).read_config()).get("data", "")
    if not data or not Path(data).exists():
        raise UserError(f"the games of {policy} are not at {data!r} any more: name some by --data")
    return str(data)


def cells_of(
    options: Options, weights: Mapping[str, str], source: Mapping[str, Any], games: int
) -> list[Cell]:
    """The grid: each teller with each some games."""
    cells: list[Cell] = []
    for teller, part in TELLERS.items():
        count = options.policy_rollouts if teller in POLICIES else options.rollouts
        count = min(count, 16) if options.quick else count
        count = 0 if teller == "value network" else count
        cells += [{"teller": teller, "weights": weights.get(part, ""), "rollouts": count,
                   "begin": begin, **source}
                  for begin in range(0, games, GAMES_OF_A_CELL)]  # fmt: skip
    return cells


# ----------------------------------------------------------------------------- positions


@dataclass(frozen=True)
class Chosen:
    """Positions whose outcome is to be told."""

    positions: Any
    """agents.alphago.positions.Positions of all games."""
    numbers: Any
    """Of the chosen ones, int64 [B]."""
    places: Any
    """Of their games among the chosen games, int64 [B]."""
    games: int
    digest: str
    """Names games and choice."""


def held_out(data: str, source: Mapping[str, Any]) -> Chosen:
    """One position of each stage of each game. Raises UserError where no game is left."""
    import hashlib

    import numpy as np

    from agents.alphago.positions import TRAINING
    from agents.alphago.value import first_decided, positions_of
    from agents.alphago.value_config import GoValueConfig
    from agents.alphago.value_games import chunk_files
    from envs.games.go.game import GO
    from envs.games.options import GoOptions

    config = GoValueConfig(data=data, games=1 << 40, size=source["size"], komi=source["komi"])
    positions, one = positions_of(config)
    # Files keep no komi; rollouts are counted by that which was asked for.
    board = GoOptions(size=source["size"], komi=source["komi"], rules="chinese")
    positions.start = GO.initial_state(board)
    made = bool(chunk_files(Path(data)))
    wanted = np.ones(len(positions.parts), np.bool_)
    if not made:
        wanted &= positions.results != 0  # may be unknown
    if source["part"] == "held out":
        wanted &= positions.parts != TRAINING
    # Earlier moves of games made here are another policy's, or at random.
    first = first_decided(positions, one) if made else positions.starts[:-1]
    random = np.random.default_rng(source["seed"])
    chosen = np.sort(random.permutation(np.flatnonzero(wanted))[: source["games"]])
    numbers, places = [], []
    for place, game in enumerate(chosen.tolist()):
        every = np.arange(first[game], positions.starts[game + 1])
        every = every[positions.moves[every] != source["size"] ** 2]
        stages = (every - positions.starts[game]) // source["stage"]
        for stage in np.unique(stages).tolist():
            numbers.append(int(random.choice(every[stages == stage])))
            places.append(place)
    if not numbers:
        raise UserError(f"no game of {data} is left to tell: see --part, and --data")
    kept = np.array(numbers)
    digest = hashlib.sha256(str(positions.facts["digest"]).encode() + kept.tobytes())
    return Chosen(positions, kept, np.array(places), len(chosen), digest.hexdigest()[:12])


# ----------------------------------------------------------------------------- a cell


def tell(cell: Cell, runs: Mapping[str, str], data: str, device: str) -> Found:
    """Squared errors of a teller on a cell's positions.

    Args:
        cell: as `cells_of` makes it.
        runs: where each part is.
        data: where the games are.
        device: of the networks.
    """
    import time

    import numpy as np

    from studies.alphago_tellers import teller_of

    chosen = held_out(data, cell)
    if chosen.digest != cell["data"]:
        raise UserError(f"{data} has changed since the study began")
    end = cell["begin"] + GAMES_OF_A_CELL
    mine = chosen.numbers[(chosen.places >= cell["begin"]) & (chosen.places < end)]
    samples = chosen.positions.read(mine)
    games = np.searchsorted(chosen.positions.starts, mine, side="right") - 1
    moves = mine - chosen.positions.starts[games]
    random = np.random.default_rng([cell["seed"], cell["begin"]])
    teller = teller_of(cell, runs, device)
    began = time.perf_counter()
    told = teller(samples.states, random)  # [B, N]
    seconds = time.perf_counter() - began
    outcomes = samples.results.astype(np.float64)
    errors = {str(n): _rounded(errors_of(told, outcomes, n)) for n in counts_of(told.shape[1])}
    return {"moves": moves.tolist(), "errors": errors, "seconds": seconds}


def counts_of(most: int) -> list[int]:
    """Numbers of rollouts that are averaged over: 1, 2, 5, 10, 20, 50 ... and the most."""
    steps = [m * 10**e for e in range(8) for m in (1, 2, 5)]
    return sorted({n for n in steps if n < most} | {most})


def errors_of(told: Any, outcomes: Any, n: int) -> Any:
    """Squared error of the mean of n tellings, float64 [B], averaged over disjoint sets of them.

    Args:
        told: outcomes as told, float [B, N].
        outcomes: the true ones, float64 [B].
        n: how many are averaged, at most N.
    """
    sets = told.shape[1] // n
    means = told[:, : sets * n].reshape(len(told), sets, n).mean(axis=2)
    return ((means - outcomes[:, None]) ** 2).mean(axis=1)


def _rounded(errors: Any) -> list[float]:
    return [round(float(error), 6) for error in errors]


# ----------------------------------------------------------------------------- what was found


def joined(found: Sequence[Found], stage: int) -> dict[str, Any]:
    """Errors of a teller by stage, with the most rollouts, and over all stages by their number."""
    moves = [move for part in found for move in part["moves"]]
    counts = sorted(map(int, found[0]["errors"]))
    errors = {n: [e for part in found for e in part["errors"][str(n)]] for n in counts}
    stages = []
    for number in sorted({move // stage for move in moves}):
        rows = [e for move, e in zip(moves, errors[counts[-1]], strict=True)
                if move // stage == number]  # fmt: skip
        mean, spread = mean_and_interval(rows)
        stages.append({"move": (number + 0.5) * stage, "positions": len(rows), "error": mean,
                       "interval": spread})  # fmt: skip
    seconds = sum(part["seconds"] for part in found)
    return {"rollouts": {str(n): sum(errors[n]) / len(moves) for n in counts}, "stages": stages,
            "milliseconds": 1000 * seconds / len(moves)}  # fmt: skip


def mean_and_interval(values: Sequence[float]) -> tuple[float, float]:
    """Mean, and the half width of its normal 95 % interval; of one value there is none."""
    mean = sum(values) / len(values)
    if len(values) < 2:
        return mean, math.nan
    variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return mean, 1.96 * math.sqrt(variance / len(values))


def page(results: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    lines = [f"{results['positions']:,} positions of {results['games']:,} games, one a stage.", ""]
    lines += ["| told by | mean squared error | milliseconds a position |", "|---|---|---|"]
    for name, teller in results["tellers"].items():
        for count, error in teller["rollouts"].items():
            most = list(teller["rollouts"])[-1]
            label = name if name == "value network" else f"{count} x {name}"
            spent = teller["milliseconds"] * int(count) / int(most)
            lines.append(f"| {label} | {error:.3f} | {spent:.3g} |")
    names = list(results["tellers"])
    lines += ["", f"| moves | positions | {' | '.join(names)} |", "|---" * (2 + len(names)) + "|"]
    half = results["stage"] / 2
    for row in zip(*(results["tellers"][name]["stages"] for name in names), strict=True):
        move = row[0]["move"]
        told = " | ".join(_written(cell) for cell in row)
        lines.append(f"| {move - half:.0f} to {move + half - 1:.0f} | {row[0]['positions']} | "
                     f"{told} |")  # fmt: skip
    return lines


def _written(cell: Mapping[str, Any]) -> str:
    spread = f" ± {cell['interval']:.3f}" if cell["positions"] > 1 else ""
    return f"{cell['error']:.3f}{spread}"


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Error against move number, and against the number of rollouts."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, (by_move, by_count) = new_figure(2, width=10.0, height=4.0)
    for colour, (name, teller) in zip(COLOURS, results["tellers"].items(), strict=False):
        rows = [row for row in teller["stages"] if row["positions"] >= FEWEST_DRAWN]
        moves = [row["move"] for row in rows]
        most = list(teller["rollouts"])[-1]
        label = name if name == "value network" else f"{name}, {most} rollouts"
        by_move.plot(moves, [row["error"] for row in rows], "o-", color=colour, label=label,
                     markersize=3)  # fmt: skip
        by_move.fill_between(moves, [row["error"] - row["interval"] for row in rows],
                             [row["error"] + row["interval"] for row in rows], color=colour,
                             alpha=0.12, linewidth=0)  # fmt: skip
        counts, errors = zip(*teller["rollouts"].items(), strict=True)
        if name == "value network":
            by_count.axhline(errors[-1], color=colour, label=name)
        else:
            by_count.plot([int(n) for n in counts], errors, "o-", color=colour, markersize=3)
    by_move.set(xlabel="moves played", ylabel="mean squared error of the outcome", ylim=(0, None))
    by_count.set(xlabel="rollouts", xscale="log", ylim=(0, None), title="all stages")
    ticks = sorted({int(n) for teller in results["tellers"].values() for n in teller["rollouts"]})
    by_count.set_xticks(ticks, [str(tick) for tick in ticks])
    by_count.minorticks_off()
    by_move.legend(frameon=False, fontsize=8)
    save_figure(figure, path)
