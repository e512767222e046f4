"""Options of DQN, and the published settings as presets. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from core.config import RunConfig, free, locked, warn
from core.errors import UserError
from envs.atari.protocol import AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from envs.names import is_atari
from networks.registry import hidden_sizes

LEAST_HEADROOM = 32_000
"""Transitions that may come between two checkpoints, at least: see `agents/dqn/build.py`."""


@dataclass(frozen=True)
class DQNConfig:
    """Deep Q-learning. Steps are agent steps over all lanes; one is 4 Atari frames."""

    env: str = locked("ALE/Pong-v5")
    """Environment: ALE/<Game>-v5, any Gymnasium id with discrete actions, or tengen/Catch."""
    lanes: int = locked(8, at_least=1)
    """Environments side by side, one batched forward for all."""
    network: str = locked("auto")
    """nature, dqn2013, small, mlp, impala, transformer, an image network of `tengen networks`, or
    auto to fit the observation."""
    hidden: str = locked("")
    """Units of the network's hidden layers, such as 256,256; empty for its own (mlp: 128,128)."""
    normalise_observations: bool = locked(False)
    """Bring vectors to mean 0 and deviation 1 by what training has seen; saved with the weights."""
    dueling: bool = locked(False)
    """Separate value and advantage streams (Wang et al. 2016)."""
    double: bool = warn(False)
    """Choose the next action with the online network (van Hasselt et al. 2016)."""
    n_step: int = locked(1, at_least=1)
    """Rewards summed before bootstrapping."""
    loss: Literal["mse", "huber"] = warn("mse")
    """Squared or Huber loss of the TD error; Huber is the paper's error clipping."""
    discount: float = warn(0.99, at_least=0, at_most=1)
    """Discount per agent step."""
    clip_rewards: bool = warn(True)
    """Learn from the sign of rewards; scores are raw always. Off outside Atari unless asked for."""
    optimiser: Literal["sgd", "adam", "adamw", "rmsprop", "rmsprop_torch"] = locked("adam")
    """adam, or rmsprop, the centred one of the papers; rmsprop_torch is another algorithm."""
    learning_rate: float = warn(6.25e-5, over=0, under=1)
    """Step size of the optimiser."""
    optimiser_epsilon: float = locked(1.5e-4)
    """Constant in the optimiser's denominator (inside the root for rmsprop)."""
    max_gradient_norm: float = warn(0.0, at_least=0)
    """Clip the gradient to this norm; 0 for not at all."""
    batch_size: int = warn(32, at_least=1)
    """Transitions per update."""
    update_every: int = warn(4, at_least=1)
    """Agent steps per update. batch_size / update_every samples are learned per step."""
    updates_at_once: int = warn(1, at_least=1)
    """Updates made together: 8 with an update every 2 steps learns after 16 steps of one policy."""
    target_every: int = warn(8_000, at_least=0)
    """Agent steps between copies to the target network; 0 for no target network."""
    warmup_steps: int = warn(20_000, at_least=0)
    """Agent steps before learning starts."""
    epsilon_start: float = warn(1.0, at_least=0, at_most=1)
    """Chance of a random action at first."""
    epsilon_end: float = warn(0.01, at_least=0, at_most=1)
    """Chance of a random action at last."""
    epsilon_decay_steps: int = warn(250_000, at_least=0)
    """Agent steps from first to last."""
    epsilon_after_warmup: bool = warn(True)
    """Let epsilon fall from the end of the warm-up on, not from step 0."""
    evaluation_epsilon: float = free(-1.0, at_least=0, at_most=1, also=-1)
    """Chance of a random action in evaluation; -1 for the protocol's."""
    replay: Literal["ram", "mmap", "packed"] = free("ram")
    """Where frames are kept: memory, a memory-mapped file, or compressed in memory."""
    replay_capacity: int = locked(1_000_000, at_least=1)
    """Transitions kept."""
    save_replay: bool = free(True)
    """Keep the replay in checkpoints; without it, a resumed run warms up again, and the disk is
    spared: every Atari frame takes 7 kB."""
    concurrent_ticks: int = warn(0, at_least=0)
    """Act in a thread of its own, so many ticks of all lanes on one copy of the weights, while the
    updates due before are made; 0 for one thread. Pays where cores or a GPU stand idle."""
    atari: AtariConfig = field(default_factory=AtariConfig)
    gymnasium: GymnasiumConfig = field(default_factory=GymnasiumConfig)
    run: RunConfig = field(default_factory=RunConfig)

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        hidden_sizes(self.hidden)
        most = min(LEAST_HEADROOM, self.replay_capacity)
        if self.concurrent_ticks * self.lanes > most:
            raise UserError(
                f"--concurrent-ticks {self.concurrent_ticks} of {self.lanes} lanes are more than "
                f"the replay takes at once, {most:,} steps; give at most {most // self.lanes:,}"
            )


DEFAULT_PRESET = "adam"

ENVIRONMENT_PRESETS = {
    "Acrobot-v1": "acrobot",
    "CartPole-v1": "cartpole",
    "MountainCar-v0": "mountaincar",
    "tengen/Catch": "catch",
}


def preset_for(env: str) -> str:
    """The preset of an environment where the user names none."""
    return "adam" if is_atari(env) else ENVIRONMENT_PRESETS.get(env, "gymnasium")


def environment_settings(env: str) -> Mapping[str, Any]:
    """What holds under every preset that says nothing else: the papers clip Atari's rewards."""
    return {"clip_rewards": is_atari(env)}


