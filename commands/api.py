"""What `import tengen` offers: train, go on, load and evaluate from Python. See docs/python.md.

Options are those of the command line, by the same names with underscores; they are read by the same
code, so presets, settings of environments and what is refused are the same, too.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.config import EVALUATION_STEPS
from core.errors import UserError
from core.report.progress import Callback, Report

if TYPE_CHECKING:
    from commands.scores import Result
    from core.files.run_folder import RunFolder
    from envs.gymnasium.observations import ObservationReader

__all__ = ["Policy", "Report", "Run", "UserError", "evaluate", "load", "resume", "train"]


@dataclass(frozen=True)
class Run:
    """A run of training, which is its folder."""

    path: Path
    """The folder; every function that takes a run takes this, too."""

    @property
    def state(self) -> str:
        """'finished'; 'stopped' by a callback or a signal; 'running', 'diverged' or 'failed'."""
        return str(self._folder.read_status().get("state", ""))

    @property
    def agent_steps(self) -> int:
        """Agent steps made."""
        return int(self._folder.read_status().get("agent_steps", 0))

    @property
    def evaluations(self) -> list[dict[str, Any]]:
        """What was recorded of each evaluation during training: agent_steps, mean, scores, ..."""
        return self._folder.read_jsonl("evaluations.jsonl")

    @property
    def metrics(self) -> list[dict[str, Any]]:
        """The points of the curves: agent_steps, seconds, and numbers by TensorBoard tag."""
        return self._folder.read_jsonl("metrics.jsonl")

    @property
    def _folder(self) -> RunFolder:
        from core.files.run_folder import RunFolder

        return RunFolder.open(self.path)


AnyRun = Run | str | os.PathLike[str]


def train(agent: str, *, callback: Callback | None = None, **options: Any) -> Run:
    """Train in a new run folder until the end, or until the callback or a signal stops it.

    Args:
        agent: as in `tengen train AGENT`: dqn, reinforce, q-learning, ...
        callback: called with a `Report` after each point of the curves (``log_seconds``) and each
            evaluation (``evaluate_every``). Returning False stops; what it raises ends the run,
            which is saved, and is passed on.
        options: those of `tengen train AGENT --help`, such as ``env``, ``total_steps``, ``preset``
            and ``run_dir``; ``env_kwargs`` may be a dict, ``hidden`` a list.

    Raises:
        UserError: one line that says what cannot be done.
        DivergedError: a UserError; the last good checkpoint stays.
    """
    from commands.train import train as train_command

    folder = train_command(agent, _arguments(options), callback)
    assert folder is not None
    return Run(folder.path)


def resume(run: AnyRun, *, callback: Callback | None = None, **options: Any) -> Run:
    """Go on with a run from its newest checkpoint.

    Args:
        run: what `train` returned, or a run folder.
        callback: as in `train`.
        options: to change, such as ``total_steps``; and those of `tengen resume`.

    Raises:
        UserError: no run there, or an option that a resume cannot change.
    """
    from commands.resume import resume as resume_command

    return Run(resume_command(_path(run), _arguments(options), callback).path)


def load(run: AnyRun, *, checkpoint: str = "newest", seed: int = 0, device: str = "cpu") -> Policy:
    """The trained agent of a run of dqn, pqn, reinforce or q-learning, to choose actions.

    Args:
        run: what `train` returned, a run folder, or one that comes with tengen.
        checkpoint: newest, best (of the run's own evaluations), or a checkpoint's name.
        seed: of what chance the policy has: exploration that its evaluation protocol asks for, and
            the choice among equals.
        device: where the network runs.

    Raises:
        UserError: no such run or checkpoint, or another kind of agent.
    """
    from commands.evaluate import EvaluateOptions, subject_of
    from core.config import check
    from core.machine.probe import resolve_device
    from envs.gymnasium.lanes import GymnasiumLanes
    from envs.gymnasium.observations import SingleReader
    from envs.make import make_lanes

    _require_episodes(run)
    options = EvaluateOptions(checkpoint=checkpoint, seed=seed, device=resolve_device(device))
    check(options)
    subject = subject_of(str(_path(run)), options)
    here = dataclasses.replace(subject.gymnasium, env_workers=0)
    lanes = make_lanes(subject.environment, 1, subject.atari, here, evaluation=True)
    try:
        policy = subject.make_policy(lanes, seed)
        if isinstance(lanes, GymnasiumLanes):
            return Policy(policy, lanes.reader, lanes.first_action, lanes.num_actions)
        return Policy(policy, SingleReader(lanes.observation_spec), 0, lanes.num_actions)
    finally:
        lanes.close()


class Policy:
    """Chooses actions in one episode after the other."""

    def __init__(
        self, policy: Any, reader: ObservationReader, first_action: int, num_actions: int
    ) -> None:
        """Use `load`."""
        self._policy = policy
        self._reader = reader
        self._first_action = first_action
        self._num_actions = num_actions
        self._first = True

    def reset(self) -> None:
        """Say that the next observation begins an episode: frames of the last are forgotten."""
        self._first = True

    def predict(self, observation: Any, legal: Any = None) -> int:
        """The action for the newest observation, as the environment counts its actions.

        Args:
            observation: one, as the environment of the run shows it, not a batch; of images the
                newest frame, which is stacked here.
            legal: a 0 or 1 for each action, such as ``info["action_mask"]``; None where all may be
                taken.

        Raises:
            UserError: not what the environment's spaces say.
        """
        from core.lanes import first_step
        from envs.gymnasium.handed_over import HandoverError, legal_actions

        try:
            frame = self._reader.first_frame(observation)
            mask = legal_actions({"action_mask": legal}, self._num_actions)
        except HandoverError as error:
            raise UserError(str(error)) from error
        step = first_step(frame[None], None if legal is None else mask[None])
        if not self._first:
            step = dataclasses.replace(step, valid=step.first, first=step.valid)
        self._first = False
        return int(self._policy.act(step)[0]) + self._first_action


def evaluate(
    run: AnyRun,
    *,
    episodes: int = 0,
    max_steps: int = EVALUATION_STEPS,
    checkpoint: str = "newest",
    seed: int = 12345,
    lanes: int = 10,
    device: str = "cpu",
) -> Result:
    """Score a run of dqn, pqn, reinforce or q-learning as `tengen evaluate` does.

    The result has ``scores``, ``lengths`` and ``summary`` (``mean``, ``standard_error``, ...);
    it is appended to the run's scores.jsonl.

    Args:
        run: what `train` returned, a run folder, or one that comes with tengen.
        episodes: how many; 0 for the protocol's number.
        max_steps: agent steps after which an episode is cut; cut ones are counted.
        checkpoint: newest, best (of the run's own evaluations), or a checkpoint's name.
        seed: of environments and of the policy's random actions.
        lanes: episodes side by side.
        device: where the network runs.

    Raises:
        UserError: no such run or checkpoint, or another kind of agent.
        KeyboardInterrupt: stopped before an episode was finished.
    """
    from commands.evaluate import EvaluateOptions, score, subject_of
    from core.config import check
    from core.machine.probe import resolve_device

    _require_episodes(run)
    options = EvaluateOptions(
        episodes=episodes,
        max_steps=max_steps,
        checkpoint=checkpoint,
        seed=seed,
        lanes=lanes,
        device=resolve_device(device),
    )
    check(options)
    return score(subject_of(str(_path(run)), options), options)


def _require_episodes(run: AnyRun) -> None:
    """Raise UserError for a run whose agent does not act in an environment of ours."""
    from commands.saved import open_run, saved_config

    entry, _ = saved_config(open_run(str(_path(run))))
    if entry.scored_by != "episodes" or entry.start is not None:
        raise UserError(
            f"{_path(run)} is a run of {entry.name}; Python loads and evaluates those of dqn, pqn, "
            f"reinforce and q-learning"
        )


def _path(run: AnyRun) -> Path:
    return run.path if isinstance(run, Run) else Path(run)


def _arguments(options: Mapping[str, Any]) -> list[str]:
    """Options as the command line has them. Raises UserError for what only a terminal has."""
    for name in ("help", "dry_run"):
        if name in options:
            raise UserError(f"{name} belongs to the command line")
    return [_argument(f"--{name.replace('_', '-')}", value) for name, value in options.items()]


def _argument(flag: str, value: Any) -> str:
    if isinstance(value, bool):
        return flag if value else f"--no-{flag[2:]}"
    if isinstance(value, Mapping):
        value = json.dumps(value)
    elif isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    text = str(value)
    if value is None or not text.isprintable():
        raise UserError(f"{flag[2:].replace('-', '_')} cannot be {value!r}")
    return f"{flag}={text}"
