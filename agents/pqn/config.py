"""Options of PQN, and its published settings as presets. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from core.config import RunConfig, free, locked, warn
from core.errors import UserError
from envs.atari.protocol import AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from envs.names import is_atari
from networks.registry import hidden_sizes


@dataclass(frozen=True)
class PQNConfig:
    """Parallelised Q-network: Q(lambda) with many lanes and LayerNorm, without replay memory and
    target network. Steps are agent steps over all lanes; one is 4 Atari frames."""

    env: str = locked("CartPole-v1")
    """Environment: any Gymnasium id with discrete actions, tengen/Catch, or ALE/<Game>-v5."""
    lanes: int = locked(32, at_least=1)
    """Environments side by side, one batched forward for all."""
    network: str = locked("auto")
    """nature, dqn2013, compact, small, mlp, or auto to fit the observation; LayerNorm comes before
    each ReLU."""
    hidden: str = locked("")
    """Units of the network's hidden layers, such as 256,256; empty for its own (mlp: 128,128)."""
    normalise_observations: bool = locked(False)
    """Bring vectors by feature, images by pixel (Burda et al. 2018), to mean 0 and deviation 1 by
    what training has seen; saved with the weights."""
    rollout_ticks: int = locked(64, at_least=1)
    """Ticks of all lanes between updates; an update is made of lanes * rollout_ticks steps."""
    epochs: int = warn(4, at_least=1)
    """Times that an update goes through its steps."""
    minibatches: int = warn(16, at_least=1)
    """Parts of an epoch, in an order drawn at random; each is a step of the optimiser."""
    discount: float = warn(0.99, at_least=0, at_most=1)
    """Discount per agent step."""
    trace_decay: float = warn(0.95, at_least=0, at_most=1)
    """How far returns look before they bootstrap, 0 for one step, 1 for the whole rollout
    (lambda)."""
    clip_rewards: bool = warn(False)
    """Learn from the sign of rewards; scores are raw always."""
    reward_scale: float = warn(1.0, over=0)
    """Rewards are multiplied by this for learning."""
    epsilon_start: float = warn(1.0, at_least=0, at_most=1)
    """Chance of a random action at first."""
    epsilon_end: float = warn(0.2, at_least=0, at_most=1)
    """Chance of a random action at last."""
    epsilon_decay_steps: int = warn(100_000, at_least=0)
    """Agent steps from first to last."""
    evaluation_epsilon: float = free(-1.0, at_least=0, at_most=1, also=-1)
    """Chance of a random action in evaluation; -1: the protocol's on Atari, else 0."""
    learning_rate: float = warn(1e-4, over=0, under=1)
    """Step size of rectified Adam (Liu et al. 2020, arXiv 1908.03265)."""
    learning_rate_falls: bool = warn(True)
    """Let the step size fall to 0 at the last step, on a straight line."""
    max_gradient_norm: float = warn(10.0, at_least=0)
    """Clip the gradient to this norm; 0 for not at all."""
    concurrent: bool = warn(False)
    """Act in a thread of its own while the network learns from the rollout before."""
    atari: AtariConfig = field(default_factory=AtariConfig)
    gymnasium: GymnasiumConfig = field(default_factory=GymnasiumConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        hidden_sizes(self.hidden)
        if self.minibatches > self.lanes * self.rollout_ticks:
            raise UserError(
                f"--minibatches {self.minibatches} are more than the steps of an update: "
                f"{self.lanes} lanes, --rollout-ticks {self.rollout_ticks}"
            )


GYMNASIUM: Mapping[str, Any] = {
    "reward_scale": 0.1,
    "run": {"total_steps": 500_000, "evaluate_every": 50_000, "evaluate_episodes": 100},
}

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    # github.com/mttga/purejaxql, purejaxql/config/alg/pqn_cartpole.yaml
    "cartpole": (
        "CartPole-v1 as its authors published it (default)",
        {"env": "CartPole-v1", "hidden": "256,256", **GYMNASIUM},
    ),
    "gymnasium": ("any Gymnasium environment: the settings of CartPole", GYMNASIUM),
    # The same, pqn_atari.yaml: no sticky actions, no-op starts, life loss. Left different: theirs
    # is evaluated greedily, ours as the protocol says; theirs draws larger initial weights.
    "atari": (
        "Atari as its authors published it: 128 lanes, 50M steps (default on Atari)",
        {
            "lanes": 128,
            "network": "nature",
            "rollout_ticks": 32,
            "epochs": 2,
            "minibatches": 32,
            "trace_decay": 0.65,
            "clip_rewards": True,
            "epsilon_end": 0.001,
            "epsilon_decay_steps": 5_000_000,
            "learning_rate": 2.5e-4,
            "learning_rate_falls": False,
            "atari": {"protocol": "nature2015"},
            "run": {"total_steps": 50_000_000},
        },
    ),
    # What docs/results/README.md tells of under "PQN on Pong".
    "cpu": (
        "Pong on two cores: 2M steps of frames normalised by pixel, in twenty minutes",
        {
            "env": "ALE/Pong-v5",
            "lanes": 128,
            "network": "dqn2013",
            "normalise_observations": True,
            "rollout_ticks": 32,
            "epochs": 3,
            "minibatches": 32,
            "trace_decay": 0.9,
            "clip_rewards": True,
            "epsilon_end": 0.01,
            "learning_rate": 4e-4,
            "concurrent": True,
            "atari": {"pixels": 64},
            "run": {"total_steps": 2_000_000, "evaluate_every": 500_000},
        },
    ),
    # The same file, under "PQN on Breakout".
    "gpu": (
        "Breakout, or any Atari game, on a GPU with 16 cores: 5.2M steps in six minutes",
        {
            "env": "ALE/Breakout-v5",
            "lanes": 128,
            "network": "nature",
            "rollout_ticks": 32,
            "epochs": 3,
            "minibatches": 32,
            "trace_decay": 0.65,
            "clip_rewards": True,
            "epsilon_end": 0.01,
            "epsilon_decay_steps": 400_000,
            "learning_rate": 4e-4,
            "concurrent": True,
            "atari": {"life_loss_terminal": True},
            "run": {"total_steps": 5_200_000, "evaluate_every": 1_300_000},
        },
    ),
    "catch": (
        "tengen/Catch, learned in a minute: a first look, and a check that all works",
        {
            "env": "tengen/Catch",
            "network": "mlp",
            "rollout_ticks": 16,
            "minibatches": 8,
            "epsilon_end": 0.05,
            "epsilon_decay_steps": 10_000,
            "learning_rate": 1e-3,
            "run": {
                "total_steps": 40_000,
                "evaluate_every": 5_000,
                "evaluate_episodes": 50,
                "log_seconds": 1.0,
            },
        },
    ),
}

DEFAULT_PRESET = "cartpole"


def preset_for(env: str) -> str:
    """The preset of an environment where the user names none."""
    known = {"CartPole-v1": "cartpole", "tengen/Catch": "catch"}
    if env in known:  # without loading the list of Atari's games
        return known[env]
    return "atari" if is_atari(env) else "gymnasium"
