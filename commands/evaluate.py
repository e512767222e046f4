"""`tengen evaluate`: score trained agents, compare with published scores, film an episode."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from core.errors import UserError

if TYPE_CHECKING:
    from core.statistics import ScoreSummary


@dataclass(frozen=True)
class EvaluateOptions:
    """Score runs in environments of their own: raw scores, whole episodes, the run's protocol.
    A supervised task is scored on the test split of its data."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Run folders; or one stable-baselines3 .zip, with --env and --trust."""
    episodes: int = 0
    """Episodes per run; 0 for the protocol's number."""
    checkpoint: str = ""
    """Name of a checkpoint, 'best' or 'newest'; default: best where one is marked."""
    seed: int = 12345
    """Seed of environments and of the policy's random actions."""
    lanes: int = 10
    """Episodes side by side."""
    device: str = "cpu"
    """Where the network runs."""
    video: bool = False
    """Film one episode in colour into the run's videos folder."""
    video_format: str = "mp4"
    """mp4 or gif."""
    out: str = ""
    """Where the results go, as JSON; default: evaluation.json in the run folder."""
    env: str = ""
    """For a .zip: the environment it was trained on."""
    env_kwargs: str = ""
    """For a .zip: the environment's arguments, as in training."""
    protocol: str = ""
    """For a .zip: the protocol; default machado2018. Runs are scored under their own."""
    trust: bool = False
    """Load a .zip, which runs code that it contains; only for files you made or trust."""


def main(argv: Sequence[str]) -> int:
    """Score every run named; return the exit code."""
    from commands.held_out import is_held_out_run, score_held_out

    options = parse(argv)
    results: list[Result] = []
    for path in options.runs:
        if is_held_out_run(path):
            sys.stdout.write(score_held_out(path, options) + "\n")
        else:
            results.append(score(path, options))
    for result in results:
        sys.stdout.write(report(result) + "\n")
    if len(results) > 1:
        sys.stdout.write(report_aggregate(results) + "\n")
    return 0


def parse(argv: Sequence[str]) -> EvaluateOptions:
    """Options from the command line. Raises UserError for values that cannot work."""
    from commands.options import parse_dataclass

    options = parse_dataclass(EvaluateOptions, argv, prog="tengen evaluate")
    if not options.runs:
        raise UserError("name at least one run folder: tengen evaluate RUN")
    if options.video_format not in ("mp4", "gif"):
        raise UserError(f"--video-format must be mp4 or gif, got {options.video_format!r}")
    if options.episodes < 0 or options.lanes < 1:
        raise UserError("--episodes must be 0 or more and --lanes at least 1")
    return options


@dataclass(frozen=True)
class Subject:
    """What is scored: an environment and a way to make the policy on given lanes."""

    name: str
    environment: str
    atari: Any
    agent_steps: int | None
    folder: Path | None
    make_policy: Any
    """From (lanes, seed) to a policy."""
    gymnasium: Any


@dataclass(frozen=True)
class Result:
    """Scores of one run, and where they came from."""

    run: str
    environment: str
    protocol: str
    agent_steps: int | None
    scores: list[float]
    lengths: list[int]
    summary: dict[str, float]
    human_normalised: float | None
    video: str | None = None
    extra: dict[str, Any] = field(default_factory=dict)


