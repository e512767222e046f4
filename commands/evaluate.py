"""`tengen evaluate`: score trained agents, compare with published scores, film an episode."""

from __future__ import annotations

import contextlib
import dataclasses
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from commands.options import parse_dataclass, positional
from commands.scores import SCORES_FILE, Result, keep, report, report_aggregate
from core.config import EVALUATION_STEPS, check, free
from core.errors import UserError
from core.report.progress import EpisodeProgress

if TYPE_CHECKING:
    from core.evaluation import Policy
    from core.lanes import Lanes
    from envs.atari.protocol import AtariConfig
    from envs.gymnasium.config import GymnasiumConfig


@dataclass(frozen=True)
class EvaluateOptions:
    """Score runs in environments of their own: raw scores, whole episodes, the run's protocol.
    A supervised task is scored on the test split of its data."""

    runs: tuple[str, ...] = positional(())
    """Run folders; or one stable-baselines3 .zip, with --env and --trust."""
    episodes: int = free(0, at_least=0)
    """Episodes per run; 0 for the protocol's number."""
    max_steps: int = free(EVALUATION_STEPS, at_least=1)
    """Agent steps after which an episode is cut; cut ones are counted."""
    checkpoint: str = ""
    """Name of a checkpoint, 'newest' or 'best' of the run's own evaluations. Default: newest; for
    supervised tasks the best on their validation part."""
    seed: int = free(12345, at_least=0, under=2**63)
    """Seed of environments and of the policy's random actions."""
    lanes: int = free(10, at_least=1)
    """Episodes side by side."""
    device: str = "cpu"
    """Where the network runs."""
    render: bool = False
    """First show an episode in a window; Esc or closing it goes on to the scores."""
    video: bool = False
    """Film one more episode in colour into the run's videos folder."""
    video_format: Literal["mp4", "gif"] = "mp4"
    """Of the film."""
    out: str = ""
    """Append the results to this file, one line of JSON a run; default: scores.jsonl in the run
    folder."""
    env: str = ""
    """For a .zip: the environment it was trained on."""
    env_kwargs: str = ""
    """For a .zip: the environment's arguments, as in training."""
    protocol: str = ""
    """For a .zip: the protocol; default dopamine. Runs are scored under their own."""
    trust: bool = False
    """Load a .zip, which runs code that it contains; only for files you made or trust."""


def main(argv: Sequence[str]) -> int:
    """Score every run named; return the exit code: 130 if a signal ended it early."""
    from commands.held_out import is_held_out_run, score_held_out
    from commands.saved import open_run

    options = parse(argv)
    from core.machine.probe import resolve_device

    options = dataclasses.replace(options, device=resolve_device(options.device))
    for path in options.runs:  # a name that was mistyped is said before hours of episodes
        if not path.endswith(".zip"):
            open_run(path)
    if options.out and not Path(options.out).resolve().parent.is_dir():
        raise UserError(f"there is no folder for --out {options.out}")
    results: list[Result] = []
    filmed = True
    for path in options.runs:
        if is_held_out_run(path):
            sys.stdout.write(score_held_out(path, options) + "\n")
            continue
        subject = subject_of(path, options)
        if options.render:
            _show(subject, options)
        results.append(score(subject, options))
        sys.stdout.write(report(results[-1]) + "\n")
        sys.stdout.flush()
        if not results[-1].complete:
            return 130
        if options.video:
            filmed = _film(subject, options) and filmed
    if len(results) > 1:
        sys.stdout.write(report_aggregate(results) + "\n")
    return 0 if filmed else 2


def parse(argv: Sequence[str]) -> EvaluateOptions:
    """Options from the command line. Raises UserError for values that cannot work."""
    options = parse_dataclass(EvaluateOptions, argv, prog="tengen evaluate")
    if not options.runs:
        raise UserError("name at least one run folder: tengen evaluate RUN")
    return options


@dataclass(frozen=True)
class Subject:
    """What is scored: an environment and a way to make the policy on given lanes."""

    name: str
    environment: str
    atari: AtariConfig
    agent_steps: int | None
    checkpoint: str
    """As in `Result`."""
    results: Path | None
    """File that results are appended to, None where nothing is written."""
    videos: Path
    """Folder of films."""
    make_policy: Callable[[Lanes, int], Policy]
    """From (lanes, seed) to a policy."""
    gymnasium: GymnasiumConfig


def score(subject: Subject, options: EvaluateOptions) -> Result:
    """Play the episodes and keep the result. Raises KeyboardInterrupt where none was finished."""
    import torch

    from core.evaluation import CutShort, play_episodes
    from core.machine.interrupt import Interrupt
    from core.report.statistics import summarise
    from envs.task import environment_name, normalised, protocol_name

    # Batches of a few observations gain nothing from threads and wait for them on a busy machine.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    episodes = options.episodes or _protocol_episodes(subject)
    lanes = _lanes(subject, min(options.lanes, episodes))
    sys.stderr.write(f"{subject.name}: playing {episodes} episodes of {subject.environment}\n")
    progress = EpisodeProgress(episodes)
    failure: CutShort | None = None
    try:
        policy = subject.make_policy(lanes, options.seed)
        with Interrupt() as interrupt:
            played = play_episodes(
                lanes,
                policy,
                episodes,
                options.seed,
                stop=interrupt,
                max_steps=options.max_steps,
                report=progress.show,
            )
    except CutShort as error:
        played, failure = error.episodes, error
    finally:
        progress.clear()
        lanes.close()
        torch.set_num_threads(threads)
    if not played:
        raise failure or KeyboardInterrupt
    scores = [episode.score for episode in played]
    summary = summarise(scores)
    result = Result(
        run=subject.name,
        environment=environment_name(subject.environment, subject.gymnasium),
        protocol=protocol_name(subject.environment, subject.atari),
        agent_steps=subject.agent_steps,
        checkpoint=subject.checkpoint,
        seed=options.seed,
        episodes_wanted=episodes,
        scores=scores,
        lengths=[episode.length_steps for episode in played],
        cut_episodes=sum(episode.cut for episode in played),
        summary=summary,
        human_normalised=normalised(subject.environment, summary.mean),
    )
    keep(dataclasses.asdict(result), subject.results, options.out)
    if failure is not None:
        sys.stdout.write(report(result) + "\n")
        raise failure
    return result


