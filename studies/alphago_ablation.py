"""What each part of AlphaGo's search is worth: all of its variants play each other and anchors.

Silver et al. 2016, figure 4b and extended data table 7, on a board of one's own: the search with
the policy, the value network and rollouts, with each left out, and the policies without a search.
Variants and anchors (UCT, GNU Go, and what else is named) all play each other; their ratings are
those of Bradley and Terry of all games at once, with the first anchor at 0.

    tengen study alphago-ablation --folder runs/alphago
    tengen study alphago-ablation --folder runs/alphago --quick

A cell is some games of a pair, played side by side (`studies/side_by_side.py`). It is named by the
weights and not by where they lie, so a journal moves between machines.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from core.config import free
from core.errors import UserError
from studies.grid import Cell, Found, key, run_grid

TITLE = "AlphaGo's parts"
VARIANTS = {
    "policy": ("policy", "policy"),
    "reinforced policy": ("rl", "policy"),
    "rollouts": ("", "rollouts"),
    "value": ("", "value"),
    "value + rollouts": ("", "value+rollouts"),
    "policy + rollouts": ("policy", "policy+rollouts"),
    "policy + value": ("policy", "policy+value"),
    "policy + value + rollouts": ("policy", "policy+value+rollouts"),
    "reinforced policy + value + rollouts": ("rl", "policy+value+rollouts"),
}
"""Which policy gives the priors, and what the player is told to use; alone it searches nothing."""
QUICK = ("policy", "policy + rollouts", "policy + value", "policy + value + rollouts")
_GNU_GO = re.compile(r"gnugo:(10|[1-9])")


@dataclass(frozen=True)
class Options:
    """AlphaGo's search with and without its parts, against itself and anchors: a table of ratings
    with a picture."""

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
    anchors: str = "uct:1000 gnugo:1 gnugo:10"
    """Other players, the first at 0 Elo: gnugo:LEVEL, or as in tengen match; no commas between."""
    games: int = free(100, at_least=2)
    """Games of each pair."""
    at_once: int = free(50, at_least=2)
    """Games side by side, which a kill may lose."""
    visits: int = free(200, at_least=1)
    """Of each search a move."""
    mixing: float = free(0.5, at_least=0, at_most=1)
    """lambda: share of the rollouts in a leaf's value."""
    komi: float = 7.0
    """Points for White."""
    opening_moves: int = free(2, at_least=0, at_most=20)
    """Random moves that every two games begin with."""
    quick: bool = False
    """Four variants and UCT with 200 playouts, at most ten games a pair and 50 visits: minutes."""
    processes: int = free(0, at_least=0)
    """Cells at once; 0: one on each core."""
    device: str = "cpu"
    """Where the networks are: cpu or cuda."""
    seed: int = free(1, at_least=0)
    out: str = "runs/studies/alphago-ablation"
    """Folder of journal, results.json, figure.png and page.md."""


def run(options: Options) -> dict[str, Any]:
    """All cells, or what is missing of them; ratings of all players."""
    from agents.zero.assess import rate
    from core.machine.probe import resolve_device

    if options.games % 2 or options.at_once % 2:
        raise UserError("--games and --at-once must be even: every opening is played twice")
    resolve_device(options.device)
    runs = runs_of(options)
    size, parts = opened(runs)
    cells = cells_of(options, parts | known_anchors(options, size), size)
    compute = partial(play, runs={name: str(path) for name, path in runs.items()},
                      device=options.device)  # fmt: skip
    found = run_grid(compute, cells, Path(options.out), options.processes)
    results = [{"first": cell["first"], "second": cell["second"], **found[key(cell)]}
               for cell in cells]  # fmt: skip
    players = players_of(options)
    ratings = rate(results, players)
    rows = [{"player": name, "elo": ratings[name][0], "interval": ratings[name][1],
             **_totals(name, results)} for name in players]  # fmt: skip
    rows.sort(key=lambda row: -row["elo"])
    return {"size": size, "weights": parts, "players": rows, "pairs": _pairs(results)}


def runs_of(options: Any) -> dict[str, Path]:
    """Where each part is, by the options of this study or another of AlphaGo. Raises UserError
    where one is missing."""
    from envs.games.go.rollout import SHIPPED

    runs = {name: Path(getattr(options, name) or Path(options.folder) / name)
            for name in ("policy", "rl", "value")}  # fmt: skip
    runs["rollout"] = Path(options.rollout) if options.rollout else SHIPPED
    missing = [f"--{name} {path}" for name, path in runs.items() if not path.exists()]
    if missing:
        raise UserError(f"there is nothing at {', '.join(missing)}: tengen train alphago makes all")
    return runs


