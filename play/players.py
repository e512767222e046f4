"""Players by name: `easy`, `shipped`, `RUN`, `alphago:RUN`, `uct:20000`, `gtp:COMMAND` and more."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from core.errors import UserError, did_you_mean
from envs.games.options import RULESETS, GoOptions
from search.player import Player

LEVELS = {"easy": "16,temperature=4", "medium": "16,temperature=1", "strong": "400"}
"""The trained player's strengths by name: its visits a move, and whether it errs."""
KNOWN = {
    **{level: f"the trained player in the box at {how}" for level, how in LEVELS.items()},
    "shipped": "the trained player in the box; shipped:800 sets visits a move, shipped:5s seconds",
    "RUN": "the folder of a run of zero, with visits or seconds behind a colon as above",
    "uct": "tree search with random playouts; uct:20000 sets playouts a move, uct:5s seconds; "
    "prior=1 (Go: look first at what patterns think of, far stronger), playouts=patterns, "
    "rapid=300, exploration=0.2, resign=0 (lost games are played to the end), threads=1 may follow "
    "after commas",
    "alphago:RUN": "the folder of alphago's runs, with visits or seconds behind a colon as above; "
    "or its parts: alphago:policy=RUN,value=RUN,rollout=FILE,400; use=policy+value+rollouts "
    "(some of them), lambda=0.5, expand_after=1, exploration=1.1 and device=cuda may follow",
    "random": "any legal move",
    "gtp:COMMAND": "a Go engine of yours, such as 'gtp:gnugo --mode gtp'",
}
ENGINES = {
    "gnugo": "--mode gtp",
    "katago": "gtp -model FILE -config FILE",
    "pachi": "",
    "fuego": "",
    "leelaz": "--gtp",
}
"""Go programs, and what tells them to speak GTP."""
SHIPPED = Path(__file__).resolve().parents[1] / "pretrained" / "zero-go9"
_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)(s?)")


_UCT_RESIGNS = 0.05
"""Chance to win below which UCT gives a game of Go up, where its name says nothing else."""


def make_player(name: str, seed: int = 0, threads: int = 0) -> Player:
    """Make a player from its name.

    Raises:
        UserError: there is no such player, or its engine cannot be started.
    """
    if name in LEVELS:
        name = f"shipped:{LEVELS[name]}"
    kind, _, rest = name.partition(":")
    if kind == "gtp" and rest.strip():
        from play.engine_player import EnginePlayer

        return EnginePlayer(rest)
    if kind == "random" and not rest:
        from search.player import RandomPlayer

        return RandomPlayer(seed)
    if kind == "uct":
        return _make_uct(rest, seed, threads)
    if kind == "alphago" and rest:
        return _make_alphago(rest, seed, threads)
    shipped = SHIPPED if kind == "shipped" else None
    run, amount = (shipped, rest) if shipped else _run_of(name)
    if run is not None and _is_alphagos(run):
        return _make_alphago(f"{run}:{amount}" if amount else str(run), seed, threads)
    if run is not None:
        return _make_zero(run, amount, seed, threads)
    hint = _engine_hint(name) or did_you_mean(name, KNOWN)
    raise UserError(f"there is no player {name!r}{hint} (known: {', '.join(KNOWN)})")


def _engine_hint(name: str) -> str:
    """How an engine is named, where this looks like one: a program here, or one that is known."""
    command = name.partition(":")[0].strip()
    program, _, arguments = command.partition(" ")
    known = ENGINES.get(Path(program).name.lower())
    if known is None and shutil.which(program) is None:
        return ""
    arguments = arguments or known or ""
    spoken = shlex.quote(f"gtp:{program} {arguments}".strip())
    return f"; an engine is named by its command: {spoken}"


def _make_uct(amount: str, seed: int, threads: int) -> Player:
    """`20000` is playouts a move, `5s` seconds, nothing the default; settings may follow."""
    from search.uct import UctOptions, UctPlayer

    settings: dict[str, Any] = {"resign": _UCT_RESIGNS, "threads": threads}
    for part in filter(None, amount.split(",")):
        key, equals, value = part.partition("=")
        number = _AMOUNT.fullmatch(value if equals else part)
        if key == "playouts" and equals:
            settings["policy"] = value
        elif key in ("prior", "rapid", "resign", "exploration") and number and not number[2]:
            settings[key] = float(number[1])
        elif key == "threads" and value.isdecimal() and len(value) < 4:
            settings[key] = int(value)
        elif equals or not number or not float(number[1]) or ("." in part and not number[2]):
            raise UserError(
                f"uct:{amount}: {part!r} is no amount; write uct:20000 for playouts or uct:5s; "
                f"prior=2, playouts=patterns, rapid=300, exploration=0.3, resign=0 or threads=1 "
                f"may follow"
            )
        elif number[2]:
            settings["seconds"] = float(number[1])
        else:
            settings["playouts"] = int(number[1])
    if settings.get("prior") and "exploration" in settings:
        raise UserError(f"uct:{amount}: exploration= weighs UCB1's bound, which prior= replaces")
    return UctPlayer(UctOptions(**settings, seed=seed))


