"""Players of any kind on one scale: all play all, and Bradley and Terry rate all games at once.

Networks after more and more training beside random moves, tree search and programs of others: what
a match of two cannot say, because strong and weak players never lose to each other. Anchors in
between, such as uct:10 and uct:100, join the ends of a scale.

    tengen study round-robin --players "random uct:100 uct:1000 gnugo:1 gnugo:10 shipped:64"
    tengen study round-robin --game connect-four --players "random uct:100 early=RUN:64 'gtp:...'"

A cell is some games of a pair, played side by side (`studies/side_by_side.py`); the searches of
networks take one leaf a tick there and eight in `tengen match`, another player with few visits.
Players are told apart by their weights, settings and versions; with names of their own
(NAME=PLAYER) a journal moves between machines, since no cell says where they lie.
"""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

from core.config import free
from core.errors import UserError
from studies.grid import Cell, Found, key, run_grid

TITLE = "Ratings"
_GNU_GO = re.compile(r"gnugo:(10|[1-9])")
_NAMED = re.compile(r"([\w.+-]+)=(.+)")


@dataclass(frozen=True)
class Options:
    """Players of any kind play each other: a table of ratings with a picture."""

    players: str = "random uct:10 uct:100 uct:1000 shipped:16"
    """Named as in tengen match, the first at 0 Elo; gnugo:LEVEL is GNU Go. What has spaces stands
    in quotes; NAME=PLAYER shows it by another name."""
    game: str = "go"
    """Also with a size: go9, connect-four, othello8."""
    komi: float = 7.0
    """Points for White, in Go."""
    games: int = free(20, at_least=2)
    """Games of each pair."""
    at_once: int = free(20, at_least=2)
    """Games side by side, which a kill may lose."""
    opening_moves: int = free(2, at_least=0, at_most=20)
    """Random moves that every two games begin with."""
    quick: bool = False
    """At most four games of each pair."""
    processes: int = free(0, at_least=0)
    """Cells at once; 0: one on each core."""
    seed: int = free(1, at_least=0)
    out: str = "runs/studies/round-robin"
    """Folder of journal, results.json, figure.png and page.md."""

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        if self.games % 2 or self.at_once % 2:
            raise UserError("--games and --at-once must be even: every opening is played twice")


def run(options: Options) -> dict[str, Any]:
    """All games, or what is missing of them; ratings of all players."""
    board = board_of(options)
    texts = named(options.players, board, "--players")
    if len(texts) < 2:
        raise UserError("--players: it takes two players at least")
    weights = {name: identity(text, options.game, board) for name, text in texts.items()}
    games = min(options.games, 4) if options.quick else options.games
    cells = cells_of(list(texts), weights, games, options.at_once, options.seed,
                     {"game": options.game, "komi": options.komi,
                      "opening_moves": options.opening_moves})  # fmt: skip
    compute = partial(play, texts=texts, board=board)
    found = run_grid(compute, cells, Path(options.out), options.processes)
    return {"game": options.game, **rated(list(texts), cells, found)}


def board_of(options: Options) -> Any:
    """The game's own options. Raises UserError for an unknown game."""
    from envs.games.registry import find_game

    entry, sized = find_game(options.game)
    komi = {"komi": options.komi} if "komi" in entry.options.__dataclass_fields__ else {}
    return entry.options(**sized, **komi)


def named(players: str, board: Any, option: str) -> dict[str, str]:
    """Players as `tengen match` names them, by the names shown. Raises UserError, naming the
    option."""
    try:
        words = shlex.split(players)
    except ValueError as error:
        raise UserError(f"{option} cannot be read: {error}") from None
    texts = {}
    for word in words:
        match = _NAMED.fullmatch(word)
        name, text = (match[1], match[2]) if match else (word, word)
        if name in texts:
            raise UserError(f"{option} names {name} twice")
        texts[name] = resolved(text, board)
    return texts


def resolved(text: str, board: Any) -> str:
    """gnugo:LEVEL as its command, by the rules of the board; it takes dead stones off before it
    passes. Others as they are. Raises UserError where it is not installed."""
    from envs.games.options import GoOptions
    from play.players import default_referee

    level = _GNU_GO.fullmatch(text)
    if level is None or not isinstance(board, GoOptions):
        return text
    command = default_referee(board)
    if not command:
        raise UserError(f"{text}: GNU Go is not installed: install gnugo, or leave it out")
    return f"{command} --level {level[1]} --capture-all-dead"


