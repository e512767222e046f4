"""Options of the stable-baselines3 yardsticks, with that library's own names. Imports no torch.

Defaults are the Atari hyperparameters of rl-baselines3-zoo (Raffin 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config import RunConfig, locked
from core.errors import UserError
from envs.atari_protocol import AtariConfig, is_atari_id
from envs.gymnasium_config import GymnasiumConfig


@dataclass(frozen=True)
class SB3DQNConfig:
    """stable-baselines3's DQN. Steps are agent steps over all lanes."""

    env: str = locked("ALE/Pong-v5")
    """Environment: ALE/<Game>-v5, any Gymnasium id with discrete actions, or tengen/Catch."""
    lanes: int = locked(1)
    """Environments side by side; every vector step of all lanes counts once for train_freq."""
    policy: Literal["auto", "cnn", "mlp"] = locked("auto")
    """Network: cnn (Nature's), mlp, or auto to fit the observation."""
    learning_rate: float = locked(1e-4)
    """Step size of Adam."""
    buffer_size: int = locked(100_000)
    """Transitions kept; each takes two whole stacks of frames."""
    learning_starts: int = locked(100_000)
    """Agent steps of random play before learning starts."""
    batch_size: int = locked(32)
    """Transitions per update."""
    gamma: float = locked(0.99)
    """Discount per agent step."""
    train_freq: int = locked(4)
    """Vector steps between updates."""
    gradient_steps: int = locked(1)
    """Updates each time."""
    target_update_interval: int = locked(1_000)
    """Agent steps between copies to the target network."""
    exploration_fraction: float = locked(0.1)
    """Share of the run over which epsilon falls."""
    exploration_initial_eps: float = locked(1.0)
    """Chance of a random action at first."""
    exploration_final_eps: float = locked(0.01)
    """Chance of a random action at last."""
    max_grad_norm: float = locked(10.0)
    """Clip the gradient to this norm."""
    clip_rewards: bool = locked(True)
    """Learn from the sign of rewards; scores are raw always. Off outside Atari unless asked for."""
    atari: AtariConfig = field(default_factory=AtariConfig)
    gymnasium: GymnasiumConfig = field(default_factory=GymnasiumConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def validate(self) -> None:
        """Raise UserError for values that cannot work."""
        for name in (
            "lanes",
            "buffer_size",
            "batch_size",
            "train_freq",
            "gradient_steps",
            "target_update_interval",
        ):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        _require("learning_starts", self.learning_starts, self.learning_starts >= 0, "0 or more")
        for name in (
            "gamma",
            "exploration_fraction",
            "exploration_initial_eps",
            "exploration_final_eps",
        ):
            _require(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "between 0 and 1")
        _require(
            "exploration_fraction",
            self.exploration_fraction,
            self.exploration_fraction > 0,
            "over 0",
        )
        _require("learning_rate", self.learning_rate, self.learning_rate > 0, "over 0")
        _require_supported(self)


@dataclass(frozen=True)
class SB3PPOConfig:
    """stable-baselines3's PPO. Steps are agent steps over all lanes."""

    env: str = locked("ALE/Pong-v5")
    """Environment: ALE/<Game>-v5, any Gymnasium id with discrete actions, or tengen/Catch."""
    lanes: int = locked(8)
    """Environments side by side."""
    policy: Literal["auto", "cnn", "mlp"] = locked("auto")
    """Network: cnn (Nature's), mlp, or auto to fit the observation."""
    learning_rate: float = locked(2.5e-4)
    """Step size of Adam at the start; it falls to 0 on a straight line."""
    n_steps: int = locked(128)
    """Steps of every lane between updates."""
    n_epochs: int = locked(4)
    """Passes over what was collected."""
    batch_size: int = locked(256)
    """Transitions per gradient step."""
    gamma: float = locked(0.99)
    """Discount per agent step."""
    gae_lambda: float = locked(0.95)
    """Decay of the advantage estimate."""
    clip_range: float = locked(0.1)
    """Clipping of the probability ratio at the start; it falls to 0 on a straight line."""
    vf_coef: float = locked(0.5)
    """Weight of the value loss."""
    ent_coef: float = locked(0.01)
    """Weight of the entropy bonus."""
    max_grad_norm: float = locked(0.5)
    """Clip the gradient to this norm."""
    clip_rewards: bool = locked(True)
    """Learn from the sign of rewards; scores are raw always. Off outside Atari unless asked for."""
    atari: AtariConfig = field(default_factory=AtariConfig)
    gymnasium: GymnasiumConfig = field(default_factory=GymnasiumConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def validate(self) -> None:
        """Raise UserError for values that cannot work."""
        for name in ("lanes", "n_steps", "n_epochs"):
            _require(name, getattr(self, name), getattr(self, name) >= 1, "at least 1")
        # Advantages are normalised over a batch, which needs two of them.
        _require("batch_size", self.batch_size, self.batch_size > 1, "at least 2")
        _require("n_steps", self.n_steps, self.n_steps * self.lanes > 1, "at least 2 with one lane")
        for name in ("gamma", "gae_lambda"):
            _require(name, getattr(self, name), 0 <= getattr(self, name) <= 1, "between 0 and 1")
        for name in ("learning_rate", "clip_range"):
            _require(name, getattr(self, name), getattr(self, name) > 0, "over 0")
        _require_supported(self)


SB3Config = SB3DQNConfig | SB3PPOConfig

DEFAULT_PRESET = "zoo"

ZOO: tuple[str, Mapping[str, Any]] = (
    "the Atari settings of rl-baselines3-zoo, without sticky actions (default on Atari)",
    {"atari": {"protocol": "sb3"}},
)


def preset_for(env: str) -> str:
    """The preset of an environment where the user names none."""
    if is_atari_id(env):
        return DEFAULT_PRESET
    return "cartpole" if env == "CartPole-v1" else "gymnasium"


def environment_settings(env: str) -> Mapping[str, Any]:
    """What holds under every preset that says nothing else: the papers clip Atari's rewards."""
    return {"clip_rewards": is_atari_id(env)}


def _require(name: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise UserError(f"--{name.replace('_', '-')} must be {wanted}, got {value}")


def _require_supported(config: SB3Config) -> None:
    run, lanes, workers = config.run, config.lanes, config.gymnasium.env_workers
    # Every lane is apart here, so each has a process of its own or none has.
    if workers not in (0, lanes):
        raise UserError(f"--env-workers must be 0 or as many as --lanes, {lanes}, got {workers}")
    _require("seed", run.seed, run.seed < 2**32, "below 2**32, as stable-baselines3 wants")
    if run.precision == "bf16" or run.compile:
        raise UserError(
            "stable-baselines3 computes in fp32 and is not compiled; leave "
            "--precision and --compile out"
        )
