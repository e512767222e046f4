"""Rules, clocks and search limits as KGS and KataGo set them over GTP."""

from __future__ import annotations

import dataclasses
import json
import math
from typing import Any

from core.errors import UserError
from envs.games.options import RULESETS
from play.gtp.protocol import SYNTAX, Command, GtpError, integer, number
from play.gtp.server import GtpServer, Handler
from play.gtp.standard import wanted
from play.rules import Rules, of_ruleset, parse_rules, with_rule
from search.player import Limits

# ---------------------------------------------------------------- rules


def set_rules(server: GtpServer, command: Command) -> str:
    """Choose rules by name or as an object; the game goes on."""
    _use(server, parse_rules(command.text))
    return ""


def set_kgs_rules(server: GtpServer, command: Command) -> str:
    """Choose rules by their name on KGS, where chinese means positional superko."""
    name = command.text.strip().lower()
    _use(server, parse_rules("chinese-kgs" if name == "chinese" else name))
    return ""


def set_rule(server: GtpServer, command: Command) -> str:
    """Change one field of the rules."""
    key, value = wanted(command, 2)
    _use(server, with_rule(of_ruleset(server.board.options.rules), key, value))
    return ""


def _use(server: GtpServer, rules: Rules) -> None:
    """Play on under rules, if they are some of ours."""
    if rules.scoring == "TERRITORY":
        raise GtpError(
            "territory scoring is not played here; count by area: chinese, aga or new-zealand"
        )
    if rules.ruleset is None:
        raise GtpError(f"there are no such rules here; known: {', '.join(RULESETS)}")
    server.board.set_rules(rules.ruleset)


def get_rules(server: GtpServer, command: Command) -> str:
    """The rules as KataGo writes them, in JSON."""
    return of_ruleset(server.board.options.rules).as_json()


# ---------------------------------------------------------------- clocks

_NUMBERS = {
    "none": 0, "absolute": 1, "byoyomi": 3, "canadian": 3, "fischer": 2, "fischer-capped": 4,
}  # fmt: skip
_OF_KGS = ("none", "absolute", "byoyomi", "canadian")


def kgs_time_settings(server: GtpServer, command: Command) -> str:
    """none | absolute T | byoyomi T period periods | canadian T period stones."""
    if command.arguments[:1] and command.arguments[0] not in _OF_KGS:
        raise GtpError(SYNTAX)
    return time_settings(server, command)


def time_settings(server: GtpServer, command: Command) -> str:
    """Those of KGS, fischer T increment, fischer-capped T increment most-T most-a-move."""
    kind, *words = command.arguments or ("",)
    if _NUMBERS.get(kind) != len(words):
        raise GtpError(SYNTAX)
    # Only the caps may be negative: there is none then.
    values = [
        number(word, 0 if place < 2 or kind != "fischer-capped" else -math.inf)
        for place, word in enumerate(words)
    ]
    if kind == "none":
        server.clock.set(0, 1, 0)
    elif kind == "absolute":
        server.clock.set(values[0], 0, 0)
    elif kind in ("byoyomi", "canadian"):
        count = integer(words[2], 1, 10**6)
        server.clock.set(values[0], values[1], count, by_periods=kind == "byoyomi")
    else:
        longest = values[3] if len(values) == 4 and values[3] >= 0 else math.inf
        server.clock.set_fischer(values[0], values[1], longest)
    return ""


def list_time_settings(server: GtpServer, command: Command) -> str:
    """The kinds of clocks."""
    return " ".join(_NUMBERS)


# ---------------------------------------------------------------- limits

_LIMITS = {"maxVisits": "playouts", "maxPlayouts": "playouts", "maxTime": "seconds"}
_UNLIMITED = 1e20


def _values(server: GtpServer) -> dict[str, float]:
    """Every parameter; no limit is KataGo's largest."""
    limits = dataclasses.asdict(server.limits)
    values = {name: limits[field] for name, field in _LIMITS.items()}
    return {name: _UNLIMITED if value is None else value for name, value in values.items()}


def _set(server: GtpServer, name: str, value: Any) -> Limits:
    """The limits with one changed."""
    if name not in _LIMITS:
        raise GtpError(f"there is no parameter {name[:40]!r} here; known: {', '.join(_LIMITS)}")
    seconds = number(str(value), 0, _UNLIMITED)
    limited = seconds < _UNLIMITED
    if _LIMITS[name] == "playouts":
        playouts = integer(str(value), 1, 10**9) if limited else None
        return dataclasses.replace(server.limits, playouts=playouts)
    return dataclasses.replace(server.limits, seconds=seconds if limited else None)


def list_params(server: GtpServer, command: Command) -> str:
    """Names of the parameters."""
    return " ".join(_LIMITS)


def get_param(server: GtpServer, command: Command) -> str:
    """The value of one parameter."""
    (name,) = wanted(command, 1)
    values = _values(server)
    if name not in values:
        raise GtpError(f"there is no parameter {name[:40]!r} here; known: {', '.join(values)}")
    return f"{values[name]:g}"


def get_params(server: GtpServer, command: Command) -> str:
    """All parameters, in JSON."""
    return json.dumps(_values(server))


def set_param(server: GtpServer, command: Command) -> str:
    """Change one parameter."""
    server.limits = _set(server, *wanted(command, 2))
    return ""


def set_params(server: GtpServer, command: Command) -> str:
    """Change several parameters, a JSON object; all or none."""
    try:
        changes = json.loads(command.text)
    except (ValueError, RecursionError):
        raise GtpError("the parameters are no JSON") from None
    if not isinstance(changes, dict):
        raise GtpError("the parameters are no object")
    before = server.limits
    try:
        for name, value in changes.items():
            server.limits = _set(server, name, value)
    except UserError:
        server.limits = before
        raise
    return ""


SETTINGS: dict[str, Handler] = {
    "kata-set-rules": set_rules,
    "kata-set-rule": set_rule,
    "kata-get-rules": get_rules,
    "kgs-rules": set_kgs_rules,
    "kgs-time_settings": kgs_time_settings,
    "kata-time_settings": time_settings,
    "kata-list_time_settings": list_time_settings,
    "kata-list-params": list_params,
    "kata-get-param": get_param,
    "kata-get-params": get_params,
    "kata-set-param": set_param,
    "kata-set-params": set_params,
}