def default_referee(options: GoOptions) -> str:
    """GNU Go under the rules of a game of Go, where it is installed; else nobody."""
    places = os.pathsep.join([os.environ.get("PATH", ""), "/usr/games"])
    program = shutil.which("gnugo", path=places)
    if program is None:
        return ""
    rules = RULESETS[options.rules]
    ko = "simple-ko" if rules.ko == "simple" else f"{rules.ko}-superko"
    suicide = "--allow-suicide" if rules.suicide else "--forbid-suicide"
    return f"gtp:{shlex.quote(program)} --mode gtp --chinese-rules --{ko} {suicide}"


def default_player(game: str, options: Any) -> str:
    """The best player at hand: a trained one for the board it was trained on, else UCT."""
    if game != "go":
        return "uct"
    trained = f"pretrained/zero-go{options.size}"
    if not (SHIPPED.parents[1] / trained).is_dir():
        return "uct:10000,prior=1,playouts=patterns,rapid=300"
    return "shipped" if trained.endswith(SHIPPED.name) else trained


def _run_of(name: str) -> tuple[Path | None, str]:
    """The run folder that a name begins with, and what follows it."""
    where, _, amount = name.partition(":")
    for path in (Path(where), SHIPPED.parents[1] / where):
        if where and (path / "config.toml").is_file():
            return path, amount
    return None, ""


def _make_zero(run: Path, amount: str, seed: int, threads: int) -> Player:
    """`800` is visits a move, `5s` seconds; temperature=0.5 and resign=0.05 may follow."""
    from agents.zero.player import ZeroPlayer, ZeroPlayerOptions

    settings: dict[str, float] = {}
    for part in filter(None, amount.split(",")):
        key, equals, value = part.partition("=")
        number = _AMOUNT.fullmatch(value if equals else part)
        if not number or (equals and (key not in ("temperature", "resign") or number[2])):
            raise UserError(
                f"{part!r} says nothing about a player; write 800 for visits, 5s for seconds, "
                f"temperature=0.5 or resign=0.05"
            )
        if equals:
            settings[key] = float(number[1])
        elif number[2]:
            settings["seconds"] = float(number[1])
        else:
            settings["visits"] = int(float(number[1]))
    options = ZeroPlayerOptions(**settings)  # type: ignore[arg-type]
    return ZeroPlayer(run, options, seed, threads)


def _is_alphagos(run: Path) -> bool:
    from core.files.run_folder import RunFolder

    return str(RunFolder.open(run).read_meta().get("agent")).startswith("go-")


_ALPHAGO_NUMBERS = {
    "lambda": "mixing",
    "expand_after": "expand_after",
    "exploration": "exploration",
    "virtual_loss": "virtual_loss",
    "temperature": "temperature",
    "resign": "resign",
}


def _make_alphago(text: str, seed: int, threads: int) -> Player:
    """`RUN:800,lambda=0.3`, or its parts by name; see KNOWN."""
    from agents.alphago.player import AlphaGoOptions, AlphaGoPlayer, Parts

    settings: dict[str, Any] = {}
    paths: dict[str, Path] = {}
    first, *others = text.split(",")
    folder, _, amount = ("", "", first) if "=" in first else first.partition(":")
    for part in filter(None, [amount, *others]):
        key, equals, value = part.partition("=")
        number = _AMOUNT.fullmatch(value if equals else part)
        if equals and key in ("policy", "value", "rollout"):
            paths[key] = Path(value)
        elif equals and key == "use":
            settings["use"] = tuple(value.split("+"))
        elif equals and key == "device":
            settings["device"] = value
        elif number and not number[2] and key in _ALPHAGO_NUMBERS:
            whole = key == "expand_after"
            settings[_ALPHAGO_NUMBERS[key]] = int(float(number[1])) if whole else float(number[1])
        elif number and not equals:
            name, kind = ("seconds", float) if number[2] else ("visits", int)
            settings[name] = kind(float(number[1]))
        else:
            raise UserError(f"{part!r} says nothing about alphago; it is {KNOWN['alphago:RUN']}")
    parts = replace(Parts.in_folder(Path(folder)) if folder else Parts(), **paths)
    return AlphaGoPlayer(parts, AlphaGoOptions(**settings), seed, threads)
