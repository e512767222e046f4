"""Trains a model of stable-baselines3 in a run folder, in that library's own loop."""

from __future__ import annotations

import dataclasses
import shlex
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import numpy as np
import torch

from agents.baselines.build import build_env, build_model, seed_at
from agents.baselines.config import SB3Config, SB3DQNConfig
from agents.baselines.policy import SB3Policy, archive_algorithm, load_model, require_trust
from core.errors import UserError
from core.files.json_files import flatten
from core.files.run_folder import RunFolder
from core.lanes import Lanes
from core.learner import DivergedError
from core.machine.interrupt import Interrupt
from core.machine.probe import resolve_device
from core.report.progress import Progress
from core.report.recorder import Recorder
from envs.atari.protocol import PROTOCOLS
from envs.make import is_atari
from envs.task import make_task

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm
    from stable_baselines3.common.callbacks import BaseCallback

    from agents.baselines.vec_env import LanesVecEnv

NEVER = 1 << 62
"""For the library's own log lines; the run's are written by the callback."""


def start(
    config: SB3Config, folder: RunFolder, progress: Progress, *, resume: bool, trust: bool
) -> None:
    """Train until the end or until asked to stop.

    Args:
        config: options of either algorithm.
        folder: the run's, locked by the caller.
        progress: where the user looks.
        resume: go on from the folder's model.zip instead of from nothing.
        trust: the user says that model.zip may run code.

    Raises:
        UserError: a resume without trust, or something that cannot be had.
        DivergedError: the loss is NaN; the last saved model stays.
    """
    archive = folder.path / "model.zip"
    if resume and folder.ended_unsaved():
        progress.note("nothing was saved in this run yet: it starts at step 0")
        resume = False
    if resume:
        if not archive.exists():
            raise UserError(f"{folder.path} has no model.zip any more; start a new run")
        require_trust(archive, trust)
    try:
        with closing(build_env(config)) as env:
            model = _restored(config, env, folder) if resume else build_model(config, env)
            if config.run.threads:
                torch.set_num_threads(config.run.threads)
            finished = _train(config, model, folder, progress, resume)
    except Exception as error:
        folder.set_status("diverged" if isinstance(error, DivergedError) else "failed")
        raise
    where = f"{model.num_timesteps:,} steps"
    if finished:
        rules = f" --protocol {config.atari.protocol}" if is_atari(config.env) else ""
        if config.gymnasium.env_kwargs:
            rules += f" --env-kwargs {shlex.quote(config.gymnasium.env_kwargs)}"
        progress.note(
            f"finished {where}; score it with: "
            f"tengen evaluate {shlex.quote(str(archive))} --env {config.env}{rules} --trust"
        )
    else:
        progress.note(
            f"stopped and saved at {where}; go on with: tengen resume {folder.quoted} --trust"
        )


def _restored(config: SB3Config, env: LanesVecEnv, folder: RunFolder) -> BaseAlgorithm:
    """The model as it was saved. Its replay memory was not: that starts empty."""
    path = folder.path / "model.zip"
    algorithm = archive_algorithm(path)
    wanted = "sb3-dqn" if isinstance(config, SB3DQNConfig) else "sb3-ppo"
    if algorithm != wanted:
        raise UserError(f"{path} holds a model of {algorithm}, the run is one of {wanted}")
    model = load_model(path, algorithm, resolve_device(config.run.device), env=env)
    # Loading seeds everything anew, which would play the first games once more.
    model.set_random_seed(seed_at(config.run.seed, model.num_timesteps))
    return model


def _train(
    config: SB3Config, model: BaseAlgorithm, folder: RunFolder, progress: Progress, resume: bool
) -> bool:
    """True when all steps were made, False when the user stopped it."""
    from stable_baselines3.common.logger import Logger

    from agents.baselines.callback import RecordedRun

    facts = {"parameters": sum(p.numel() for p in model.policy.parameters())}
    folder.write_meta(folder.read_meta() | facts)
    model.set_logger(Logger(folder=None, output_formats=[]))
    epsilon = PROTOCOLS[config.atari.protocol].evaluation_epsilon if is_atari(config.env) else 0.0

    def policy(lanes: Lanes, seed: int) -> SB3Policy:
        return SB3Policy(model, lanes, np.random.default_rng(seed), epsilon)

    task = make_task(config.env, config.atari, config.gymnasium, config.run, policy)
    record = Recorder(folder, config.run, task, progress)
    options = flatten(dataclasses.asdict(config))
    with Interrupt() as interrupt:
        record.open(model.num_timesteps, resumed=resume, hyperparameters=options)
        try:
            recorded = RecordedRun(config, record, interrupt)
            if resume:
                recorded.continue_recording()
            callbacks = [recorded, *_after_resume(config, model, progress, resume)]
            left = config.run.total_steps - model.num_timesteps
            finished = left <= 0 or record.is_good_enough
            if not finished:
                try:
                    model.learn(left, callbacks, log_interval=NEVER, reset_num_timesteps=not resume)
                except DivergedError:
                    raise
                except UserError:  # an environment failed, between two updates
                    with suppress(Exception):
                        recorded.save()
                    raise
                enough = model.num_timesteps >= config.run.total_steps
                finished = enough or record.is_good_enough
                scored = record.evaluated_at == model.num_timesteps
                if finished and config.run.evaluate_every and not scored:
                    recorded.evaluate()
                recorded.save()
        finally:
            record.close()
    folder.set_status("finished" if finished else "stopped", agent_steps=model.num_timesteps)
    return finished


def _after_resume(
    config: SB3Config, model: BaseAlgorithm, progress: Progress, resume: bool
) -> list[BaseCallback]:
    """Say where it goes on; what refills a replay memory that was not saved."""
    from agents.baselines.callback import RefillReplay

    if not resume:
        return []
    progress.note(f"resuming at {model.num_timesteps:,} steps from model.zip")
    if not isinstance(config, SB3DQNConfig):
        return []
    wanted = min(config.learning_starts, config.buffer_size, model.num_timesteps)
    progress.note(
        f"stable-baselines3 does not save the replay memory: {wanted:,} steps refill it "
        f"before learning goes on"
    )
    return [RefillReplay(wanted // config.lanes, config.train_freq)]
