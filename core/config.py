"""Options are frozen dataclasses, and nothing else is a source of options.

Precedence: default < environment < preset < TOML file < command line. The docstring under a field
is its help text. Every field says whether a resumed run may change it. Imports no torch.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import math
import textwrap
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin

from core.errors import UserError, did_you_mean

SCHEMA_VERSION = 2
"""Of the files written now. A dataclass may have `upgrade(tree, version)`, which turns the options
of an older file into today's."""
MAX_FILE_BYTES = 1_000_000
BYTE_ORDER_MARK = "\ufeff"
"""Some editors begin a file with it."""
EVALUATION_STEPS = 27_000
"""Agent steps of the longest game that a protocol of Atari allows: 108,000 frames."""

T = TypeVar("T")


class ConfigError(UserError):
    """An option that does not exist or has a value it cannot have."""


@dataclass(frozen=True)
class Bounds:
    """What a number may be, which also describes it to a search; NaN is within no bounds."""

    at_least: float = -math.inf
    over: float = -math.inf
    at_most: float = math.inf
    under: float = math.inf
    also: float | None = None
    """A value with a meaning of its own, such as -1 for what the protocol says."""

    def __contains__(self, value: float) -> bool:
        """Whether the number may be had."""
        inside = self.at_least <= value <= self.at_most and self.over < value < self.under
        return inside or value == self.also

    def __str__(self) -> str:
        """In words: 'at least 0 and under 1'."""
        ends = ("at_least", "over", "at_most", "under")
        said = [(name, getattr(self, name)) for name in ends if math.isfinite(getattr(self, name))]
        text = " and ".join(f"{name.replace('_', ' ')} {_shown(end)}" for name, end in said)
        return text if self.also is None else f"{text}, or {self.also}"


def _shown(end: float) -> str:
    """A number as a person writes it."""
    power = int(end).bit_length() - 1
    return f"2**{power}" if power > 30 and end == 2**power else str(end)


def locked(default: Any, **bounds: float) -> Any:
    """A field that a resumed run must keep. A number may have `Bounds`, given by their names."""
    return _option(default, "locked", bounds)


def warn(default: Any, **bounds: float) -> Any:
    """A field that a resumed run may change, which is said aloud."""
    return _option(default, "warn", bounds)


def free(default: Any, **bounds: float) -> Any:
    """A field that a resumed run may change freely."""
    return _option(default, "free", bounds)


def _option(default: Any, resume: str, bounds: Mapping[str, float]) -> Any:
    metadata = {"resume": resume} | ({"bounds": Bounds(**bounds)} if bounds else {})
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class RunConfig:
    """How long, how often, where: the same for every agent."""

    total_steps: int = free(10_000_000, at_least=1)
    """Agent steps over all lanes."""
    seed: int = locked(1, at_least=0, under=2**63)
    """Every random stream of the run derives from it."""
    device: str = free("auto")
    """auto, cpu, cuda or cuda:N."""
    precision: Literal["auto", "fp32", "bf16"] = warn("auto")
    """Arithmetic of the networks; auto takes what a start-up probe finds fastest."""
    threads: int = free(0, at_least=0)
    """Processor threads for the networks; 0 lets the probe choose."""
    compile: bool = free(False)
    """Compile the networks with torch.compile; needs a C++ compiler and up to a minute."""
    runs: str = free("runs")
    """Where the folders of runs are made."""
    run_dir: str = free("")
    """Make this run's folder exactly here."""
    checkpoint_seconds: float = free(300.0, over=0)
    """A kill loses at most this much, and less of a run's first minutes."""
    keep_checkpoints: int = free(2, at_least=1)
    """Newest checkpoints kept; the best is kept besides."""
    log_seconds: float = free(5.0, over=0)
    """Seconds between points in TensorBoard."""
    evaluate_every: int = free(250_000, at_least=0)
    """Agent steps between evaluations in separate environments; 0 for never."""
    evaluate_episodes: int = free(10, at_least=1)
    """Episodes of each evaluation."""
    stop_at_score: float = free(1e9)
    """Finish as soon as an evaluation reaches this."""
    initial: str = free("")
    """Begin a new run with the weights of this run or checkpoint folder."""
    evaluate_max_steps: int = free(EVALUATION_STEPS, at_least=1)
    """Agent steps after which an episode of an evaluation is cut; cut ones are counted."""
    video: bool = free(True)
    """Put an animated image of each evaluation into TensorBoard."""
    track: bool = free(False)
    """Send curves and evaluations to Weights & Biases; needs: pip install wandb."""
    progress: bool = free(True)
    """Show a line of progress."""