def opened(runs: Mapping[str, Path]) -> tuple[int, dict[str, str]]:
    """The lines of the board, and each part's digest. Raises UserError where a part is none, or
    of another board."""
    from agents.alphago.runs import fingerprint, load_policy_network, load_value_network

    loaders = {"policy": load_policy_network, "rl": load_policy_network,
               "value": load_value_network}  # fmt: skip
    sizes = {name: load(runs[name])[1] for name, load in loaders.items()}
    size = sizes["policy"]
    others = [f"{runs[name]} of {other}" for name, other in sizes.items() if other != size]
    if others:
        raise UserError(f"{runs['policy']} is of {size} lines, {others[0]}")
    return size, {name: fingerprint(path) for name, path in runs.items()}


def players_of(options: Options) -> list[str]:
    """Names of all players, the first anchor first: it has 0 Elo."""
    if options.quick:
        return ["uct:200", *QUICK]
    return [*dict.fromkeys(options.anchors.split()), *VARIANTS]


def known_anchors(options: Options, size: int) -> dict[str, str]:
    """What tells an anchor from another of its name: the digest of its weights, or the version of
    GNU Go. Raises UserError for one that cannot play here, before hours of games."""
    from agents.alphago.player import AlphaGoPlayer
    from agents.zero.player import ZeroPlayer
    from core.files.tensor_file import digest
    from envs.games.go.game import GO
    from envs.games.options import GoOptions
    from play.engine_player import EnginePlayer
    from play.players import make_player

    board, known = GoOptions(size=size, komi=options.komi), {}
    for name in options.anchors.split():
        if name in VARIANTS:
            raise UserError(f"--anchors {name}: that is a variant, which plays here anyhow")
        player = make_player(text_of(name, {}, board, {}, ""), threads=1)
        if isinstance(player, AlphaGoPlayer):
            raise UserError(f"--anchors {name}: AlphaGo's search is here in all its variants")
        if isinstance(player, ZeroPlayer) and player.options.seconds:
            raise UserError(f"--anchors {name}: games side by side take visits, not seconds")
        player.check(GO, board)
        if isinstance(player, ZeroPlayer):
            known[name] = digest(player.weights)
        elif isinstance(player, EnginePlayer) and _GNU_GO.fullmatch(name):
            known[name] = f"{player.name} {player.engine.send('version').strip()}"
        player.close()
    return known


def cells_of(options: Options, parts: Mapping[str, str], size: int) -> list[Cell]:
    """Games of every pair, in parts of at most `at_once`; `parts`: digests, also of anchors."""
    games, visits = options.games, options.visits
    if options.quick:
        games, visits = min(games, 10), min(visits, 50)
    shared = {"size": size, "komi": options.komi, "opening_moves": options.opening_moves,
              "visits": visits, "lambda": options.mixing}  # fmt: skip
    cells: list[Cell] = []
    for first, second in combinations(players_of(options), 2):
        needed = {first, second} | parts_of(first) | parts_of(second)
        weights = {name: digest for name, digest in parts.items() if name in needed}
        for begin in range(0, games, options.at_once):
            count = min(options.at_once, games - begin)
            cells.append({"first": first, "second": second, "games": count, "weights": weights,
                          "seed": options.seed * 1_000_003 + begin, **shared})  # fmt: skip
    return cells


def parts_of(name: str) -> set[str]:
    """The parts of a variant; none of an anchor."""
    policy, use = VARIANTS.get(name, ("", ""))
    used = {"value": "value", "rollouts": "rollout"}
    return {policy} - {""} | {part for word, part in used.items() if word in use.split("+")}


# ----------------------------------------------------------------------------- a cell


def play(cell: Cell, runs: Mapping[str, str], device: str) -> Found:
    """The games of a cell.

    Args:
        cell: as `cells_of` makes it.
        runs: where each part is.
        device: of the networks.
    """
    from envs.games.go.game import GO
    from envs.games.options import GoOptions
    from studies.side_by_side import play_match

    board = GoOptions(size=cell["size"], komi=cell["komi"])
    names = cell["first"], cell["second"]
    sides = [side_of(name, cell, board, runs, device, place) for place, name in enumerate(names)]
    try:
        match = play_match((sides[0], sides[1]), GO, board, cell["games"], cell["opening_moves"],
                           cell["seed"])  # fmt: skip
    finally:
        for side in sides:
            side.close()
    seconds = [round(spent, 2) for spent in match.seconds]
    return {"points": match.points, "games": match.games, "void": match.void,
            "results": match.results, "moves": match.moves, "thought": seconds}  # fmt: skip


