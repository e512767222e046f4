"""The command line: read once, by argparse, made from the dataclasses of options.

Errors are one line: a mistyped option names the nearest one.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import functools
import inspect
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any, Literal, NoReturn, TypeVar, get_args, get_origin

from agents.registry import AgentEntry, load_object
from commands.other_names import nearest_option
from core.config import (
    check,
    field_bounds,
    field_docs,
    field_types,
    flag_of,
    leaf_types,
    require_type,
    resolve,
)
from core.errors import UserError, did_you_mean

MOST_DIGITS = 18
HELP = ("-h", "--help")
T = TypeVar("T")


def positional(default: Any) -> Any:
    """A field whose value is given without its name."""
    return dataclasses.field(default=default, metadata={"positional": True})


@dataclass(frozen=True)
class CommandOptions:
    """What a command line may say besides the agent's own options."""

    preset: str = ""
    """Settings by name; else those that were made for the environment."""
    config: str = ""
    """TOML file of options; overrides the preset, and is overridden by the command line."""
    dry_run: bool = False
    """Print the resolved options, the network's size and the replay's memory, and stop."""


@dataclass(frozen=True)
class ResumeOptions:
    """What a resume may say besides changed options."""

    checkpoint: str = ""
    """Name of a checkpoint in the run's checkpoints folder."""
    fresh_replay: bool = False
    """Leave the stored experience behind."""
    trust: bool = False
    """Load a stable-baselines3 archive, which runs code that it contains."""


def parse_training(entry: AgentEntry, argv: Sequence[str]) -> tuple[Any, CommandOptions]:
    """An agent's options from the command line: default < environment < preset < file < command
    line. Where no preset is named, the agent has one for the environment.

    Raises:
        UserError: one line; `--help` prints and exits instead.
    """
    config_type = load_object(entry.config)
    module = load_object(entry.config.partition(":")[0])
    prog = f"tengen train {entry.name}"
    given = _read([config_type(), CommandOptions()], argv, prog)
    options = _changed(CommandOptions(), given)
    if options.preset and options.preset not in module.PRESETS:
        raise UserError(
            f"there is no preset {options.preset!r} for {entry.name}"
            f"{did_you_mean(options.preset, module.PRESETS)} (known: {', '.join(module.PRESETS)})"
        )
    file = Path(options.config) if options.config else None
    presets = {name: settings for name, (_, settings) in module.PRESETS.items()}
    env = given.get("env") or resolve(config_type, presets.get(options.preset), file).env
    options = dataclasses.replace(options, preset=options.preset or default_preset(entry, env))
    asked: Mapping[str, Any] = getattr(module, "environment_settings", lambda env: {})(env)
    settings = presets[options.preset]
    base = resolve(config_type, settings, file, asked)
    if _names_another_network(resolve(config_type, settings), _changed(base, given)):
        # A preset's options are of its own network.
        settings = {name: value for name, value in settings.items() if name != "network_options"}
        base = resolve(config_type, settings, file, asked)
    listed = "\n".join(f"  {key}: {summary}" for key, (summary, _) in module.PRESETS.items())
    description = f"{entry.summary}\n\npresets:\n{listed}"
    config, options = _finish([base, options], given, prog, description)
    return config, options


def _names_another_network(preset: Any, wanted: Any) -> bool:
    names = ("network", "model")
    return any(getattr(preset, name, "") != getattr(wanted, name, "") for name in names)


def default_preset(entry: AgentEntry, env: str) -> str:
    """The preset of an environment where none is named."""
    module = load_object(entry.config.partition(":")[0])
    name: str = getattr(module, "preset_for", lambda env: module.DEFAULT_PRESET)(env)
    return name


def parse_overrides(base: Any, extra: T, argv: Sequence[str], prog: str) -> tuple[Any, T]:
    """Changes to a saved config from the command line, and a command's own options.

    Raises:
        UserError: one line; `--help` prints and exits instead.
    """
    parts = [base, extra]
    config, options = _finish(parts, _read(parts, argv, prog), prog, type(extra).__doc__)
    return config, options


def parse_dataclass(options: type[T], argv: Sequence[str], prog: str) -> T:
    """A command's own dataclass of options, some of them perhaps `positional`.

    Raises:
        UserError: one line; `--help` prints and exits instead.
    """
    parts = [options()]
    parsed: T = _finish(parts, _read(parts, argv, prog), prog, options.__doc__)[0]
    return parsed


def parse_program(options: type[T], prog: str, argv: Sequence[str] | None = None) -> T:
    """The options of a program beside `tengen`, such as a benchmark; a mistake ends it in a line.

    Args:
        options: a dataclass; its docstring is the help.
        prog: how the program is started, for its help.
        argv: the command line; None for this process's own.
    """
    try:
        return parse_dataclass(options, sys.argv[1:] if argv is None else argv, prog)
    except UserError as error:
        sys.exit(f"error: {error}")


