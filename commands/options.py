"""The command line, generated from the dataclasses of options by tyro.

Errors are one line of ours: a mistyped option names the nearest one.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import tyro

from agents.registry import AgentEntry, load_object
from commands.other_names import nearest_option
from core.config import check, leaf_types, resolve
from core.errors import UserError, did_you_mean
from envs.names import canonical_id

MOST_DIGITS = 18
T = TypeVar("T")

HELP = ("-h", "--help")


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
    named = _value_of("--preset", argv)
    if named and named not in module.PRESETS:
        raise UserError(
            f"there is no preset {named!r} for {entry.name}"
            f"{did_you_mean(named, module.PRESETS)} (known: {', '.join(module.PRESETS)})"
        )
    path = _value_of("--config", argv)
    file = Path(path) if path else None
    presets = {name: settings for name, (_, settings) in module.PRESETS.items()}
    env = _value_of("--env", argv) or resolve(config_type, presets.get(named), file).env
    if hasattr(module, "preset_for") and not _asks_for_help(argv):  # a help imports nothing heavy
        env = canonical_id(env)
    name = named or getattr(module, "preset_for", lambda env: module.DEFAULT_PRESET)(env)
    settings: Callable[[str], Mapping[str, Any]] | None
    settings = getattr(module, "environment_settings", None)
    base = resolve(config_type, presets[name], file, settings(env) if settings else None)
    listed = "\n".join(f"  {key}: {summary}" for key, (summary, _) in module.PRESETS.items())
    description = f"{entry.summary}\n\npresets:\n{listed}"
    prog = f"tengen train {entry.name}"
    return _parse_pair(base, CommandOptions(preset=name), argv, prog, description)


def parse_overrides(base: Any, extra: T, argv: Sequence[str], prog: str) -> tuple[Any, T]:
    """Changes to a saved config from the command line, and a command's own options.

    Raises:
        UserError: one line; `--help` prints and exits instead.
    """
    return _parse_pair(base, extra, argv, prog, (type(extra).__doc__ or "").strip())


def parse_dataclass(options: type[T], argv: Sequence[str], prog: str) -> T:
    """A command's own dataclass of options, where positional fields are marked by tyro.

    Raises:
        UserError: one line; `--help` prints and exits instead.
    """
    hints = get_type_hints(options, include_extras=True)
    named = {name: kind for name, kind in hints.items() if get_origin(kind) is not Annotated}
    required = [name for name in hints if name not in named and not hasattr(options, name)]
    argv, given = _readable(argv, named, prog, positional=len(named) < len(hints))
    if len(given) < len(required) and not _asks_for_help(argv):
        names = " ".join(name.upper() for name in required)
        raise UserError(f"{prog} needs {names} (see: {prog} --help)")
    parsed: T = _run_tyro(options, argv, prog, (options.__doc__ or "").strip())
    check(parsed)
    return parsed


def _parse_pair(
    config: Any, extra: Any, argv: Sequence[str], prog: str, description: str
) -> tuple[Any, Any]:
    # A name of "" puts the agent's options into the first box of the help.
    agent: Any = Annotated[type(config), tyro.conf.arg(name="")]
    pair = dataclasses.make_dataclass(
        "Options", [("agent", agent), ("command", type(extra))], frozen=True
    )
    types = leaf_types(type(config)) | leaf_types(type(extra))
    argv, _ = _readable(argv, types, prog, positional=False)
    parsed = _run_tyro(pair, argv, prog, description, default=pair(config, extra))
    check(parsed.agent)
    check(parsed.command)
    return parsed.agent, parsed.command


def _run_tyro(kind: Any, argv: Sequence[str], prog: str, description: str, **default: Any) -> Any:
    arguments = ["--help"] if _asks_for_help(argv) else list(argv)
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            return tyro.cli(
                kind,
                args=arguments,
                prog=prog,
                description=description,
                config=(tyro.conf.OmitArgPrefixes, tyro.conf.PositionalMetavarFromFieldName),
                **default,
            )
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
    raise UserError(f"{_one_line(complaint.getvalue())} (see: {prog} --help)")


def _asks_for_help(argv: Sequence[str]) -> bool:
    return any(argument in HELP for argument in argv)


def _readable(
    argv: Sequence[str], types: Mapping[str, Any], prog: str, positional: bool
) -> tuple[list[str], list[str]]:
    """The arguments as tyro reads them, and those that are positional.

    Raises UserError with one line; tyro's messages are boxes.
    """
    plain: list[str] = []
    found: list[str] = []
    if _asks_for_help(argv):
        return list(argv), found
    known = {_flag(name): kind for name, kind in types.items()}
    hint = f"(see: {prog} --help)"
    arguments = iter(argv)
    for argument in arguments:
        plain.append(argument)
        if not argument.startswith("-"):
            if not positional:
                raise UserError(f"{argument!r} belongs to no option {hint}")
            found.append(argument)
            continue
        flag, equals, value = argument.partition("=")
        flag = flag.replace("_", "-")
        positive = flag.replace("--no-", "--", 1)
        if known.get(flag, known.get(positive)) is bool:
            if equals:
                raise UserError(f"{flag} takes no value: give {positive} or --no-{positive[2:]}")
        elif flag == "--resume":
            raise UserError("a run goes on with: tengen resume RUN")
        elif flag not in known:
            raise UserError(f"there is no option {flag}{nearest_option(flag, known)} {hint}")
        else:
            value = value if equals else next(arguments, "--")
            plain[-1:] = [flag, _plain_value(flag, value, known[flag])]
    return plain, found


def _plain_value(flag: str, value: str, kind: Any) -> str:
    """The value; a whole number written as 1e6 in digits."""
    if value.startswith("--"):
        raise UserError(f"{flag} needs a value after it")
    if get_origin(kind) is Literal and value not in map(str, get_args(kind)):
        choices = [str(choice) for choice in get_args(kind)]
        raise UserError(
            f"{flag} must be one of {', '.join(choices)}; got {value!r}"
            f"{did_you_mean(value, choices)}"
        )
    if kind is int:
        digits = _digits(value)
        if digits is None:
            raise UserError(f"{flag} must be a whole number, got {value!r}")
        return digits
    if kind is float:
        try:
            float(value)
        except ValueError:
            raise UserError(f"{flag} must be a number, got {value!r}") from None
    return value


def _digits(text: str) -> str | None:
    """A whole number such as 250000, 250_000, 2.5e5 or -1 in digits; None for anything else."""
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or number.adjusted() > MOST_DIGITS or number != int(number):
        return None
    return str(int(number))


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def _one_line(box: str) -> str:
    """tyro's boxed message as one line."""
    lines = [re.sub(r"[│╭╮╰╯─\x1b]|\[[0-9;]*m", " ", line) for line in box.splitlines()]
    text = " ".join(" ".join(lines).partition("For full helptext")[0].split())
    return text or "the command line cannot be read"


def _value_of(flag: str, argv: Sequence[str]) -> str:
    """The value given to one option, read ahead of the others; '' when it is not there."""
    found = ""
    for argument, following in zip(argv, [*argv[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        if name == flag:
            found = value if equals else following
    return found


def print_table(rows: Mapping[str, str], title: str, usage: str) -> None:
    """A two-column list of names and what they are."""
    print_tables({title: rows}, usage)


def print_tables(tables: Mapping[str, Mapping[str, str]], usage: str) -> None:
    """Two-column lists, each under its title."""
    width = max(len(name) for rows in tables.values() for name in rows)
    sys.stdout.write(f"usage: {usage}\n")
    for title, rows in tables.items():
        sys.stdout.write(f"\n{title}:\n")
        for name, summary in rows.items():
            sys.stdout.write(f"  {name.ljust(width)}  {summary}\n")