# ------------------------------------------------------------------ from file to config


def resolve(
    config_type: type[T],
    preset: Mapping[str, Any] | None = None,
    file: Path | None = None,
    environment: Mapping[str, Any] | None = None,
) -> T:
    """Defaults, overridden by what an environment asks for under any preset, overridden by a
    preset, overridden by a TOML file.

    Raises:
        ConfigError: the file cannot be read, or names an option or value that does not exist.
    """
    config = _apply(config_type(), environment or {}, "environment", "")
    config = _apply(config, preset or {}, "preset", "")
    if file is not None:
        try:
            if file.stat().st_size > MAX_FILE_BYTES:
                raise ConfigError(f"{file} is larger than a config file can be")
            text = file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot read the config file {file}: {error}") from error
        config = from_toml(config_type, text, str(file), base=config)
    return config


def from_toml(config_type: type[T], text: str, source: str, base: T | None = None) -> T:
    """A config from TOML text.

    Args:
        config_type: a frozen dataclass whose fields all have defaults.
        text: TOML; nested dataclasses are tables.
        source: named in errors.
        base: what the text overrides; None for the defaults.

    Raises:
        ConfigError: one line that names the key and the nearest valid one.
    """
    try:
        tree = tomllib.loads(text.removeprefix(BYTE_ORDER_MARK))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source} is not valid TOML: {error}") from error
    version = tree.pop("schema_version", SCHEMA_VERSION)
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise ConfigError(
            f"{source} has schema_version {version!r}; this version of tengen reads "
            f"1 to {SCHEMA_VERSION}"
        )
    config = _apply(config_type() if base is None else base, tree, source, "", version)
    try:
        check(config)
    except UserError as error:
        raise ConfigError(f"{source}: {error}") from error
    return config


def _apply(
    config: T,
    tree: Mapping[str, Any],
    source: str,
    prefix: str,
    version: int = SCHEMA_VERSION,
) -> T:
    types = field_types(type(config))
    upgrade = getattr(config, "upgrade", None)
    changes: dict[str, Any] = {}
    for name, value in (upgrade(tree, version) if upgrade else tree).items():
        if name not in types:
            hint = _did_you_mean_key(name, type(config))
            raise ConfigError(f"{source}: there is no option {prefix + name!r}{hint}")
        if dataclasses.is_dataclass(types[name]):
            if not isinstance(value, Mapping):
                raise ConfigError(
                    f"{source}: {prefix + name!r} is a table of options, got {value!r}"
                )
            inner = getattr(config, name)
            changes[name] = _apply(inner, value, source, f"{prefix}{name}.", version)
        else:
            changes[name] = require_type(value, types[name], f"{source}: {prefix + name!r}")
    changed: T = dataclasses.replace(config, **changes)  # type: ignore[type-var]
    return changed


def require_type(value: Any, wanted: Any, where: str) -> Any:
    """The value if it has the wanted type; integers pass for floats.

    Raises:
        ConfigError: it has another, or is no finite number; `where` begins the line.
    """
    if get_origin(wanted) is Literal:
        if not any(value == choice and type(value) is type(choice) for choice in get_args(wanted)):
            allowed = [str(choice) for choice in get_args(wanted)]
            raise ConfigError(
                f"{where} must be one of {', '.join(allowed)}; got {value!r}"
                f"{did_you_mean(str(value), allowed)}"
            )
        return value
    if wanted is float and type(value) is int and abs(value) < 2**1023:
        value = float(value)
    if type(value) is not wanted:
        raise ConfigError(f"{where} must be {_TYPE_NAMES[wanted]}, got {value!r}")
    if wanted is float and not math.isfinite(value):
        raise ConfigError(f"{where} must be a finite number, got {value!r}")
    return value


_TYPE_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}


def check(config: Any) -> None:
    """Look at the bounds of every option of a config and the configs in it, then at what they say
    of several options together: a dataclass may have `validate()`, which raises UserError.

    Raises:
        UserError: a value that cannot work, such as one that a config file could not hold.
    """
    bounds = field_bounds(type(config))
    for name, kind in field_types(type(config)).items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(kind):
            check(value)
        elif isinstance(value, float) and not math.isfinite(value):
            raise ConfigError(f"{flag_of(name)} must be a finite number, got {value}")
        elif name in bounds and value not in bounds[name]:
            raise ConfigError(f"{flag_of(name)} must be {bounds[name]}, got {value}")
    validate = getattr(config, "validate", None)
    if validate is not None:
        validate()


