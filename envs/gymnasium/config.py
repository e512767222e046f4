"""Options of Gymnasium environments. Imports no torch."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from core.config import free, locked
from core.errors import UserError

_AS_IN_PYTHON = {"True": "true", "False": "false", "None": "null"}
TAKEN = ("id", "render_mode", "disable_env_checker")
"""Arguments that the lanes give themselves."""


@dataclass(frozen=True)
class GymnasiumConfig:
    """Options that only Gymnasium environments use."""

    env_kwargs: str = locked("")
    """Arguments of the environment: map_name=8x8,is_slippery=false or as JSON:
    '{"map_name": "8x8"}'."""

    env_workers: int = free(0, at_least=0)
    """Processes that step the environments, for those slow in Python; 0: none besides this one."""

    def __post_init__(self) -> None:
        """Bring the arguments into one form, so that the same ones are equal on a resume."""
        try:
            arguments = parse_arguments(self.env_kwargs)
        except UserError:
            return  # validate says it
        object.__setattr__(
            self, "env_kwargs", json.dumps(arguments, sort_keys=True) if arguments else ""
        )

    def validate(self) -> None:
        """Raise UserError for a value that cannot work."""
        parse_arguments(self.env_kwargs)

    @property
    def arguments(self) -> dict[str, Any]:
        """``env_kwargs`` as a dict."""
        return parse_arguments(self.env_kwargs)


def parse_arguments(text: str) -> dict[str, Any]:
    """Arguments by name from a JSON object, or from key=value,key=value.

    A value is JSON (8, false, "text", [1, 2]), True, False or None, or else taken as a text.

    Raises:
        UserError: neither of both, or an argument that is not the user's to give.
    """
    text = text.strip()
    arguments = _from_json(text) if text.startswith("{") else _from_pairs(text)
    for name in arguments:
        if not name.isidentifier() or name in TAKEN:
            raise UserError(f"--env-kwargs cannot give an argument {name!r}")
    return arguments


def _from_json(text: str) -> dict[str, Any]:
    try:
        arguments: dict[str, Any] = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--env-kwargs is not valid JSON: {error}: {text}") from error
    return arguments


def _from_pairs(text: str) -> dict[str, Any]:
    arguments: dict[str, Any] = {}
    for pair in re.split(r",(?=\s*[A-Za-z_]\w*=)", text) if text else ():
        name, equals, value = pair.partition("=")
        if not equals:
            raise UserError(
                f"--env-kwargs must be key=value,key=value or a JSON object, got {text!r}"
            )
        value = _AS_IN_PYTHON.get(value.strip(), value)
        try:
            arguments[name.strip()] = json.loads(value, parse_constant=_refuse)
        except (ValueError, RecursionError):
            arguments[name.strip()] = value
    return arguments


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is not a number")


def full_name(env_id: str, config: GymnasiumConfig) -> str:
    """The id with its arguments: scores under other arguments are scores of another task."""
    return f"{env_id} {config.env_kwargs}" if config.env_kwargs else env_id
