"""Settings of DQN by name: those of papers and of other suites, and our own. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

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
    # Found by trying, docs/results/README.md.
    "cpu": (
        "Pong on two cores: small frames normalised by pixel, 500k steps in half an hour",
        {
            "network": "compact",
            "normalise_observations": True,
            "lanes": 16,
            "n_step": 5,
            "learning_rate": 3e-4,
            "learning_rate_falls": True,
            "optimiser_epsilon": 1e-6,
            "max_gradient_norm": 10.0,
            "target_rate": 0.005,
            "target_acts": True,
            "warmup_steps": 5_000,
            "epsilon_decay_steps": 30_000,
            "replay_capacity": 400_000,
            "atari": {"pixels": 42},
            "run": {"total_steps": 500_000, "evaluate_every": 100_000},
        },
    ),
    # github.com/google/dopamine, dopamine/jax/agents/full_rainbow/configs/full_rainbow.gin, whose
    # optimiser, periods and memory are those of "adam"; Hessel et al. 2018 where it says nothing.
    # Unlike it: 8 lanes, and 10M steps, not 50M, unless asked for; streams with a hidden layer each
    # and priorities by divergence, as in Hessel et al., where it shares one and takes the loss.
    "rainbow": (
        "Dopamine's full Rainbow: double, dueling, noisy, C51, 3-step, prioritised",
        {
            "network": "nature",
            "double": True,  # full_rainbow.gin
            "dueling": True,
            "n_step": 3,
            "distribution": "c51",  # 51 atoms from -10 to 10, the defaults
            "noisy": True,
            "noisy_sigma": 0.1,  # dopamine/jax/networks.py; Hessel et al.: 0.5
            "prioritised": True,
            "priority_exponent": 0.5,  # full_rainbow_agent.py: the root of the loss
            "priority_beta": 0.5,  # the same: fixed, better than Hessel et al.'s 0.4 to 1
            "priority_beta_end": 0.5,
            "epsilon_start": 0.0,  # the same: the noise explores
            "epsilon_end": 0.0,
            "epsilon_decay_steps": 0,
        },
    ),
    # dopamine/jax/agents/implicit_quantile/configs/implicit_quantile.gin, the rest as "adam".
    "iqn": (
        "Dopamine's IQN: implicit quantiles, 3-step",
        {
            "network": "nature",
            "distribution": "iqn",
            "n_step": 3,
            "fractions": 64,
            "target_fractions": 64,
            "policy_fractions": 32,
            "learning_rate": 5e-5,
            "optimiser_epsilon": 0.01 / 32,
        },
    ),
    # github.com/google-research/google-research, munchausen_rl/configs/atari.gin and, for alpha,
    # tau and l_0, munchausen_rl/agents/m_iqn.py, the rest as "adam".
    "munchausen": (
        "Munchausen IQN as its authors published it",
        {
            "network": "nature",
            "distribution": "iqn",
            "munchausen": True,
            "munchausen_scale": 0.9,
            "munchausen_temperature": 0.03,
            "munchausen_least": -1.0,
            "n_step": 1,
            "fractions": 64,
            "target_fractions": 64,
            "policy_fractions": 32,
            "learning_rate": 5e-5,
            "optimiser_epsilon": 0.01 / 32,
        },
    ),
    # github.com/VIPTankz/BeyondTheRainbowICML, main.py and Agent.py. Unlike it: epsilon falls on a
    # straight line and stays, where theirs decays and ends half way; priorities are the losses,
    # where it takes mean absolute errors, and are drawn over all lanes, where it draws a lane a
    # batch; the bonus is the target network's, as in Vieillard et al. 2020; every lane has noise
    # of its own; scored by the protocol's epsilon of 0.001, where theirs is 0.01.
    "btr": (
        "Beyond the Rainbow (Clark et al. 2024): IMPALA's network, Munchausen IQN, 64 lanes",
        {
            "network": "impala_btr",
            "lanes": 64,
            "dueling": True,
            "n_step": 3,
            "distribution": "iqn",
            "fractions": 8,
            "target_fractions": 8,
            "policy_fractions": 8,
            "munchausen": True,  # 0.9, 0.03 and -1, the defaults
            "noisy": True,
            "noisy_sigma": 0.5,
            "prioritised": True,
            "priority_exponent": 0.2,
            "priority_beta": 0.4,
            "priority_beta_steps": 50_000_000,
            "discount": 0.997,
            "learning_rate": 1e-4,
            "optimiser_epsilon": 0.005 / 256,
            "max_gradient_norm": 10.0,
            "batch_size": 256,
            "update_every": 64,
            "target_every": 32_000,  # 500 updates
            "warmup_steps": 200_000,
            "epsilon_decay_steps": 2_000_000,
            "epsilon_after_warmup": False,
            "replay_capacity": 1_048_576,
            "run": {"total_steps": 50_000_000},
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
