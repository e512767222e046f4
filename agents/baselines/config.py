"""Options of the stable-baselines3 yardsticks, with that library's own names. Imports no torch.

Defaults are the Atari hyperparameters of rl-baselines3-zoo (Raffin 2020).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config import RunConfig, locked
from core.errors import UserError
from envs.atari.protocol import AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from envs.names import is_atari


@dataclass(frozen=True)
class SB3DQNConfig:
    """stable-baselines3's DQN. Steps are agent steps over all lanes."""

    env: str = locked("ALE/Pong-v5")
    """Environment: ALE/<Game>-v5, any Gymnasium id with discrete actions, or tengen/Catch."""
    lanes: int = locked(1, at_least=1)
    """Environments side by side; every vector step of all lanes counts once for train_freq."""
    policy: Literal["auto", "cnn", "mlp"] = locked("auto")
    """Network: cnn (Nature's), mlp, or auto to fit the observation."""
    learning_rate: float = locked(1e-4, over=0)
    """Step size of Adam."""
    buffer_size: int = locked(100_000, at_least=1)
    """Transitions kept; each takes two whole stacks of frames."""
    learning_starts: int = locked(100_000, at_least=0)
    """Agent steps of random play before learning starts."""
    batch_size: int = locked(32, at_least=1)
    """Transitions per update."""
    gamma: float = locked(0.99, at_least=0, at_most=1)
    """Discount per agent step."""
    train_freq: int = locked(4, at_least=1)
    """Vector steps between updates."""
    gradient_steps: int = locked(1, at_least=1)
    """Updates each time."""
    target_update_interval: int = locked(1_000, at_least=1)
    """Agent steps between copies to the target network."""
    exploration_fraction: float = locked(0.1, over=0, at_most=1)
    """Share of the run over which epsilon falls."""
    exploration_initial_eps: float = locked(1.0, at_least=0, at_most=1)
    """Chance of a random action at first."""
    exploration_final_eps: float = locked(0.01, at_least=0, at_most=1)
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
        _require_supported(self)


@dataclass(frozen=True)
class SB3PPOConfig:
    """stable-baselines3's PPO. Steps are agent steps over all lanes."""

    env: str = locked("ALE/Pong-v5")
    """Environment: ALE/<Game>-v5, any Gymnasium id with discrete actions, or tengen/Catch."""
    lanes: int = locked(8, at_least=1)
    """Environments side by side."""
    policy: Literal["auto", "cnn", "mlp"] = locked("auto")
    """Network: cnn (Nature's), mlp, or auto to fit the observation."""
    learning_rate: float = locked(2.5e-4, over=0)
    """Step size of Adam at the start; it falls to 0 on a straight line."""
    n_steps: int = locked(128, at_least=1)
    """Steps of every lane between updates."""
    n_epochs: int = locked(4, at_least=1)
    """Passes over what was collected."""
    batch_size: int = locked(256, at_least=2)
    """Transitions per gradient step; advantages are normalised over them."""
    gamma: float = locked(0.99, at_least=0, at_most=1)
    """Discount per agent step."""
    gae_lambda: float = locked(0.95, at_least=0, at_most=1)
    """Decay of the advantage estimate."""
    clip_range: float = locked(0.1, over=0)
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
        if self.n_steps * self.lanes == 1:
            raise UserError("--n-steps must be at least 2 with one lane, got 1")
        _require_supported(self)


SB3Config = SB3DQNConfig | SB3PPOConfig

DEFAULT_PRESET = "zoo"

ZOO: tuple[str, Mapping[str, Any]] = (
    "the Atari settings of rl-baselines3-zoo, without sticky actions (default on Atari)",
    {"atari": {"protocol": "sb3"}},
)


def preset_for(env: str) -> str:
    """The preset of an environment where the user names none."""
    if is_atari(env):
        return DEFAULT_PRESET
    return "cartpole" if env == "CartPole-v1" else "gymnasium"


def environment_settings(env: str) -> Mapping[str, Any]:
    """What holds under every preset that says nothing else: the papers clip Atari's rewards."""
    return {"clip_rewards": is_atari(env)}


def _require_supported(config: SB3Config) -> None:
    run, lanes, workers = config.run, config.lanes, config.gymnasium.env_workers
    # Every lane is apart here, so each has a process of its own or none has.
    if workers not in (0, lanes):
        raise UserError(f"--env-workers must be 0 or as many as --lanes, {lanes}, got {workers}")
    if run.seed >= 2**32:
        raise UserError(f"--seed must be under 2**32 for stable-baselines3, got {run.seed}")
    if run.precision == "bf16" or run.compile:
        raise UserError(
            "stable-baselines3 computes in fp32 and is not compiled; leave "
            "--precision and --compile out"
        )