def side_of(
    name: str, cell: Cell, board: Any, runs: Mapping[str, str], device: str, place: int
) -> Any:
    """A variant or an anchor that plays a cell's games. Raises UserError for unknown names."""
    import torch

    from envs.games.go.game import GO
    from play.players import make_player
    from search.tree_player import TreePlayer
    from studies.side_by_side import SearchingSide, SingleSide

    threads, seed = torch.get_num_threads(), 2 * cell["seed"] + place
    text = text_of(name, cell, board, runs, device)
    first = make_player(text, seed, threads)
    if isinstance(first, TreePlayer):
        return SearchingSide(first, GO, board, cell["games"], threads)
    first.close()
    # One thread each: trees side by side would share the playouts, and play worse.
    return SingleSide(lambda lane: make_player(text, seed * 1_009 + lane, 1), threads)


def text_of(name: str, cell: Cell, board: Any, runs: Mapping[str, str], device: str) -> str:
    """A variant or an anchor as `tengen match` names it."""
    if level := _GNU_GO.fullmatch(name):
        return gnu_go(board, int(level[1]))
    if name not in VARIANTS:
        return name
    policy, use = VARIANTS[name]
    paths = {"policy": policy, "value": "value", "rollout": "rollout"}
    given = [f"{part}={runs[run]}" for part, run in paths.items() if run]
    settings = f"use={use},lambda={cell['lambda']},{cell['visits']},device={device}"
    return f"alphago:{','.join(given)},{settings}"


def gnu_go(board: Any, level: int) -> str:
    """GNU Go's command, by the rules of the board; it takes dead stones off before it passes."""
    from play.players import default_referee

    command = default_referee(board)
    if not command:
        raise UserError("GNU Go is not installed: install gnugo, or leave it out of --anchors")
    return f"{command} --level {level} --capture-all-dead"


# ----------------------------------------------------------------------------- what was found


def _totals(name: str, results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Points, games and seconds a game of a player."""
    points, games, seconds = 0.0, 0, 0.0
    for result in results:
        for place, side in enumerate(("first", "second")):
            if result[side] == name:
                games += result["games"]
                points += result["points"] if place == 0 else result["games"] - result["points"]
                seconds += result["thought"][place]
    return {"points": points, "games": games, "seconds": seconds / max(games, 1)}


def _pairs(results: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Results of each pair."""
    pairs: dict[tuple[str, str], dict[str, Any]] = {}
    for r in results:
        pair = pairs.setdefault((r["first"], r["second"]), {"won": 0, "drawn": 0, "lost": 0,
                                                            "void": 0})  # fmt: skip
        pair["won"] += r["results"].count(1)
        pair["lost"] += r["results"].count(-1)
        pair["drawn"] += r["results"].count(0) - r["void"]
        pair["void"] += r["void"]
    return [{"first": first, "second": second, **pair}
            for (first, second), pair in pairs.items()]  # fmt: skip


def page(results: Mapping[str, Any]) -> list[str]:
    """What was found, as Markdown."""
    lines = ["| player | Elo | 95 % interval | points | games | seconds a game |",
             "|---|---|---|---|---|---|"]  # fmt: skip
    for row in results["players"]:
        spread = f"± {row['interval']:.0f}" if row["interval"] else "fixed"
        lines.append(f"| {row['player']} | {row['elo']:+.0f} | {spread} | "
                     f"{row['points'] / max(row['games'], 1):.1%} | {row['games']:,} | "
                     f"{row['seconds']:.2f} |")  # fmt: skip
    lines += ["", "| first | second | won | drawn | lost | void |", "|---|---|---|---|---|---|"]
    lines += [f"| {p['first']} | {p['second']} | {p['won']} | {p['drawn']} | {p['lost']} | "
              f"{p['void']} |" for p in results["pairs"]]  # fmt: skip
    return lines


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Ratings with their intervals, the strongest on top."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    rows = results["players"][::-1]
    figure, (axes,) = new_figure(1, width=8.0, height=1.2 + 0.32 * len(rows))
    for place, row in enumerate(rows):
        colour = COLOURS[0 if row["player"] in VARIANTS else 1]
        axes.errorbar(row["elo"], place, xerr=row["interval"], fmt="o", color=colour, capsize=3)
        axes.annotate(f"{row['elo']:+.0f}", (row["elo"], place), (0, 6), fontsize=8, ha="center",
                      textcoords="offset points", color=colour)  # fmt: skip
    axes.set_yticks(range(len(rows)), [row["player"] for row in rows])
    axes.set(xlabel="Elo, 95 % intervals", title=f"AlphaGo on {results['size']}x{results['size']}")
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    save_figure(figure, path)
