"""`tengen study NAME`: a phenomenon of training itself, tried in a grid of small trainings."""

from __future__ import annotations

import dataclasses
import importlib
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from commands.options import HELP, parse_dataclass, print_tables
from core.errors import UserError, did_you_mean

STUDIES = {
    "alphago-overfitting": "a value network that learns all positions of a game remembers it",
    "alphago-values": "AlphaGo's value network against averages over rollouts, by move number",
    "alphago-ablation": "AlphaGo's search with and without each of its parts, rated by games",
    "double-descent": "larger networks, longer trainings, more data: worse before they are better",
    "lottery-ticket": "a small part of a network, begun again from its first weights, is enough",
    "komi-sweep": "Go under every komi: does a network of Zero know what a small board is worth?",
    "round-robin": "players of any kind on one scale: all play all",
    "zero-switches": "what each of Zero's switches is worth, by trainings without it and games",
    "connect-four": "how often Zero chooses a right move, by an exact solver",
    "signal-propagation": "how large a signal is after many layers, by the first weights",
    "batch-norm-rates": "batch normalisation lets a network bear higher learning rates",
    "highway-depth": "plain networks stop learning with depth, highway networks do not",
    "degradation": "more layers train worse, unless they have shortcuts",
    "decoupled-decay": "the best weight decay moves with the learning rate, or does not",
    "nas-tables": "how fast searchers of architectures find good cells in published tables",
    "nas-sharing": "do weights that architectures share rank them as trainings of their own do?",
    "nas-winners": "is what a search found better than networks made by hand of equal size?",
    "attention-memory": "what a long text takes: hashed attention is linear, full attention is not",
    "duplication": "how many hashes a Reformer needs to find what it saw before",
    "longer-memory": "a longer memory foresees more, and saves reading anew: Transformer-XL",
    "homograph": "two words spelled alike, told apart by what stands around them: ELMo by layer",
    "ode-net": "a differential equation in the place of six residual blocks",
}


def main(argv: Sequence[str]) -> int:
    """Compute what is missing of a study, and write what it says; return the exit code."""
    if not argv or argv[0] in HELP:
        print_tables({"studies": STUDIES}, "tengen study NAME [options]   (--quick: a few cells)")
        return 0
    if argv[0] not in STUDIES:
        raise UserError(
            f"there is no study {argv[0]!r}{did_you_mean(argv[0], STUDIES)} (known: "
            f"{', '.join(STUDIES)})"
        )
    study = importlib.import_module(f"studies.{argv[0].replace('-', '_')}")
    options = parse_dataclass(study.Options, argv[1:], prog=f"tengen study {argv[0]}")
    write(study, options, argv[0])
    return 0


def write(study: Any, options: Any, name: str) -> None:
    """Run a study; write results.json, figure.png and page.md beside its journal."""
    from core.files.json_files import disk_errors, json_text
    from core.machine.environment_facts import environment_facts
    from core.report.progress import duration

    began = time.monotonic()
    results = study.run(options)
    folder = Path(options.out)
    facts = environment_facts()
    asked = {k: v for k, v in dataclasses.asdict(options).items() if k not in ("out", "processes")}
    kept = {name: facts[name] for name in ("versions", "processor")}
    lines = study.page(results)
    with disk_errors("write to", folder):
        content = {"options": asked, **results, "environment": kept}
        (folder / "results.json").write_bytes(json_text(content))
        text = [f"# {study.TITLE}", "", "![What was found](figure.png)", "", *lines, ""]
        (folder / "page.md").write_text("\n".join(text), "utf-8")
        study.draw(results, folder / "figure.png")
    sys.stdout.write("\n".join(lines) + "\n\n")
    sys.stdout.write(
        f"{folder}: results.json, figure.png, page.md; {duration(time.monotonic() - began)}\n"
    )
