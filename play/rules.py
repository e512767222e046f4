"""Rules of Go as KataGo names and writes them (docs/GTP_Extensions.md), and which of them are ours.

A rule object has the fields of `kata-get-rules`. Ours are those with area scoring, without taxes on
groups and without a button. Territory scoring is for analysis alone, where its result can be read
off an area: in a finished position Black's lead by territory is that by area less the stones that
Black placed more than White.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, get_args

from core.errors import UserError
from envs.games.options import RULESETS, RulesetName

_BONUSES = {"none": "0", "stones": "N", "stones - 1": "N-1"}
_OURS: tuple[RulesetName, ...] = get_args(RulesetName)
_KOMI = {"AREA": 7.5, "TERRITORY": 6.5}


@dataclass(frozen=True)
class Rules:
    """One set of rules, in KataGo's words."""

    ko: str
    suicide: bool
    bonus: str
    """What White is given for N handicap stones: 0, N or N-1."""
    friendly_pass: bool
    """Whether dead stones may stay on the board at the end."""
    scoring: str = "AREA"
    tax: str = "NONE"
    button: bool = False

    @property
    def ruleset(self) -> RulesetName | None:
        """The ruleset of ours that is the same, None if there is none."""
        wanted = replace(self, friendly_pass=True)
        same = [n for n in _OURS if replace(of_ruleset(n), friendly_pass=True) == wanted]
        return same[0] if same else None

    @property
    def play_ruleset(self) -> RulesetName | None:
        """A ruleset of ours in which the same moves are legal, None if there is none."""
        alike = [n for n in _OURS if _moves(of_ruleset(n)) == _moves(self)]
        return self.ruleset or (alike[0] if alike else None)

    @property
    def default_komi(self) -> float:
        """Komi where nothing is said, as KataGo guesses it."""
        return 7.0 if self.button else _KOMI[self.scoring]

    def points_for(self, stones: int) -> int:
        """What White is given for so many handicap stones."""
        return {"0": 0, "N": stones, "N-1": max(0, stones - 1)}[self.bonus]

    def as_json(self) -> str:
        """As `kata-get-rules` writes them."""
        fields = {
            "friendlyPassOk": self.friendly_pass, "hasButton": self.button, "ko": self.ko,
            "scoring": self.scoring, "suicide": self.suicide, "tax": self.tax,
            "whiteHandicapBonus": self.bonus,
        }  # fmt: skip
        return json.dumps(fields, separators=(",", ":"))


def _moves(rules: Rules) -> tuple[str, bool]:
    return rules.ko, rules.suicide


def of_ruleset(name: str) -> Rules:
    """A ruleset of ours in KataGo's words."""
    rules = RULESETS[name]
    bonus = _BONUSES[rules.handicap_points]
    return Rules(rules.ko.upper(), rules.suicide, bonus, rules.dead_stones)


_JAPANESE = Rules("SIMPLE", False, "0", True, "TERRITORY", "SEKI")
_STONES = Rules("SIMPLE", False, "0", True, "AREA", "ALL")
_AGA = of_ruleset("aga")
NAMES: dict[str, Rules] = {name: of_ruleset(name) for name in RULESETS} | {
    "tromptaylor": of_ruleset("tromp-taylor"),
    "chinese-ogs": of_ruleset("chinese-superko"),
    "chinese-kgs": of_ruleset("chinese-superko"),
    "newzealand": of_ruleset("new-zealand"),
    "bga": _AGA,
    "french": _AGA,
    "aga-button": replace(_AGA, button=True),
    "japanese": _JAPANESE,
    "korean": _JAPANESE,
    "stone-scoring": _STONES,
    "stonescoring": _STONES,
}
_CHOICES: dict[str, tuple[Any, ...]] = {
    "ko": ("SIMPLE", "POSITIONAL", "SITUATIONAL"),
    "scoring": ("AREA", "TERRITORY"),
    "tax": ("NONE", "SEKI", "ALL"),
    "suicide": (False, True),
    "hasButton": (False, True),
    "friendlyPassOk": (False, True),
    "whiteHandicapBonus": ("0", "N", "N-1"),
}
_FIELDS = {
    "ko": "ko", "scoring": "scoring", "tax": "tax", "suicide": "suicide", "hasButton": "button",
    "friendlyPassOk": "friendly_pass", "whiteHandicapBonus": "bonus",
}  # fmt: skip


def parse_rules(said: Any) -> Rules:
    """Read a name or an object, or the JSON text of one.

    Raises:
        UserError: there are no such rules; the message says what is wrong.
    """
    if isinstance(said, str) and said.lstrip().startswith(("{", '"')):
        try:
            said = json.loads(said)
        except (ValueError, RecursionError):
            raise UserError("the rules are no JSON") from None
    if isinstance(said, str):
        name = said.strip().lower().replace("_", "-").replace(" ", "-")
        if name not in NAMES:
            raise UserError(f"unknown rules {said[:40]!r}; known: {', '.join(NAMES)}")
        return NAMES[name]
    if not isinstance(said, dict):
        raise UserError("rules are a name or an object")
    missing = [key for key in ("ko", "scoring", "suicide") if key not in said]
    if missing:
        raise UserError(f"the rules do not say {missing[0]!r}")
    rules = Rules("SIMPLE", False, "0", False)
    for key, value in said.items():
        rules = with_rule(rules, key, value)
    return rules


def with_rule(rules: Rules, key: str, value: Any) -> Rules:
    """The same rules with one field changed; UserError if there is no such field or value."""
    if key not in _CHOICES:
        raise UserError(f"there is no rule {key[:40]!r}; known: {', '.join(_CHOICES)}")
    words = {str(choice).lower(): choice for choice in _CHOICES[key]}
    if str(value).lower() not in words:
        raise UserError(f"{key} must be one of {', '.join(words)}, not {str(value)[:40]!r}")
    changes: dict[str, Any] = {_FIELDS[key]: words[str(value).lower()]}
    return replace(rules, **changes)
