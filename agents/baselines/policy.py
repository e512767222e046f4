"""Policies trained by stable-baselines3, to be scored like ours.

Its archives hold pickles, and a pickle can run any code when it is read. So none is read unless the
user says that the file is to be trusted; which algorithm made it is found without.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from core.errors import UserError
from core.lanes import FrameStack, Lanes, Step

if TYPE_CHECKING:
    from stable_baselines3.common.base_class import BaseAlgorithm

MAX_DATA_BYTES = 64 << 20
MARKS = {
    "sb3-dqn": {"exploration_final_eps", "target_update_interval", "train_freq"},
    "sb3-ppo": {"clip_range", "n_epochs", "gae_lambda"},
}
"""Options that an archive's own list must hold, by algorithm."""


class SB3Policy:
    """Acts as the model does when it predicts deterministically, or at random with epsilon."""

    def __init__(
        self, model: BaseAlgorithm, lanes: Lanes, rng: np.random.Generator, epsilon: float = 0.0
    ) -> None:
        """``rng`` draws the random actions; the model's own random numbers are not used."""
        self.model = model
        self.frames = FrameStack(lanes.observation_spec, lanes.num_lanes)
        self.num_actions = lanes.num_actions
        self.rng = rng
        self.epsilon = epsilon

    def act(self, step: Step) -> np.ndarray:
        """Actions, int64 [L], for the newest step. One forward for all lanes."""
        from agents.baselines.vec_env import network_view
        from core.legal import random_actions

        observation = network_view(self.frames.push(step), self.frames.spec)
        if step.legal is None:
            actions, _ = self.model.predict(observation, deterministic=True)
        else:
            actions = np.where(step.legal, self._scores(observation), -np.inf).argmax(axis=1)
        explore = self.rng.random(len(actions)) < self.epsilon
        drawn = random_actions(self.rng, len(actions), self.num_actions, step.legal)
        return np.where(explore, drawn, actions).astype(np.int64)

    def _scores(self, observation: np.ndarray) -> np.ndarray:
        """What the model prefers, [L, A]: `predict` takes the best of these, legal or not."""
        import torch

        policy: Any = self.model.policy
        policy.set_training_mode(False)
        tensor, _ = policy.obs_to_tensor(observation)
        with torch.no_grad():
            if hasattr(policy, "q_net"):
                scores = policy.q_net(tensor)
            else:
                scores = policy.get_distribution(tensor).distribution.logits
        preferred: np.ndarray = scores.cpu().numpy()
        return preferred


def load_sb3_policy(
    path: Path, lanes: Lanes, trust: bool, seed: int, epsilon: float = 0.0, device: str = "cpu"
) -> SB3Policy:
    """The policy in a stable-baselines3 archive, on the given lanes.

    Args:
        path: a .zip written by ``DQN.save`` or ``PPO.save``.
        lanes: where it is to act.
        trust: the user says that the file may run code.
        seed: of the random actions.
        epsilon: chance of a random action.
        device: where the network runs.

    Raises:
        UserError: not trusted, no such archive, or made for other observations or actions.
    """
    algorithm = archive_algorithm(path)
    require_trust(path, trust)
    from agents.baselines.vec_env import observation_space

    model = load_model(path, algorithm, device)
    made_for, shown = model.observation_space, observation_space(lanes.observation_spec)
    if made_for.shape != shown.shape or made_for.dtype != shown.dtype:
        raise UserError(
            f"{path} was trained on observations {made_for.dtype} {made_for.shape}, "
            f"this environment shows {shown.dtype} {shown.shape}"
        )
    if getattr(model.action_space, "n", None) != lanes.num_actions:
        raise UserError(
            f"{path} chooses from {model.action_space}, this environment has "
            f"{lanes.num_actions} actions"
        )
    return SB3Policy(model, lanes, np.random.default_rng(seed), epsilon)


def archive_algorithm(path: Path) -> str:
    """'sb3-dqn' or 'sb3-ppo', from the archive's list of options; nothing is unpickled.

    Raises:
        UserError: the file is no archive of either.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.getinfo("data").file_size > MAX_DATA_BYTES:
                raise UserError(f"{path} is too large to be a stable-baselines3 model")
            with archive.open("data") as file:
                options = json.loads(file.read(MAX_DATA_BYTES))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}") from error
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, EOFError) as error:
        raise UserError(
            f"{path} is no stable-baselines3 model: it must be a .zip written by the model's save"
        ) from error
    for name, marks in MARKS.items():
        if isinstance(options, dict) and marks <= options.keys():
            return name
    raise UserError(
        f"{path} holds neither a DQN nor a PPO of stable-baselines3; other algorithms "
        f"cannot be scored here"
    )


def require_trust(path: Path, trust: bool) -> None:
    """Raise UserError unless the user said that the archive may run code."""
    if not trust:
        raise UserError(
            f"{path} is a stable-baselines3 archive, which holds pickles, and those "
            f"can run any code when read; add --trust if you made it or trust its "
            f"maker"
        )


def load_model(path: Path, algorithm: str, device: str, **options: Any) -> BaseAlgorithm:
    """Unpickle a model. The caller has asked for trust.

    Args:
        path: the archive.
        algorithm: from ``archive_algorithm``.
        device: where the network goes.
        options: passed on to the model, such as ``env`` to train it further. Without ``env`` the
            replay memory is not allocated.

    Raises:
        UserError: the archive is damaged or was made by a version that cannot be read.
    """
    from stable_baselines3 import DQN, PPO

    kind = DQN if algorithm == "sb3-dqn" else PPO
    if algorithm == "sb3-dqn" and "env" not in options:
        options["buffer_size"] = 1
    try:
        return kind.load(path, device=device, **options)
    except Exception as error:  # unpickling runs the archive's code, which may raise anything
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path} cannot be loaded: {type(error).__name__}: {reason}") from error