def identity(text: str, game: str, board: Any) -> str:
    """What tells a player from another of its name: weights and settings, or program and version.

    Raises UserError for one that is not there or cannot play here, before hours of games."""
    from envs.games.registry import load_game
    from play.engine import EngineRefusal
    from play.engine_player import EnginePlayer
    from play.players import make_player
    from search.tree_player import TreePlayer
    from search.uct import UctPlayer

    player = make_player(text, threads=1)
    try:
        player.check(load_game(game), board)
        if isinstance(player, EnginePlayer):
            program, *arguments = player.engine.command
            version = ""
            with contextlib.suppress(EngineRefusal):
                version = player.engine.send("version").strip()
            return " ".join([player.name, version, Path(program).name, *arguments])
        if not isinstance(player, TreePlayer | UctPlayer):
            return text
        if player.options.seconds:
            raise UserError(f"{text}: a study takes visits or playouts, not seconds")
        told = {name: value for name, value in asdict(player.options).items() if name != "seed"}
        if isinstance(player, UctPlayer):
            return str(told)
        if player.options.resign:
            raise UserError(f"{text}: games side by side are played to their ends, without resign=")
        return " ".join([*player.digests(), str(told)])
    finally:
        player.close()


def cells_of(
    players: Sequence[str], weights: Mapping[str, Any], games: int, at_once: int, seed: int,
    shared: Cell,
) -> list[Cell]:  # fmt: skip
    """Games of every pair, in parts of at most `at_once`; `weights`: what tells players apart."""
    return [
        {"first": first, "second": second, "games": min(at_once, games - begin),
         "weights": {name: weights[name] for name in (first, second) if weights.get(name)},
         "seed": seed * 1_000_003 + begin, **shared}
        for first, second in combinations(players, 2)
        for begin in range(0, games, at_once)
    ]  # fmt: skip


# ----------------------------------------------------------------------------- a cell


def play(cell: Cell, texts: Mapping[str, str], board: Any) -> Found:
    """The games of a cell, between players named as in `tengen match`."""
    from envs.games.registry import load_game
    from studies.side_by_side import play_match

    game = load_game(cell["game"])
    sides = [side_of(texts[cell[place]], cell, game, board, 2 * cell["seed"] + number)
             for number, place in enumerate(("first", "second"))]  # fmt: skip
    try:
        match = play_match((sides[0], sides[1]), game, board, cell["games"],
                           cell["opening_moves"], cell["seed"])  # fmt: skip
    finally:
        for side in sides:
            side.close()
    seconds = [round(spent, 2) for spent in match.seconds]
    return {"points": match.points, "games": match.games, "void": match.void,
            "results": match.results, "moves": match.moves, "thought": seconds}  # fmt: skip


def side_of(text: str, cell: Cell, game: Any, board: Any, seed: int) -> Any:
    """A player of all of a cell's games. Raises UserError for unknown ones."""
    import torch

    from play.players import make_player
    from search.tree_player import TreePlayer
    from studies.side_by_side import SearchingSide, SingleSide

    threads = torch.get_num_threads()
    first = make_player(text, seed, threads)
    if isinstance(first, TreePlayer):
        return SearchingSide(first, game, board, cell["games"], threads)
    first.close()
    # One thread each: trees side by side would share the playouts, and play worse.
    return SingleSide(lambda lane: make_player(text, seed * 1_009 + lane, 1), threads)


# ----------------------------------------------------------------------------- what was found


def rated(
    players: Sequence[str], cells: Sequence[Cell], found: Mapping[str, Found]
) -> dict[str, Any]:
    """Ratings, the best first, and the results of each pair; the first player is at 0 Elo."""
    from agents.zero.assess import rate

    results = [{"first": cell["first"], "second": cell["second"], **found[key(cell)]}
               for cell in cells]  # fmt: skip
    ratings = rate(results, players)
    rows = [{"player": name, "elo": ratings[name][0], "interval": ratings[name][1],
             **_totals(name, results)} for name in players]  # fmt: skip
    return {"players": sorted(rows, key=lambda row: -row["elo"]), "pairs": _pairs(results)}


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
    draw_ratings(results["players"], f"Ratings, {results['game']}", (), path)


def draw_ratings(
    players: Sequence[Mapping[str, Any]], title: str, others: Sequence[str], path: Path
) -> None:
    """The same; `others` have a colour of their own."""
    from core.report.plots import COLOURS
    from studies.training import new_figure, save_figure

    rows = players[::-1]
    figure, (axes,) = new_figure(1, width=8.0, height=1.2 + 0.32 * len(rows))
    for place, row in enumerate(rows):
        colour = COLOURS[1 if row["player"] in others else 0]
        axes.errorbar(row["elo"], place, xerr=row["interval"], fmt="o", color=colour, capsize=3)
        axes.annotate(f"{row['elo']:+.0f}", (row["elo"], place), (0, 6), fontsize=8, ha="center",
                      textcoords="offset points", color=colour)  # fmt: skip
    axes.set_yticks(range(len(rows)), [row["player"] for row in rows])
    axes.set(xlabel="Elo, 95 % intervals", title=title)
    axes.grid(axis="x", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    save_figure(figure, path)
