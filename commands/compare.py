"""`tengen compare`: several runs side by side, in a table and a picture."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from commands.options import parse_dataclass, positional
from core.errors import UserError

if TYPE_CHECKING:
    from core.report.plots import Curve

FEWEST_RUNS = 3
"""With fewer runs of one kind nothing is claimed about the kind."""
WINDOW = 100
NO_SCORE = 1e9
AXES = {"steps": "agent steps", "minutes": "minutes of training, evaluations left out"}
HOW_IT_RAN = {
    "atari.env_threads",
    "gymnasium.env_workers",
    "replay",
    "save_replay",
    "tree_threads",
}
"""Options that change the speed and the memory of a run, not what it learns; all of `run.` besides.
Whether a resume may change an option says less: it may change the epsilon of evaluations."""


@dataclass(frozen=True)
class CompareOptions:
    """Compare runs: scores, speed, what differs between them, and their learning curves."""

    runs: tuple[str, ...] = positional(())
    """Run folders."""
    out: str = "compare.png"
    """Picture of the curves: .png, .svg or .pdf."""
    curve: Literal["evaluation", "return"] = "evaluation"
    """Evaluations, or the running mean of 100 training episodes."""
    against: Literal["steps", "minutes"] = "steps"
    """What the curves run along: agent steps, or minutes of training, evaluations left out."""
    reach: float = NO_SCORE
    """Say after how many steps and minutes an evaluation first came to this score; 1e9: do not."""
    mix_protocols: bool = False
    """Draw runs under different protocols in one picture."""


@dataclass(frozen=True)
class Run:
    """What is compared of one run."""

    name: str
    agent: str
    config: Any
    environment: str
    protocol: str
    evaluations: list[dict[str, Any]]
    episodes: list[dict[str, Any]]
    metrics: list[dict[str, Any]]


def main(argv: Sequence[str]) -> int:
    """Print the comparison and write the picture; return the exit code."""
    from core.files.json_files import disk_errors

    options = parse_dataclass(CompareOptions, argv, prog="tengen compare")
    if not options.runs:
        raise UserError("name at least one run folder: tengen compare RUN1 RUN2")
    runs = [read_run(Path(path)) for path in options.runs]
    _require_comparable(runs, options)
    groups = group_runs(runs)
    lines = [table(groups), *_reached(runs, options.reach), *_differences(groups), *_claims(groups)]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
    with disk_errors("write the picture", Path(options.out)):
        draw(groups, options)
    sys.stdout.write(f"curves: {options.out}\n")
    return 0


def read_run(path: Path) -> Run:
    """Read what a run folder says. Raises UserError when it is none."""
    from commands.saved import open_run, saved_config
    from envs.gymnasium.config import GymnasiumConfig, full_name
    from envs.make import is_atari

    folder = open_run(str(path))
    entry, config = saved_config(folder)
    protocol = config.atari.protocol if is_atari(config.env) else ""
    environment = full_name(config.env, getattr(config, "gymnasium", GymnasiumConfig()))
    records = {
        name: folder.read_jsonl(f"{name}.jsonl") for name in ("evaluations", "episodes", "metrics")
    }
    return Run(str(path), entry.name, config, environment, protocol, **records)


def score_of(evaluation: dict[str, Any]) -> float:
    """The Elo of a board game's agent, whose opponents change, and anybody else's mean score."""
    return float(evaluation.get("elo/elo", evaluation["mean"]))


def _require_comparable(runs: Sequence[Run], options: CompareOptions) -> None:
    environments = sorted({run.environment for run in runs})
    if len(environments) > 1:
        raise UserError(
            f"the runs are on different environments ({', '.join(environments)}); "
            f"`tengen evaluate RUN1 RUN2` averages over games"
        )
    protocols = sorted({run.protocol for run in runs})
    if len(protocols) > 1 and not options.mix_protocols:
        raise UserError(
            f"the runs follow different protocols ({', '.join(protocols)}), so their "
            f"scores cannot be compared; --mix-protocols draws them all the same"
        )


def group_runs(runs: Sequence[Run]) -> dict[str, list[Run]]:
    """Runs that differ only in their seed and in where, how and how long they ran."""
    groups: dict[Any, list[Run]] = {}
    for run in runs:
        groups.setdefault((run.agent, *_essence(run.config).items()), []).append(run)
    named: dict[str, list[Run]] = {}
    for (agent, *_), members in groups.items():
        name = agent if len(groups) == 1 else f"{agent} {_letters(len(named))}"
        named[name] = members
    return named


def _letters(number: int) -> str:
    """A to Z, then AA, AB and so on."""
    first, last = divmod(number, 26)
    return (_letters(first - 1) if first else "") + chr(ord("A") + last)


def _essence(config: Any) -> dict[str, Any]:
    """The options that change what a run learns or how it is scored, by their flat names."""
    from core.files.json_files import flatten

    options = flatten(dataclasses.asdict(config))
    return {
        name: value
        for name, value in options.items()
        if not name.startswith("run.") and name not in HOW_IT_RAN
    }


def table(groups: dict[str, list[Run]]) -> str:
    """A line per run."""
    from core.report.statistics import summarise

    lines = [
        f"{'run':<44} {'group':<12} {'steps':>10} {'last eval':>16} {'best':>8} "
        f"{'human-n.':>8} {'hours':>6} {'steps/s':>8}"
    ]
    for group, runs in groups.items():
        for run in runs:
            last = run.metrics[-1] if run.metrics else {"agent_steps": 0, "seconds": 0.0}
            steps, seconds = last["agent_steps"], last["seconds"] or 1e-9
            score, best, normalised = "-", "-", "-"
            if run.evaluations:
                newest = run.evaluations[-1]
                score = summarise(newest["scores"]).mean_and_error
                if "elo/elo" in newest:
                    width = (newest["elo/high"] - newest["elo/low"]) / 2
                    score = f"Elo {newest['elo/elo']:.0f} ± {width:.0f}"
                best = f"{max(map(score_of, run.evaluations)):.2f}"
                if newest.get("human_normalised") is not None:
                    normalised = f"{newest['human_normalised']:.3f}"
            lines.append(
                f"{run.name[-44:]:<44} {group:<12} {steps:>10,} {score:>16} {best:>8} "
                f"{normalised:>8} {seconds / 3600:>6.2f} {steps / seconds:>8.0f}"
            )
    return "\n".join(lines)


def _reached(runs: Sequence[Run], score: float) -> list[str]:
    """When each run first came to a score, a line per run."""
    from core.report.progress import duration

    if score == NO_SCORE:
        return []
    lines: list[str] = []
    for run in runs:
        ends = zip(run.evaluations, training_minutes(run, run.evaluations), strict=True)
        first = next((end for end in ends if score_of(end[0]) >= score), None)
        said = f"{score:g} not reached in {len(run.evaluations)} evaluations"
        if first is not None:
            evaluation, minutes = first
            said = f"{score_of(evaluation):.2f} after {evaluation['agent_steps']:,} steps, "
            said += f"{duration(60 * minutes)} of training"
        lines.append(f"{run.name}: {said}")
    return lines


def training_minutes(run: Run, records: Sequence[dict[str, Any]]) -> list[float]:
    """When each record of a run was made, in minutes without the evaluations until then. (Runs of
    older versions did not note how long those took; theirs are counted.)"""
    import numpy as np

    ends = [evaluation["seconds"] for evaluation in run.evaluations]
    spent = [evaluation.get("evaluation_seconds", 0.0) for evaluation in run.evaluations]
    seconds = np.array([record["seconds"] for record in records])
    until_then = np.cumsum([0.0, *spent])[np.searchsorted(ends, seconds, side="right")]
    minutes: list[float] = ((seconds - until_then) / 60).tolist()
    return minutes


def _differences(groups: dict[str, list[Run]]) -> list[str]:
    """Options in which groups of the same agent differ."""
    lines: list[str] = []
    members = [(name, runs[0]) for name, runs in groups.items()]
    for (name, run), (other_name, other) in zip(members, members[1:], strict=False):
        if run.agent != other.agent:
            continue
        mine, theirs = _essence(run.config), _essence(other.config)
        lines += [
            f"{key}: {mine[key]!r} in {name}, {theirs[key]!r} in {other_name}"
            for key in mine
            if mine[key] != theirs[key]
        ]
    return lines


def _claims(groups: dict[str, list[Run]]) -> list[str]:
    """Interquartile means where there are runs enough for them."""
    from core.report.statistics import interquartile_mean_interval

    lines: list[str] = []
    for name, runs in groups.items():
        scores = [score_of(run.evaluations[-1]) for run in runs if run.evaluations]
        if len(scores) < FEWEST_RUNS:
            lines.append(
                f"{name}: {len(scores)} evaluated runs are too few for an interval; "
                f"train at least {FEWEST_RUNS} seeds"
            )
            continue
        mean, low, high = interquartile_mean_interval({"game": scores}, seed=0)
        lines.append(
            f"{name}: interquartile mean {mean:.2f} of {len(scores)} runs "
            f"(95% bootstrap interval {low:.2f} to {high:.2f})"
        )
    return lines


def draw(groups: dict[str, list[Run]], options: CompareOptions) -> None:
    """Write the picture."""
    from core.report.plots import learning_curves
    from envs.atari.scores import published, random_and_human
    from envs.make import is_atari
    from envs.task import game_name

    some_runs = next(iter(groups.values()))
    some = some_runs[0]
    references: dict[str, float] = {}
    if is_atari(some.environment):
        game = game_name(some.environment)
        if (known := random_and_human(game)) is not None:
            references = {"random": known[0], "human": known[1]}
        references |= {
            row.label: row.score
            for row in published(game)
            if row.yardstick or row.protocol == some.protocol
        }
    curves = [
        curve
        for name, runs in groups.items()
        for run in runs
        if (curve := _curve(name, run, options)) is not None
    ]
    rules = f", protocol {some.protocol}" if some.protocol else ""
    rated = any("elo/elo" in run.evaluations[-1] for run in some_runs if run.evaluations)
    score = "Elo (a random player is 0)" if rated else "evaluation score"
    labels = {"evaluation": score, "return": f"return, mean of {WINDOW} episodes"}
    learning_curves(
        curves, Path(options.out), f"{some.environment}{rules}", labels[options.curve], references,
        AXES[options.against],
    )  # fmt: skip


def _curve(group: str, run: Run, options: CompareOptions) -> Curve | None:
    import numpy as np

    from core.report.plots import Curve

    kind = options.curve
    records = run.evaluations if kind == "evaluation" else run.episodes
    if not records:
        return None
    steps = np.array([record["agent_steps"] for record in records], dtype=float)
    if options.against == "minutes":
        steps = np.array(training_minutes(run, records))
    found = map(score_of, records) if kind == "evaluation" else (r["return"] for r in records)
    scores = np.array(list(found), dtype=float)
    if kind == "return":
        sums = np.cumsum(np.concatenate([[0.0], scores]))
        width = np.minimum(np.arange(1, len(scores) + 1), WINDOW)
        end = np.arange(1, len(scores) + 1)
        scores = (sums[end] - sums[end - width]) / width
    return Curve(group, steps, scores)
