"""A network by name, fitted to data, with options and weights of the user's.

    --network-options "width=32 dropout=0.1 widths=8,16,32"

Each option is a field of the network's own config and is read by the type of that field.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args, get_origin

from torch import nn

from core.config import field_types
from core.errors import UserError, did_you_mean
from networks.registry import Kind, build_network, find_family, network_config
from networks.space import search_space
from networks.weights import load_official, read_weights


def build_fitted(name: str, kind: Kind, options: str, fitted: Mapping[str, Any]) -> nn.Module:
    """A network for some data.

    Args:
        name: in the registry.
        kind: that the task needs.
        options: of the user's, as text.
        fitted: fields that the data decide, such as `num_classes`; those that this network's
            config does not have are left out.

    Raises:
        UserError: unknown name, kind or option, or an option that the data decide, or
            a value with which the network cannot be built.
    """
    require_kind(name, kind)
    config = network_config(name)
    changes = parse_options(name, config, options)
    for field, value in changes.items():
        _require_possible(field, value, search_space(type(config)).get(field, ()))
    for field in changes:
        if field in fitted:
            raise UserError(
                f"--network-options cannot set {field}: the data decide it ({fitted[field]})"
            )
    fields = {field.name for field in dataclasses.fields(config)}
    changes |= {field: value for field, value in fitted.items() if field in fields}
    try:
        return build_network(name, **changes)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        if not options:
            raise
        reason = str(error).strip().splitlines()[0]
        raise UserError(f"network {name} cannot be built with {options!r}: {reason}") from error


def require_kind(name: str, kind: Kind) -> None:
    """Raise UserError for an unknown network, and for one of another kind."""
    family = find_family(name)
    if family.kind != kind:
        raise UserError(
            f"network {name} is of kind {family.kind}, this task needs one of kind {kind} (list "
            f"them: tengen networks)"
        )


def _require_possible(field: str, value: Any, choices: tuple[Any, ...]) -> None:
    """Raise UserError for a number that is not over 0, or 0 or more, where all choices are."""
    values = value if isinstance(value, tuple) else (value,)
    known = [n for each in choices for n in (each if isinstance(each, tuple) else (each,))]
    if not known or not all(_is_number(number) for number in (*values, *known)):
        return
    if min(known) > 0 and not all(number > 0 for number in values):
        raise UserError(f"--network-options: {field} must be over 0, got {value}")
    if min(known) == 0 and not all(number >= 0 for number in values):
        raise UserError(f"--network-options: {field} must be 0 or more, got {value}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def parse_options(name: str, config: Any, text: str) -> dict[str, Any]:
    """Fields of a network's config from text such as 'width=32 dropout=0.1'.

    Raises:
        UserError: it is no list of name=value, or a field or its value cannot be.
    """
    types = field_types(type(config))
    changes: dict[str, Any] = {}
    for part in text.split():
        field, equals, value = part.partition("=")
        if not equals or not field or not value:
            raise UserError(
                f"--network-options are name=value with blanks between them, got {part!r}"
            )
        if field in changes:
            raise UserError(f"--network-options has {field} twice")
        if field not in types:
            raise UserError(
                f"network {name} has no option {field!r}{did_you_mean(field, types)} (it has: "
                f"{', '.join(sorted(types))})"
            )
        changes[field] = _parse(field, value, types[field])
    return changes


def _parse(field: str, text: str, kind: Any) -> Any:
    """The value of a field of the given type. Raises UserError for a text that is none."""
    if get_origin(kind) is tuple:
        return _parse_tuple(field, text, get_args(kind))
    options = [option for option in get_args(kind) if option is not type(None)]
    if len(options) < len(get_args(kind)) and len(options) == 1:  # a type or None
        return None if text == "none" else _parse(field, text, options[0])
    if options:  # Literal
        found = [option for option in options if str(option) == text]
        if not found:
            allowed = ", ".join(map(str, options))
            raise UserError(f"--network-options: {field} must be one of {allowed}; got {text!r}")
        return found[0]
    if kind is bool:
        if text not in ("true", "false"):
            raise UserError(f"--network-options: {field} must be true or false, got {text!r}")
        return text == "true"
    names = {int: "a whole number", float: "a number", str: "a text"}
    if kind not in names:
        raise UserError(f"--network-options cannot set {field}")
    try:
        return kind(text)
    except ValueError:
        raise UserError(f"--network-options: {field} must be {names[kind]}, got {text!r}") from None


def _parse_tuple(field: str, text: str, kinds: tuple[Any, ...]) -> tuple[Any, ...]:
    parts = text.split(",")
    if len(kinds) == 2 and kinds[1] is Ellipsis:
        kinds = (kinds[0],) * len(parts)
    if len(parts) != len(kinds):
        raise UserError(
            f"--network-options: {field} needs {len(kinds)} values with commas between them, got "
            f"{text!r}"
        )
    return tuple(_parse(field, part, kind) for part, kind in zip(parts, kinds, strict=True))


def load_weights_file(name: str, network: nn.Module, path: str) -> None:
    """Weights of the reference implementation, or of ours, from a safetensors file.

    A family whose names are not the reference's has functions that translate them, called `rename`
    or `rename_` and a library's name, and `TRANSPOSED`.

    Raises:
        UserError: the file cannot be read, or its weights do not fit; names the differences.
    """
    weights = read_weights(Path(path))
    if set(weights) == set(network.state_dict()):
        load_official(network, weights)
        return
    module = importlib.import_module(find_family(name).module)
    renames = sorted(key for key in vars(module) if key == "rename" or key.startswith("rename_"))
    rename = getattr(module, renames[0]) if renames else str
    load_official(network, weights, rename, getattr(module, "TRANSPOSED", ()))