def score(path: str, options: EvaluateOptions) -> Result:
    """Play the episodes, film one if asked, and write the results as JSON."""
    import torch

    from core.evaluation import play_episodes
    from core.interrupt import Interrupt
    from core.statistics import summarise
    from envs.task import make_task

    # Batches of a few observations gain nothing from threads and wait for them on a busy machine.
    torch.set_num_threads(1)
    subject = _subject(path, options)
    task = make_task(subject.environment, subject.atari, subject.gymnasium)
    episodes = options.episodes or _protocol_episodes(subject)
    lanes = task.evaluation_lanes(min(options.lanes, episodes))
    sys.stderr.write(f"{subject.name}: playing {episodes} episodes of {subject.environment}\n")
    try:
        policy = subject.make_policy(lanes, options.seed)
        with Interrupt() as interrupt:
            played = play_episodes(lanes, policy, episodes, options.seed, stop=interrupt)
        if not played:
            raise KeyboardInterrupt
    finally:
        lanes.close()
    scores = [episode.score for episode in played]
    summary: ScoreSummary = summarise(scores)
    video = _film(subject, options) if options.video else None
    result = Result(
        run=subject.name,
        environment=task.environment,
        protocol=task.protocol,
        agent_steps=subject.agent_steps,
        scores=scores,
        lengths=[episode.length_steps for episode in played],
        summary=dataclasses.asdict(summary),
        human_normalised=task.normalise(summary.mean),
        video=video,
    )
    _write_json(result, subject, options)
    return result


def _subject(path: str, options: EvaluateOptions) -> Subject:
    if path.endswith(".zip"):
        return _sb3_subject(Path(path), options)
    if options.env or options.protocol or options.env_kwargs:
        raise UserError(
            "--env, --env-kwargs and --protocol are for .zip files; a run folder knows its own"
        )
    from agents.registry import load_object
    from commands.session import saved_config
    from core.checkpoint import load
    from core.run_folder import RunFolder

    folder = RunFolder.open(located(path))
    entry, config = saved_config(folder)
    if entry.start is not None:
        raise UserError(
            f"{path} is a stable-baselines3 run; score its archive: tengen evaluate "
            f"{path}/model.zip --env {config.env} --trust"
        )
    if entry.scored_by == "matches":
        raise UserError(f"{path} plays board games; score it by a match: {entry.advice(path)}")
    loaded = load(checkpoint_path(folder, options.checkpoint), keys=["network"])
    if loaded.identity.get("environment") != config.env:
        raise UserError(
            f"{loaded.path} was trained on {loaded.identity.get('environment')}, but "
            f"{path} is a run on {config.env}"
        )
    module = load_object(entry.build_module)

    def make_policy(lanes: Any, seed: int) -> Any:
        return module.build_policy(config, lanes, loaded.state["network"], seed, options.device)

    return Subject(
        path,
        config.env,
        _atari_options(config),
        loaded.step,
        folder.path,
        make_policy,
        config.gymnasium,
    )


def located(path: str) -> Path:
    """A run folder of the user's, or one that comes with the application."""
    shipped = Path(__file__).resolve().parents[1] / path
    return shipped if not Path(path).exists() and shipped.is_dir() else Path(path)


def checkpoint_path(folder: Any, name: str) -> Path:
    """The checkpoint that --checkpoint names. Raises UserError when best was asked for in vain."""
    from core.checkpoint import best

    checkpoints: Path = folder.checkpoints
    if name in ("", "best"):
        marked = best(checkpoints)
        if marked is not None:
            return marked
        if name == "best":
            raise UserError(
                f"{folder.path} has no best checkpoint yet: none was evaluated; use "
                f"--checkpoint newest"
            )
    return checkpoints if name in ("", "newest") else checkpoints / name


def _sb3_subject(path: Path, options: EvaluateOptions) -> Subject:
    from agents.baselines.policy import load_sb3_policy
    from core.errors import did_you_mean
    from envs.atari_protocol import PROTOCOLS, AtariConfig
    from envs.gymnasium_config import GymnasiumConfig
    from envs.make import is_atari
    from envs.names import canonical_id

    if not options.env:
        raise UserError(f"say what {path} was trained on: --env ALE/Pong-v5")
    options = dataclasses.replace(options, env=canonical_id(options.env))
    protocol = options.protocol or AtariConfig().protocol
    if protocol not in PROTOCOLS:
        raise UserError(
            f"there is no protocol {protocol!r}{did_you_mean(protocol, PROTOCOLS)} "
            f"(known: {', '.join(PROTOCOLS)})"
        )
    atari = AtariConfig(protocol=protocol)  # type: ignore[arg-type]

    def make_policy(lanes: Any, seed: int) -> Any:
        epsilon = PROTOCOLS[protocol].evaluation_epsilon if is_atari(options.env) else 0.0
        return load_sb3_policy(
            path, lanes, trust=options.trust, seed=seed, epsilon=epsilon, device=options.device
        )

    gymnasium = GymnasiumConfig(options.env_kwargs)
    gymnasium.validate()
    return Subject(str(path), options.env, atari, None, None, make_policy, gymnasium)


