"""What `tengen evaluate` found: keep it beside the run, and put it into words."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.report.statistics import ScoreSummary

SCORES_FILE = "scores.jsonl"
"""In a run folder: a line for every `tengen evaluate` of it."""


@dataclass(frozen=True)
class Result:
    """Scores of one run, and where they came from."""

    run: str
    environment: str
    protocol: str
    agent_steps: int | None
    checkpoint: str
    """Its name, and how it was chosen where that flatters the score; '' for an archive."""
    seed: int
    episodes_wanted: int
    scores: list[float]
    lengths: list[int]
    cut_episodes: int
    """Ended by --max-steps, not by the environment."""
    summary: ScoreSummary
    human_normalised: float | None

    @property
    def complete(self) -> bool:
        """False where a signal ended the evaluation early."""
        return len(self.scores) == self.episodes_wanted


def keep(facts: Mapping[str, Any], default: Path | None, out: str) -> None:
    """Append results as one JSON line to ``out``, or else to ``default``; say where it fails.

    Args:
        facts: what was found.
        default: None for what comes with the application, where nothing is written.
        out: the user's choice; '' for none.
    """
    from core.files.atomic import append_line
    from core.files.json_files import json_text

    path = Path(out) if out else default
    if path is None:
        sys.stderr.write("not kept, as this agent came with tengen; --out FILE keeps the result\n")
        return
    record = {"time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), **facts}
    try:
        if out:
            _end_last_line(path)
        append_line(path, json_text(record, indent=None).rstrip())
    except OSError as error:
        advice = "" if out else "; --out FILE keeps it elsewhere"
        sys.stderr.write(
            f"tengen: warning: the result could not be written to {path}: "
            f"{error.strerror or error}{advice}\n"
        )


def _end_last_line(path: Path) -> None:
    """Our own files may lose a last line that a kill tore; the user's file may lose nothing."""
    if path.is_file() and path.stat().st_size:
        with path.open("rb+") as file:
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                file.write(b"\n")


def report(result: Result) -> str:
    """A few lines for one run: the score, and published scores of the same game."""
    from envs.atari.scores import published
    from envs.make import is_atari
    from envs.task import game_name

    s = result.summary
    steps = f" at {result.agent_steps:,} agent steps" if result.agent_steps is not None else ""
    chosen = f" ({result.checkpoint})" if "best of" in result.checkpoint else ""
    rules = f", protocol {result.protocol}" if result.protocol else ""
    lines = [f"{result.run}{steps}{chosen}: {result.environment}{rules}"]
    if s.episodes == 1:
        lines.append(f"  1 episode: {s.mean:.2f}")
    else:
        lines.append(
            f"  {s.episodes} episodes: mean {s.mean_and_error} (standard error), "
            f"median {s.median:.1f}, from {s.minimum:.0f} to {s.maximum:.0f}"
        )
    if not result.complete:
        lines.append(
            f"  stopped after {s.episodes} of {result.episodes_wanted} episodes: short ones are "
            f"over-represented"
        )
    if result.cut_episodes:
        lines.append(
            f"  {result.cut_episodes} of them had not ended after {max(result.lengths):,} steps "
            f"and count as they stood (--max-steps)"
        )
    if result.human_normalised is not None:
        lines.append(f"  human-normalised {result.human_normalised:.3f} (0 random, 1 human)")
    if is_atari(result.environment):
        for row in published(game_name(result.environment)):
            lines.append(f"    {row.score:>9.1f}  {row.label}, protocol {row.protocol}")
    return "\n".join(lines)


def report_aggregate(results: Sequence[Result]) -> str:
    """Over several runs: interquartile mean with a bootstrap interval."""
    from core.report.statistics import interquartile_mean_interval

    protocols = {result.protocol for result in results}
    if len(protocols) > 1:
        return (
            "the runs follow different protocols ("
            + ", ".join(sorted(protocols))
            + "), so their scores are not averaged"
        )
    normalised = all(result.human_normalised is not None for result in results)
    environments = {result.environment for result in results}
    if not normalised and len(environments) > 1:
        return "no human scores are known for these environments, so nothing is averaged"
    by_game: dict[str, list[float]] = {}
    for result in results:
        value = result.human_normalised if normalised else result.summary.mean
        assert value is not None
        by_game.setdefault(result.environment, []).append(value)
    mean, low, high = interquartile_mean_interval(by_game, seed=0)
    kind = "human-normalised" if normalised else "raw"
    return (
        f"{len(results)} runs, {len(by_game)} environments: interquartile mean of {kind} "
        f"scores {mean:.3f} (95% bootstrap interval {low:.3f} to {high:.3f})"
    )
