"""`tengen networks`: every network of the suite, with its paper and its size; or one of them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agents.registry import AGENTS, load_object
from commands.options import parse_dataclass, positional
from networks.registry import FAMILIES, TORSOS, build_network, find_family, network_config

TASKS = {
    "image": "classify", "language": "lm", "masked": "mlm", "translation": "translate",
    "words": "words", "generator": "gan",
}  # fmt: skip
"""The task that trains each kind of network."""
FROM_THE_DATA = (
    "num_classes",
    "in_channels",
    "image_size",
    "sample_shape",
    "vocabulary",
    "context_length",
    "spellings",
)
"""Options that the data decide, or an option of the task."""
FASHION = 28
"""Pixels of the images that are the default; larger ones are the user's own."""


@dataclass(frozen=True)
class NetworksOptions:
    """List the networks: name, kind, year, parameters, paper. With a NAME: its options."""

    name: str = positional("")
    """A network or a torso; left out, all of them are listed."""


def main(argv: Sequence[str]) -> int:
    """Print the table, or what there is to say about one network."""
    name = parse_dataclass(NetworksOptions, argv, prog="tengen networks").name
    if not name:
        lines = table()
    elif name in TORSOS:
        lines = about_torso(name)
    else:
        find_family(name, also=TORSOS)
        lines = about_network(name)
    sys.stdout.write("\n".join(lines) + "\n")
    return 0


def table() -> list[str]:
    """All networks, torsos first, then by year. Imports no torch."""
    rows = [("name", "kind", "year", "parameters", "paper")]
    rows += [
        (name, "torso", str(entry.year or ""), "by input", entry.summary)
        for name, entry in TORSOS.items()
    ]
    for family in sorted(FAMILIES, key=lambda family: family.year):
        for name, count in family.presets.items():
            size = f"{count:,}" if count else "by input"
            rows.append((name, family.kind, str(family.year), size, family.paper))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"{name:<{widths[0]}}  {kind:<{widths[1]}}  {year:<{widths[2]}}  "
        f"{size:>{widths[3]}}  {paper}"
        for name, kind, year, size, paper in rows
    ]
    return [*lines, "", "tengen networks NAME says more about one of them"]


def about_torso(name: str) -> list[str]:
    """Where it is from and how to use it."""
    entry = TORSOS[name]
    year = f" ({entry.year})" if entry.year else ""
    return [
        f"{name}, a torso{year}; its parameters depend on what it sees",
        entry.summary,
        f"file       {entry.module.replace('.', '/')}.py",
        f"use it     tengen train dqn --network {name}",
    ]


def about_network(name: str) -> list[str]:
    """Its family, how to train it, and its options."""
    import torch

    from core.config import field_docs
    from networks.base import Generator
    from networks.space import search_space
    from tasks.building import parameter_count

    family, config = find_family(name), network_config(name)
    kind: type = type(config)
    with torch.device("meta"):  # sizes without numbers
        network = build_network(name)
        critic = network.build_critic() if isinstance(network, Generator) else None
    smallest = getattr(network, "smallest_input", 1)
    lines = [
        f"{name}, {family.title} ({family.year}): {parameter_count(network):,} parameters",
        family.paper,
        f"file       {family.module.replace('.', '/')}.py",
        f"presets    {', '.join(family.presets)}",
        f"train it   tengen train {TASKS[family.kind]} {_training(name, family.kind, smallest)}",
    ]
    if family.kind == "words":
        return [*lines, "options    tengen train words --help"]
    if family.kind == "masked":
        lines.append("and then   tengen train label --initial RUN   (classes of texts)")
    if critic is not None:
        lines.append(f"its critic {parameter_count(critic):,} parameters")
    if family.kind == "image":
        lines.append(f"as torso   tengen train dqn --network {name}")
        lines.append(f"images     {smallest}x{smallest} pixels or more")
    lines += ["", 'its options, for --network-options "name=value name=value":']
    choices = search_space(kind)
    for field, doc in field_docs(kind).items():
        if field not in FROM_THE_DATA:
            lines += [f"  {field}={as_text(getattr(config, field))}", f"      {doc}"]
            if field in choices:
                others = "  ".join(as_text(value) for value in choices[field])
                lines.append(f"      for example: {others}")
    return lines


def _training(name: str, kind: str, smallest: int) -> str:
    """Options that train a network: a preset where it needs other data than the default's."""
    if kind in ("generator", "translation"):
        config = load_object(AGENTS[TASKS[kind]].config.partition(":")[0])
        for preset, (_, settings) in config.PRESETS.items():
            if name in (settings.get("model"), settings.get("network")):
                return f"--preset {preset}"
    flag = "--model" if kind in ("words", "generator") else "--network"
    return f"{flag} {name}" + (" --data FOLDER" if smallest > FASHION else "")


def as_text(value: Any) -> str:
    """A value as --network-options reads it."""
    if isinstance(value, tuple):
        return ",".join(as_text(part) for part in value)
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