def _read(parts: Sequence[Any], argv: Sequence[str], prog: str) -> dict[str, Any]:
    """What the command line says, and nothing else: values by the names of the fields."""
    plain = [re.sub("^--[^=]*", lambda flag: flag[0].replace("_", "-"), text) for text in argv]
    parser = _parser(parts, prog)
    found, left = parser.parse_known_intermixed_args(plain)
    given = {n: tuple(v) if isinstance(v, list) else v for n, v in vars(found).items()}
    if left and "help" not in given:
        flag = left[0].partition("=")[0]
        if not flag.startswith("-"):
            parser.error(f"{left[0]!r} belongs to no option")
        if flag == "--resume":
            raise UserError("a run goes on with: tengen resume RUN")
        known = [flag_of(name) for part in parts for name in leaf_types(type(part))]
        if flag in known:
            word = flag.strip("-").upper()
            parser.error(f"{word} stands on its own, without {flag} before it")
        parser.error(f"there is no option {flag}{nearest_option(flag, known)}")
    return given


def _finish(
    parts: Sequence[Any], given: Mapping[str, Any], prog: str, description: str | None
) -> list[Any]:
    """The configs with what was given, checked; the help instead, if that was asked for."""
    if "help" in given:
        sys.stdout.write(_parser(parts, prog, inspect.cleandoc(description or "")).format_help())
        raise SystemExit(0)
    changed = [_changed(part, given) for part in parts]
    for part in changed:
        check(part)
    return changed


def _changed(config: T, given: Mapping[str, Any]) -> T:
    """A config with the options given, wherever in it they are; names are unique."""
    changes: dict[str, Any] = {}
    for name, kind in field_types(type(config)).items():
        if dataclasses.is_dataclass(kind):
            changes[name] = _changed(getattr(config, name), given)
        elif name in given:
            changes[name] = given[name]
    changed: T = dataclasses.replace(config, **changes)  # type: ignore[type-var]
    return changed


# ------------------------------------------------------------------ argparse


class _Parser(argparse.ArgumentParser):
    """Complains in one line."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._negative_number_matcher = re.compile(r"-\.?\d")  # -1e-3 is no option either

    def error(self, message: str) -> NoReturn:
        text = message.removeprefix("argument ")
        text = text.replace(": expected one argument", " needs a value after it")
        text = text.replace(": ignored explicit argument", " takes no value, got")
        raise UserError(f"{text} (see: {self.prog} --help)")


def _parser(parts: Sequence[Any], prog: str, description: str = "") -> _Parser:
    """A parser for the fields of configs; their values are the defaults that the help shows."""
    names = [f.name.upper() for f in dataclasses.fields(parts[0]) if "positional" in f.metadata]
    parser = _Parser(
        prog=prog,
        usage=" ".join([prog, *names, "[options]"]),
        description=description,
        add_help=False,
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("options")
    group.add_argument(*HELP, action="store_true", help="show this help and stop")
    _add(parser, group, parts[0])
    for part in parts[1:]:
        _add(parser, parser.add_argument_group("options of the command"), part)
    return parser


def _add(parser: _Parser, group: Any, config: Any) -> None:
    """Add the fields of a config to a group of the help; a config in it has a group of its own."""
    config_type: Any = type(config)
    docs, bounds = field_docs(config_type), field_bounds(config_type)
    for name, kind in field_types(config_type).items():
        value, flag = getattr(config, name), flag_of(name)
        if dataclasses.is_dataclass(kind):
            _add(parser, parser.add_argument_group(f"{name} options", kind.__doc__), value)
            continue
        notes = [str(bounds[name])] if name in bounds else []
        notes += [f"default: {value}"] if value not in ("", ()) else []
        text = docs.get(name, "") + (f" ({'; '.join(notes)})" if notes else "")
        about: dict[str, Any] = {"help": text.replace("%", "%%")}
        if "positional" in config.__dataclass_fields__[name].metadata:
            about["nargs"] = "*" if get_origin(kind) is tuple else "?"
            group.add_argument(name, metavar=name.upper(), **about)
        elif kind is bool:
            group.add_argument(flag, action=argparse.BooleanOptionalAction, **about)
        else:
            choices = get_args(kind) if get_origin(kind) is Literal else ()
            about["metavar"] = f"{{{','.join(choices)}}}" if choices else kind.__name__.upper()
            group.add_argument(flag, type=functools.partial(_value, flag, kind), **about)


def _value(flag: str, kind: Any, text: str) -> Any:
    """The value of an option. Raises UserError for a text that is none."""
    value: Any = text
    if kind is int:
        value = _whole_number(text)
    elif kind is float:
        with contextlib.suppress(ValueError):
            value = float(text)
    return require_type(value, kind, flag)


def _whole_number(text: str) -> int | str:
    """A whole number such as 250000, 250_000, 2.5e5 or -1; any other text as it is."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    if not number.is_finite() or number.adjusted() > MOST_DIGITS or number != int(number):
        return text
    return int(number)


def print_tables(tables: Mapping[str, Mapping[str, str]], usage: str) -> None:
    """Two-column lists, each under its title."""
    width = max(len(name) for rows in tables.values() for name in rows)
    sys.stdout.write(f"usage: {usage}\n")
    for title, rows in tables.items():
        sys.stdout.write(f"\n{title}:\n")
        for name, summary in rows.items():
            sys.stdout.write(f"  {name.ljust(width)}  {summary}\n")
