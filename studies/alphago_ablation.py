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

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from core.config import free
from core.errors import UserError
from studies import round_robin
from studies.grid import run_grid

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
    """Other players, as in tengen study round-robin, the first at 0 Elo."""
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
    from core.machine.probe import resolve_device
    from envs.games.options import GoOptions

    if options.games % 2 or options.at_once % 2:
        raise UserError("--games and --at-once must be even: every opening is played twice")
    resolve_device(options.device)
    runs = runs_of(options)
    size, parts = opened(runs)
    board = GoOptions(size=size, komi=options.komi)
    anchors = anchors_of(options, board)
    weights: dict[str, Any] = {name: round_robin.identity(text, "go", board)
                               for name, text in anchors.items()}  # fmt: skip
    games, visits = options.games, options.visits
    if options.quick:
        games, visits = min(games, 10), min(visits, 50)
    variants = QUICK if options.quick else tuple(VARIANTS)
    weights |= {name: {part: parts[part] for part in parts_of(name)} for name in variants}
    players = [*anchors, *variants]
    cells = round_robin.cells_of(
        players, weights, games, options.at_once, options.seed,
        {"game": "go", "size": size, "komi": options.komi, "opening_moves": options.opening_moves,
         "visits": visits, "lambda": options.mixing},
    )  # fmt: skip
    texts = anchors | {name: text_of(name, runs, visits, options) for name in variants}
    compute = partial(round_robin.play, texts=texts, board=board)
    found = run_grid(compute, cells, Path(options.out), options.processes)
    return {"size": size, "weights": parts, **round_robin.rated(players, cells, found)}


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


def anchors_of(options: Options, board: Any) -> dict[str, str]:
    """The other players as `tengen match` names them, the first of them at 0 Elo. Raises UserError
    for one that cannot play here."""
    if options.quick:
        return {"uct:200": "uct:200"}
    anchors = round_robin.named(options.anchors, board, "--anchors")
    for name, text in anchors.items():
        if name in VARIANTS:
            raise UserError(f"--anchors {name}: that is a variant, which plays here anyhow")
        if text.startswith("alphago:"):
            raise UserError(f"--anchors {name}: AlphaGo's search is here in all its variants")
    return anchors


def parts_of(name: str) -> set[str]:
    """The parts of a variant."""
    policy, use = VARIANTS[name]
    used = {"value": "value", "rollouts": "rollout"}
    return {policy} - {""} | {part for word, part in used.items() if word in use.split("+")}


def text_of(name: str, runs: Mapping[str, Path], visits: int, options: Options) -> str:
    """A variant as `tengen match` names it."""
    policy, use = VARIANTS[name]
    paths = {"policy": policy, "value": "value", "rollout": "rollout"}
    given = [f"{part}={runs[run]}" for part, run in paths.items() if run]
    settings = f"use={use},lambda={options.mixing},{visits},device={options.device}"
    return f"alphago:{','.join(given)},{settings}"


page = round_robin.page


def draw(results: Mapping[str, Any], path: Path) -> None:
    """Ratings with their intervals, the strongest on top."""
    others = [row["player"] for row in results["players"] if row["player"] not in VARIANTS]
    title = f"AlphaGo on {results['size']}x{results['size']}"
    round_robin.draw_ratings(results["players"], title, others, path)