GYMNASIUM: Mapping[str, Any] = {
    "double": True,
    "n_step": 3,
    "loss": "huber",
    "learning_rate": 5e-4,
    "optimiser_epsilon": 1e-8,
    "max_gradient_norm": 10.0,
    "batch_size": 64,
    "target_every": 500,
    "warmup_steps": 1_000,
    "epsilon_end": 0.04,
    "epsilon_decay_steps": 10_000,
    "replay_capacity": 100_000,
    "run": {"total_steps": 500_000, "evaluate_every": 25_000},
}
"""For environments of vectors and small pictures, whose rewards come within tens of steps."""

ZOO: Mapping[str, Any] = {
    "lanes": 1,
    "hidden": "256,256",
    "loss": "huber",
    "optimiser_epsilon": 1e-8,
    "max_gradient_norm": 10.0,
    "batch_size": 128,
}
"""What rl-baselines3-zoo's settings of DQN have in common."""

PRESETS: dict[str, tuple[str, Mapping[str, Any]]] = {
    "adam": (
        "Dopamine's DQN with Adam and squared error; sticky actions (default on Atari)",
        {},
    ),
    "nature2015": (
        "Mnih et al. 2015: RMSProp, Huber, 50M steps, no-op starts, life loss",
        {
            "loss": "huber",
            "optimiser": "rmsprop",
            "learning_rate": 0.00025,
            # 0.01 for gradients summed over the batch of 32; ours are means.
            "optimiser_epsilon": 0.01 / 32**2,
            "target_every": 10_000,
            "warmup_steps": 50_000,
            "epsilon_end": 0.1,
            "epsilon_decay_steps": 1_000_000,
            "network": "nature",
            "atari": {"protocol": "nature2015"},
            "run": {"total_steps": 50_000_000},
        },
    ),
    "dqn2013": (
        "Mnih et al. 2013: the small network, no target network, 2.5M steps",
        {
            "network": "dqn2013",
            "optimiser": "rmsprop",
            "learning_rate": 0.00025,
            "optimiser_epsilon": 0.01 / 32**2,
            "target_every": 0,
            "update_every": 1,
            "epsilon_end": 0.1,
            "epsilon_decay_steps": 250_000,
            "atari": {"protocol": "nature2015"},
            "run": {"total_steps": 2_500_000},
        },
    ),
    "sb3": (
        "the Atari settings of rl-baselines3-zoo, 10M steps, but 8 lanes",
        {
            "loss": "huber",
            "learning_rate": 1e-4,
            "optimiser_epsilon": 1e-8,
            "max_gradient_norm": 10.0,
            "target_every": 1_000,
            "warmup_steps": 100_000,
            "epsilon_decay_steps": 1_000_000,
            "epsilon_after_warmup": False,
            "replay_capacity": 100_000,
            "network": "nature",
            "atari": {"protocol": "sb3"},
        },
    ),
    "cpu": (
        "Pong on two cores: the 2013 network, 3-step returns, 2M steps",
        {
            "network": "dqn2013",
            "lanes": 16,
            "n_step": 3,
            "learning_rate": 2e-4,
            "max_gradient_norm": 10.0,
            "target_every": 2_000,
            "warmup_steps": 10_000,
            "epsilon_decay_steps": 60_000,
            "replay_capacity": 300_000,
            "run": {"total_steps": 2_000_000, "evaluate_every": 100_000},
        },
    ),
    "gymnasium": ("any Gymnasium environment (default elsewhere)", GYMNASIUM),
    "cartpole": (
        "CartPole-v1 to the full score of 500 in two minutes",
        {
            **GYMNASIUM,
            "env": "CartPole-v1",
            "run": {"total_steps": 100_000, "evaluate_every": 10_000, "evaluate_episodes": 100},
        },
    ),
    "acrobot": (
        "Acrobot-v1 as in rl-baselines3-zoo",
        {
            **ZOO,
            "env": "Acrobot-v1",
            "learning_rate": 6.3e-4,
            "update_every": 1,
            "updates_at_once": 4,
            "target_every": 250,
            "warmup_steps": 128,
            "epsilon_end": 0.1,
            "epsilon_decay_steps": 12_000,
            "replay_capacity": 50_000,
            "run": {"total_steps": 100_000, "evaluate_every": 10_000, "evaluate_episodes": 100},
        },
    ),
    "mountaincar": (
        "MountainCar-v0 as in rl-baselines3-zoo: one policy for 16 steps, which finds the flag",
        {
            **ZOO,
            "env": "MountainCar-v0",
            "discount": 0.98,
            "learning_rate": 4e-3,
            "update_every": 2,
            "updates_at_once": 8,
            "target_every": 600,
            "warmup_steps": 1_000,
            "epsilon_end": 0.07,
            "epsilon_decay_steps": 24_000,
            "replay_capacity": 10_000,
            "run": {"total_steps": 120_000, "evaluate_every": 10_000, "evaluate_episodes": 100},
        },
    ),
    "catch": (
        "tengen/Catch, learned in a minute: a first look, and a check that all works",
        {
            "env": "tengen/Catch",
            "n_step": 3,
            "double": True,
            "learning_rate": 1e-3,
            "target_every": 500,
            "warmup_steps": 1_000,
            "epsilon_decay_steps": 5_000,
            "replay_capacity": 20_000,
            "run": {
                "total_steps": 20_000,
                "evaluate_every": 5_000,
                "evaluate_episodes": 50,
                "log_seconds": 1.0,
            },
        },
    ),
}