def _lanes(subject: Subject, count: int) -> Lanes:
    from envs.make import make_lanes

    return make_lanes(subject.environment, count, subject.atari, subject.gymnasium, evaluation=True)


def subject_of(path: str, options: EvaluateOptions) -> Subject:
    """What lies at ``path``, ready to be scored. Raises UserError where nothing can be."""
    if path.endswith(".zip"):
        return _sb3_subject(Path(path), options)
    if options.env or options.protocol or options.env_kwargs:
        raise UserError(
            "--env, --env-kwargs and --protocol are for .zip files; a run folder knows its own"
        )
    from agents.registry import load_object
    from commands.saved import checkpoint_path, open_run, saved_config
    from core.files.checkpoint import load

    folder = open_run(path)
    entry, config = saved_config(folder)
    if entry.start is not None:
        raise UserError(
            f"{path} is a stable-baselines3 run; score its archive: tengen evaluate "
            f"{shlex.quote(path + '/model.zip')} --env {config.env} --trust"
        )
    if entry.scored_by == "matches":
        advice = entry.advice(path, config.env)
        raise UserError(f"{path} plays board games; score it by a match: {advice}")
    loaded = load(checkpoint_path(folder, options.checkpoint or "newest"), keys=["network"])
    if loaded.identity.get("environment") != config.env:
        raise UserError(
            f"{loaded.path} was trained on {loaded.identity.get('environment')}, but "
            f"{path} is a run on {config.env}"
        )
    module = load_object(entry.build_module)

    def make_policy(lanes: Lanes, seed: int) -> Policy:
        policy: Policy = module.build_policy(
            config, lanes, loaded.state["network"], seed, options.device
        )
        return policy

    chosen = loaded.path.name
    if options.checkpoint == "best":
        chosen += f", best of {len(folder.read_jsonl('evaluations.jsonl'))} evaluations"
    # What comes with the application is not a place for the user's results.
    own = folder.path == Path(path)
    return Subject(
        path,
        config.env,
        _atari_options(config),
        loaded.step,
        chosen,
        folder.path / SCORES_FILE if own else None,
        folder.videos if own else Path("videos"),
        make_policy,
        config.gymnasium,
    )


def _sb3_subject(path: Path, options: EvaluateOptions) -> Subject:
    from agents.baselines.policy import load_sb3_policy
    from core.errors import did_you_mean
    from envs.atari.protocol import PROTOCOLS, AtariConfig
    from envs.gymnasium.config import GymnasiumConfig
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

    def make_policy(lanes: Lanes, seed: int) -> Policy:
        epsilon = PROTOCOLS[protocol].evaluation_epsilon if is_atari(options.env) else 0.0
        return load_sb3_policy(
            path, lanes, trust=options.trust, seed=seed, epsilon=epsilon, device=options.device
        )

    gymnasium = GymnasiumConfig(options.env_kwargs)
    check(gymnasium)
    kept = path.with_suffix(f".{SCORES_FILE}")
    return Subject(
        str(path), options.env, atari, None, "", kept, path.parent, make_policy, gymnasium
    )


def _atari_options(config: Any) -> AtariConfig:
    from envs.atari.protocol import AtariConfig

    return getattr(config, "atari", AtariConfig())


def _protocol_episodes(subject: Subject) -> int:
    from envs.atari.protocol import PROTOCOLS

    return PROTOCOLS[subject.atari.protocol].evaluation_episodes


@contextlib.contextmanager
def _pictures(subject: Subject, options: EvaluateOptions) -> Iterator[tuple[Any, float]]:
    """The frames of an episode in colour, and how many of them make a second."""
    from envs.recording import film_episode, filmable_lanes, frames_per_second

    lanes = filmable_lanes(subject.environment, subject.atari, subject.gymnasium)
    with contextlib.closing(lanes):
        policy = subject.make_policy(lanes, options.seed)
        frames = film_episode(subject.environment, subject.atari, lanes, policy, options.seed)
        yield frames, frames_per_second(subject.environment, lanes)


def _show(subject: Subject, options: EvaluateOptions) -> None:
    from core.report.window import show

    with _pictures(subject, options) as (frames, speed):
        show(frames, speed, f"{subject.name}: {subject.environment}")


def _film(subject: Subject, options: EvaluateOptions) -> bool:
    """Film an episode and say where the film is, or why there is none: the scores are safe."""
    from core.report.video import write_video

    steps = f"-step{subject.agent_steps}" if subject.agent_steps is not None else ""
    slug = subject.environment.replace("/", "-")
    path = subject.videos / f"{slug}{steps}.{options.video_format}"
    try:
        with _pictures(subject, options) as (frames, speed):
            subject.videos.mkdir(parents=True, exist_ok=True)
            write_video(frames, path, speed)
    except Exception as error:  # whatever an environment's drawing raises
        kind = "" if isinstance(error, UserError | OSError) else f"{type(error).__name__}: "
        sys.stderr.write(f"tengen: error: no video: {kind}{' '.join(str(error).split())}\n")
        return False
    sys.stdout.write(f"  video: {path}\n")
    return True
