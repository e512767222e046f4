"""What is each of Zero's switches worth? Trainings with one changed, and games of all networks.

What later systems added to AlphaGo Zero is on in the first training; each of the others goes
without one of them. All have about the same number of simulations to spend, so that who searches
less at a move plays more moves (what soft resignation saves is not counted). Then every network
plays every other with the same search, and Bradley and Terry's ratings of all games at once say how
far apart they are. Seeds are rated one by one: a difference has to be larger than the spread
between them.

    tengen study zero-switches
    tengen study zero-switches --only "no random komi, puct root" --seeds 4

A cell is a training, which leaves its network in FOLDER/networks, or the games of two networks.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import free
from core.errors import UserError
from studies.grid import Cell, Found, key, run_grid

if TYPE_CHECKING:
    import torch

    from agents.zero.assess import NetworkSide
    from agents.zero.config import ZeroConfig

TITLE = "Zero's switches"
ALL: Mapping[str, Any] = {
    "blocks": 3,
    "channels": 32,
    "full_share": 0.5,
    "first_simulations": 4,
    "simulations": 32,
    "first_rows": 3_000,
    "soft_resign_below": -0.9,
}
"""Beside the preset go7 and the defaults of the options."""
WITHOUT: Mapping[str, Mapping[str, Any]] = {
    "all": {},
    "puct root": {"search": {"root": "puct"}},
    "puct root, no forced playouts": {"search": {"root": "puct", "forced_playouts": 0.0}},
    "no quick searches": {"full_share": 1.0},
    "no progressive simulations": {"first_simulations": 32},
    "no owner, no margin": {"ownership_weight": 0.0, "margin_weight": 0.0},
    "no global pooling": {"global_pooling": False},
    "no surprise weighting": {"surprise_share": 0.0},
    "no random komi": {"komi_spread": 0.0},
    "no drawn openings": {"opening_moves": 0.0},
    "no averaged weights": {"average_decay": 0.0},
    "no symmetries": {"augment": False, "search": {"symmetries": False}},
    "no soft resignation": {"soft_resign_below": -2.0},
    "passes from the start": {"passes_from": 0},
}
"""What each training has otherwise."""


@dataclass(frozen=True)
class Options:
    """Small trainings of Zero, each without one of its switches, rated by games."""

    only: str = ""
    """Some of the changes, with commas between, beside 'all'; empty: all of them."""
    quick: bool = False
    """Three changes, one seed, a network of one block on 5x5: a minute."""
    size: int = free(7, at_least=3, at_most=9)
    """Lines of the board."""
    budget: int = free(600_000, at_least=1_000)
    """Simulations of each training."""
    seeds: int = free(2, at_least=1)
    """Trainings of each kind."""
    games: int = free(8, at_least=2)
    """Games of each pair of networks; every opening is played twice."""
    simulations: int = free(32, at_least=1)
    """Simulations a move of these games."""
    processes: int = free(0, at_least=0)
    """Cells at once; 0: one on each core."""
    out: str = "runs/studies/zero-switches"
    """Folder of journal, networks, results.json, figure.png and page.md."""

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        if self.games % 2:
            raise UserError(f"--games must be even, got {self.games}: openings are played twice")
        self.kinds()

    def kinds(self) -> list[str]:
        """The trainings, 'all' first. Raises UserError where --only names none of them."""
        if not self.only:
            return list(WITHOUT)[: 3 if self.quick else None]
        named, rest = set(), self.only
        for kind in sorted(list(WITHOUT)[1:], key=len, reverse=True):  # names have commas, too
            if kind in rest:
                named.add(kind)
                rest = rest.replace(kind, "")
        if unknown := rest.strip(" ,"):
            raise UserError(f"--only {unknown}: it takes some of {'; '.join(list(WITHOUT)[1:])}")
        return [kind for kind in WITHOUT if kind == "all" or kind in named]


def run(options: Options) -> dict[str, Any]:
    """Train, play, rate; or what is missing of it.

    Raises:
        UserError: a network that was trained is no longer there.
    """
    if options.quick:
        options = replace(options, size=5, budget=min(options.budget, 60_000), seeds=1, games=8,
                          simulations=8)  # fmt: skip
    folder = Path(options.out)
    blocks = 1 if options.quick else ALL["blocks"]
    trainings: list[Cell] = [
        {"kind": kind, "seed": seed, "size": options.size, "budget": options.budget,
         "blocks": blocks, "changes": WITHOUT[kind], "others": ALL}
        for seed in range(1, options.seeds + 1)
        for kind in options.kinds()
    ]  # fmt: skip
    trained = run_grid(partial(train, folder=str(folder)), trainings, folder, options.processes)
    players = {_name(cell): {**cell, "weights": trained[key(cell)]["weights"]}
               for cell in trainings}  # fmt: skip
    pairs: list[Cell] = [
        {"first": players[first], "second": players[second], "games": options.games,
         "simulations": options.simulations}
        for first, second in combinations(players, 2)
    ]  # fmt: skip
    played = run_grid(partial(play, folder=str(folder)), pairs, folder, options.processes)
    results = [{"first": _name(cell["first"]), "second": _name(cell["second"]),
                "points": played[key(cell)]["points"], "games": cell["games"]}
               for cell in pairs]  # fmt: skip
    return {
        "size": options.size,
        "budget": options.budget,
        "games": (len(players) - 1) * options.games,
        "simulations": options.simulations,
        "rows": _rows(options, trainings, trained, results),
    }


def _name(cell: Cell) -> str:
    return f"{cell['kind']}, seed {cell['seed']}"


def _rows(
    options: Options,
    trainings: Sequence[Cell],
    trained: Mapping[str, Found],
    results: list[dict[str, Any]],
) -> list[dict[str, Any]]:
    """Of each kind: the ratings of its seeds, 0 for the mean of 'all'; what it played, and how
    long that took. The best first."""
    from agents.zero.assess import rate

    ratings = rate(results, [_name(cell) for cell in trainings])
    rows = []
    for kind in options.kinds():
        own = [cell for cell in trainings if cell["kind"] == kind]
        found = [trained[key(cell)] for cell in own]
        rows.append({
            "kind": kind,
            "elo": [ratings[_name(cell)][0] for cell in own],
            "interval": max(ratings[_name(cell)][1] for cell in trainings),
            "moves": sum(f["moves"] for f in found) / len(found),
            "processor_seconds": sum(f["processor_seconds"] for f in found) / len(found),
        })  # fmt: skip
    zero = _mean(rows[0]["elo"])
    for row in rows:
        row["elo"] = [elo - zero for elo in row["elo"]]
    return sorted(rows, key=lambda row: -_mean(row["elo"]))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


# ------------------------------------------------------------------ cells


def config_of(cell: Cell) -> ZeroConfig:
    """The options of a training: as many moves as its simulations are enough for."""
    from agents.zero.config import PRESETS, ZeroConfig
    from core.config import resolve
    from envs.games.options import BOARD_VALUES

    size = cell["size"]
    passes = PRESETS["go7"][1]["passes_from"] * size * size // 49
    board = {"size": size, "komi": BOARD_VALUES.get(size, 7.0), "passes_from": passes}
    tree = {**PRESETS["go7"][1], **cell["others"], **board, "blocks": cell["blocks"],
            **cell["changes"]}  # fmt: skip
    config: ZeroConfig = resolve(ZeroConfig, {**tree, "run": {"seed": cell["seed"]}})
    moves = math.ceil(cell["budget"] / mean_simulations(config))
    config = replace(config, run=replace(config.run, total_steps=moves))
    return replace(config, first_rows=min(config.first_rows, moves // 10))


def mean_simulations(config: ZeroConfig) -> float:
    """Of a move, over the whole run: full searches double at equal distances."""
    doublings = int(math.log2(config.simulations / config.first_simulations))
    full = [config.first_simulations * 2**k for k in range(doublings + 1)]
    share = config.full_share
    return share * _mean(full) + (1 - share) * config.quick_simulations


def train(cell: Cell, folder: str) -> Found:
    """Learn by self-play, and keep the network."""
    import tempfile
    import time

    from agents.zero.build import build
    from core.files import atomic
    from core.files.tensor_file import chunks, digest
    from core.learner import Arithmetic

    config = replace(config_of(cell), tree_threads=1)
    with tempfile.TemporaryDirectory() as games:
        began = time.process_time()
        built = build(config, Path(games), lambda line: None, Arithmetic())
        moves = 0
        while moves < config.run.total_steps:
            moves += built.agent.advance(moves).agent_steps
        spent = time.process_time() - began
        weights = {name: tensor.detach().clone()
                   for name, tensor in built.agent.state_dict()["network"].items()}  # fmt: skip
        built.agent.close()
    atomic.make_folder(Path(folder) / "networks")
    atomic.replace_file(_path(folder, digest(weights)), chunks(weights))
    return {"weights": digest(weights), "moves": moves, "processor_seconds": round(spent, 1)}


def _path(folder: str, weights: str) -> Path:
    return Path(folder) / "networks" / f"{weights}.safetensors"


def play(cell: Cell, folder: str) -> Found:
    """Points of the first of two networks."""
    from agents.zero.assess import play_match
    from envs.games.registry import load_game

    game, options = load_game("go"), config_of(cell["first"]).boards()[-1]
    first, second = (_side(cell[place], cell, folder) for place in ("first", "second"))
    results = play_match(game, options, first, second, cell["games"], 1, stop=lambda: False)
    assert results is not None
    return {"points": float((results + 1).sum() / 2)}


def _side(player: Cell, cell: Cell, folder: str) -> NetworkSide:
    """A network with the search that all of them play with."""
    from agents.zero.assess import NetworkSide
    from agents.zero.build import build_network
    from agents.zero.evaluator import NetworkEvaluator
    from core.learner import Arithmetic, load_weights
    from envs.games.registry import load_game
    from search.config import SearchConfig

    config, game = config_of(player), load_game("go")
    network = build_network(config, game)
    load_weights(network, _weights(_path(folder, player["weights"])))
    evaluator = NetworkEvaluator(network, Arithmetic())
    return NetworkSide(game, config.boards()[-1], cell["games"], evaluator, SearchConfig(),
                       cell["simulations"], threads=1)  # fmt: skip


def _weights(path: Path) -> dict[str, torch.Tensor]:
    from core.files.tensor_file import TensorFileError, read

    try:
        return read(path)[0]
    except (OSError, TensorFileError) as error:
        raise UserError(
            f"{path}: {error}; remove the journal beside its folder, and it is trained anew"
        ) from None


# ------------------------------------------------------------------ what is shown


def page(results: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    rows, size = results["rows"], results["size"]
    lines = [
        f"Go on {size}x{size}, {results['budget']:,} simulations of self-play each, then "
        f"{results['games']} games of each network, {results['simulations']} simulations a move. "
        f"Elo, 0 for the mean of 'all'; between a network and the first, games alone leave "
        f"± {rows[0]['interval']:.0f} (95 %) at most.", "",
        "| without | Elo | of each seed | moves | processor seconds |", "|---|---|---|---|---|",
    ]  # fmt: skip
    return lines + [
        f"| {row['kind']} | {_mean(row['elo']):+.0f} | {', '.join(f'{e:+.0f}' for e in row['elo'])}"
        f" | {row['moves']:,.0f} | {row['processor_seconds']:.0f} |"
        for row in rows
    ]


def draw(results: Mapping[str, Any], path: Path) -> None:
    """A bar for each kind, a dot for each seed."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    figure, (axes,) = new_figure(1, height=1.0 + 0.3 * len(results["rows"]))
    rows = results["rows"][::-1]
    names = [row["kind"] for row in rows]
    axes.barh(names, [_mean(row["elo"]) for row in rows], color=COLOURS[0], alpha=0.6)
    for place, row in enumerate(rows):
        axes.plot(row["elo"], [place] * len(row["elo"]), "o", color=COLOURS[1], markersize=4)
    axes.axvline(0, color="#777777", linewidth=0.9)
    axes.set(title=TITLE, xlabel="Elo beside all switches on; dots: seeds")
    save_figure(figure, path)