# ------------------------------------------------------------------ from config to file


def to_toml(config: Any) -> str:
    """TOML that ``from_toml`` turns into an equal config; help texts stand as comments."""
    lines = [f"schema_version = {SCHEMA_VERSION}", *_table(config, "")]
    return "\n".join(lines) + "\n"


def _table(config: Any, prefix: str) -> list[str]:
    config_type: Any = type(config)
    types, docs = field_types(config_type), field_docs(config_type)
    lines, tables = [], []
    for name, kind in types.items():
        value = getattr(config, name)
        if dataclasses.is_dataclass(kind):
            tables += ["", f"[{prefix}{name}]", *_table(value, f"{prefix}{name}.")]
        else:
            comment = f"  # {docs[name]}" if name in docs else ""
            lines.append(f"{name} = {_toml_value(value)}{comment}")
    return lines + tables


def _toml_value(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return '"' + "".join(_escaped(character) for character in value) + '"'
    return repr(value)


def _escaped(character: str) -> str:
    if character in '"\\':
        return "\\" + character
    code = ord(character)
    return f"\\U{code:08x}" if code < 32 or code == 127 else character


# ------------------------------------------------------------------ resume


def resume_changes(old: Any, new: Any) -> list[str]:
    """What a resume changes, as texts, apart from what may change freely.

    Raises:
        ConfigError: a locked option changed.
    """
    changed = list(_changes(old, new))
    barred = [text for policy, text in changed if policy == "locked"]
    if barred:
        raise ConfigError(
            f"a resumed run cannot change {'; '.join(barred)}; start a new run with "
            f"`tengen train` for that"
        )
    return [text for policy, text in changed if policy == "warn"]


def _changes(old: Any, new: Any) -> typing.Iterator[tuple[str, str]]:
    for field in dataclasses.fields(old):
        before, after = getattr(old, field.name), getattr(new, field.name)
        if dataclasses.is_dataclass(before):
            yield from _changes(before, after)
        elif before != after:
            policy = field.metadata.get("resume", "locked")
            yield policy, f"{flag_of(field.name)} from {before!r} to {after!r}"


# ------------------------------------------------------------------ what a config consists of


def flag_of(name: str) -> str:
    """How a field is given on the command line."""
    return "--" + name.replace("_", "-")


def field_types(config_type: Any) -> dict[str, Any]:
    """Field names to types, in order."""
    hints = typing.get_type_hints(config_type)
    return {field.name: hints[field.name] for field in dataclasses.fields(config_type)}


def leaf_types(config_type: Any) -> dict[str, Any]:
    """Every option of a config and the configs in it; names are unique on the command line."""
    leaves: dict[str, Any] = {}
    for name, kind in field_types(config_type).items():
        if dataclasses.is_dataclass(kind):
            leaves |= leaf_types(kind)
        else:
            leaves[name] = kind
    return leaves


def field_bounds(config_type: Any) -> dict[str, Bounds]:
    """Field names to bounds, for those that have some."""
    fields = dataclasses.fields(config_type)
    return {f.name: f.metadata["bounds"] for f in fields if "bounds" in f.metadata}


@functools.cache
def field_docs(config_type: type) -> dict[str, str]:
    """Field names to the docstrings under them, on one line; those of base classes first."""
    docs: dict[str, str] = {}
    for base in config_type.__bases__:
        if dataclasses.is_dataclass(base):
            docs |= field_docs(base)
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(config_type))).body[0]
    except (OSError, TypeError):  # installed without sources
        return docs
    assert isinstance(tree, ast.ClassDef)
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            docs[field.target.id] = " ".join(str(text.value.value).split())
    return docs


def _did_you_mean_key(name: str, config_type: Any) -> str:
    within = dict(_paths(config_type))
    if name in within:
        path = within[name]
        return f"; it is {path!r}: {name!r} belongs under [{path.rpartition('.')[0]}]"
    return did_you_mean(name, field_types(config_type)) or did_you_mean(name, within.values())


def _paths(config_type: Any, prefix: str = "") -> typing.Iterator[tuple[str, str]]:
    """Name and dotted path of every option in the tables of a config."""
    for table, kind in field_types(config_type).items():
        if dataclasses.is_dataclass(kind):
            yield from ((name, f"{prefix}{table}.{name}") for name in field_types(kind))
            yield from _paths(kind, f"{prefix}{table}.")