def _atari_options(config: Any) -> Any:
    from envs.atari_protocol import AtariConfig

    return getattr(config, "atari", AtariConfig())


def _protocol_episodes(subject: Subject) -> int:
    from envs.atari_protocol import PROTOCOLS

    return PROTOCOLS[subject.atari.protocol].evaluation_episodes


def _film(subject: Subject, options: EvaluateOptions) -> str:
    from core.video import write_video
    from envs.recording import film_episode, filmable_lanes, frames_per_second

    lanes = filmable_lanes(subject.environment, subject.atari, subject.gymnasium)
    try:
        policy = subject.make_policy(lanes, options.seed)
        steps = f"-step{subject.agent_steps}" if subject.agent_steps is not None else ""
        slug = subject.environment.replace("/", "-")
        folder = subject.folder / "videos" if subject.folder else Path(subject.name).parent
        path = folder / f"{slug}{steps}.{options.video_format}"
        folder.mkdir(parents=True, exist_ok=True)
        frames = film_episode(subject.environment, subject.atari, lanes, policy, options.seed)
        write_video(frames, path, frames_per_second(subject.environment))
    except OSError as error:
        raise UserError(f"cannot write the video: {error}") from error
    finally:
        lanes.close()
    return str(path)


def _write_json(result: Result, subject: Subject, options: EvaluateOptions) -> None:
    from core.atomic import replace_file

    if options.out:
        path = Path(options.out)
    elif subject.folder is not None:
        path = subject.folder / "evaluation.json"
    else:
        path = Path(subject.name).with_suffix(".evaluation.json")
    try:
        text = json.dumps(dataclasses.asdict(result), indent=1) + "\n"
        replace_file(path, [text.encode()])
    except OSError as error:
        sys.stderr.write(f"tengen: warning: the results could not be written to {path}: {error}\n")


def report(result: Result) -> str:
    """A few lines for one run: the score, and published scores of the same game."""
    from envs.atari_scores import published
    from envs.make import is_atari
    from envs.task import game_name

    s = result.summary
    steps = f" at {result.agent_steps:,} agent steps" if result.agent_steps is not None else ""
    rules = f", protocol {result.protocol}" if result.protocol else ""
    lines = [
        f"{result.run}{steps}: {result.environment}{rules}",
        f"  {len(result.scores)} episodes: mean {s['mean']:.2f} ± {s['standard_error']:.2f} "
        f"(standard error), median {s['median']:.1f}, from {s['minimum']:.0f} to "
        f"{s['maximum']:.0f}",
    ]
    if result.human_normalised is not None:
        lines.append(f"  human-normalised {result.human_normalised:.3f} (0 random, 1 human)")
    if is_atari(result.environment):
        for row in published(game_name(result.environment)):
            lines.append(f"    {row.score:>9.1f}  {row.label}, protocol {row.protocol}")
    if result.video:
        lines.append(f"  video: {result.video}")
    return "\n".join(lines)


def report_aggregate(results: Sequence[Result]) -> str:
    """Over several runs: interquartile mean with a bootstrap interval."""
    from core.statistics import interquartile_mean_interval

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
        value = result.human_normalised if normalised else result.summary["mean"]
        assert value is not None
        by_game.setdefault(result.environment, []).append(value)
    mean, low, high = interquartile_mean_interval(by_game, seed=0)
    kind = "human-normalised" if normalised else "raw"
    return (
        f"{len(results)} runs, {len(by_game)} environments: interquartile mean of {kind} "
        f"scores {mean:.3f} (95% bootstrap interval {low:.3f} to {high:.3f})"
    )
