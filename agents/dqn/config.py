"""Options of DQN. Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agents.dqn.presets import PRESETS
from core.config import RunConfig, free, locked, warn
from core.errors import UserError
from envs.atari.protocol import AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from envs.names import is_atari
from networks.registry import hidden_sizes

__all__ = ["PRESETS", "DQNConfig"]

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
    """nature, dqn2013, compact, small, mlp, impala, impala_btr, transformer, an image network of
    `tengen networks`, or auto to fit the observation."""
    hidden: str = locked("")
    """Units of the network's hidden layers, such as 256,256; empty for its own (mlp: 128,128)."""
    normalise_observations: bool = locked(False)
    """Bring vectors by feature, images by pixel (Burda et al. 2018), to mean 0 and deviation 1 by
    what training has seen; saved with the weights."""
    dueling: bool = locked(False)
    """Separate value and advantage streams (Wang et al. 2016)."""
    double: bool = warn(False)
    """Choose the next action with the online network (van Hasselt et al. 2016)."""
    n_step: int = locked(1, at_least=1)
    """Rewards summed before bootstrapping."""
    n_step_start: int = locked(0, at_least=0)
    """The same at first (Schwarzer et al. 2023, BBF: 10, then 3), until horizon_steps have passed;
    0 for n_step all along."""
    distribution: Literal["none", "c51", "quantile", "iqn"] = locked("none")
    """Learn of the return its mean; a distribution over atoms (C51, Bellemare et al. 2017); fixed
    quantiles (QR-DQN, Dabney et al. 2018); or all quantiles (IQN, Dabney et al. 2018b)."""
    atoms: int = locked(51, at_least=2)
    """Values that c51 gives a return, evenly spaced from lowest_return to highest_return."""
    lowest_return: float = locked(-10.0)
    """The first atom of c51; returns are discounted, and of clipped rewards where these are."""
    highest_return: float = locked(10.0)
    """The last atom of c51."""
    quantiles: int = locked(200, at_least=1)
    """Quantiles that distribution quantile learns."""
    fractions: int = warn(64, at_least=1)
    """Fractions at which iqn predicts a return in an update (N)."""
    target_fractions: int = warn(64, at_least=1)
    """Fractions that make up iqn's target (N')."""
    policy_fractions: int = warn(32, at_least=1)
    """Fractions that iqn averages to choose an action (K)."""
    noisy: bool = locked(False)
    """Explore by learned noise in the last layers (Fortunato et al. 2018); the mean weights are
    what is scored. Leaves little for epsilon to do: the preset rainbow sets it to 0."""
    noisy_sigma: float = locked(0.5, over=0)
    """Size of that noise at first (sigma_0)."""
    munchausen: bool = warn(False)
    """A softmax policy, and its log-probability added to rewards (Vieillard et al. 2020); with
    n_step, to the first of them."""
    munchausen_scale: float = warn(0.9, at_least=0, at_most=1)
    """Share of the log-probability that is added (alpha)."""
    munchausen_temperature: float = warn(0.03, over=0)
    """Temperature of that softmax (tau), in units of returns."""
    munchausen_least: float = warn(-1.0, at_most=0)
    """What is added is at least this, before it is scaled (l_0)."""
    loss: Literal["mse", "huber"] = warn("mse")
    """Squared or Huber loss of the TD error; Huber is the paper's error clipping. Distributions
    have losses of their own."""
    discount: float = warn(0.99, at_least=0, at_most=1)
    """Discount per agent step."""
    discount_start: float = warn(0.0, at_least=0, under=1)
    """The same at first (Schwarzer et al. 2023: 0.97, then 0.997), until horizon_steps have passed;
    0 for discount all along."""
    horizon_steps: int = warn(0, at_least=0)
    """Agent steps from the warm-up's end until n_step and discount have their last values."""
    clip_rewards: bool = warn(True)
    """Learn from the sign of rewards; scores are raw always. Off outside Atari unless asked for."""
    optimiser: Literal["sgd", "adam", "adamw", "rmsprop", "rmsprop_torch"] = locked("adam")
    """adam, or rmsprop, the centred one of the papers; rmsprop_torch is another algorithm."""
    learning_rate: float = warn(6.25e-5, over=0, under=1)
    """Step size of the optimiser."""
    optimiser_epsilon: float = locked(1.5e-4)
    """Constant in the optimiser's denominator (inside the root for rmsprop)."""
    learning_rate_falls: bool = warn(False)
    """Let the step size fall to 0 at the last step, on a straight line (Gallici et al. 2025)."""
    weight_decay: float = locked(0.0, at_least=0, under=1)
    """Share of the weights that goes at each step, times the step size; for adamw (Loshchilov &
    Hutter 2019; Schwarzer et al. 2023: 0.1)."""
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
    target_rate: float = locked(0.0, at_least=0, at_most=1)
    """Instead of copies: the share of the online weights that the target network takes up at each
    update (Lillicrap et al. 2016; Schwarzer et al. 2023: 0.005); 0 for copies."""
    target_acts: bool = locked(False)
    """Act, and be scored, with the target network (Schwarzer et al. 2023)."""
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
    prioritised: bool = locked(False)
    """Draw what surprised most from the replay (Schaul et al. 2016, proportional)."""
    priority_exponent: float = locked(0.6, at_least=0, at_most=1)
    """How much priorities count in drawing, 0 for not at all (alpha)."""
    priority_beta: float = warn(0.4, at_least=0, at_most=1)
    """How far weights in the loss make up for that, at first; 1 for wholly (beta)."""
    priority_beta_end: float = warn(1.0, at_least=0, at_most=1)
    """The same at last."""
    priority_beta_steps: int = warn(10_000_000, at_least=0)
    """Agent steps from first to last."""
    shift_pixels: int = warn(0, at_least=0)
    """Learn from images shifted at random by up to so many pixels (Yarats et al. 2021, DrQ: 4)."""
    save_replay: bool = free(True)
    """Keep the replay in checkpoints; without it, a resumed run warms up again, and the disk is
    spared: every Atari frame takes 7 kB."""
    concurrent_ticks: int = warn(0, at_least=0)
    """Act in a thread of its own, so many ticks of all lanes on one copy of the weights, while the
    updates due before are made; 0 for one thread. Pays where cores or a GPU stand idle."""
    atari: AtariConfig = field(default_factory=AtariConfig)
    gymnasium: GymnasiumConfig = field(default_factory=GymnasiumConfig)
    run: RunConfig = field(default_factory=RunConfig)

    @staticmethod
    def upgrade(tree: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The options of an older file: 'double' without a target network changed nothing."""
        return tree if tree.get("target_every", 1) else {**tree, "double": False}

    def validate(self) -> None:
        """Raise UserError for values that cannot work together."""
        hidden_sizes(self.hidden)
        if self.distribution == "c51" and self.lowest_return >= self.highest_return:
            raise UserError(
                f"--lowest-return {self.lowest_return} must be under --highest-return "
                f"{self.highest_return}"
            )
        if self.weight_decay and self.optimiser != "adamw":
            raise UserError(f"--weight-decay is for --optimiser adamw, not {self.optimiser}")
        self._validate_horizon()
        if not self.target_every and (self.target_rate or self.target_acts):
            option = "--target-rate" if self.target_rate else "--target-acts"
            raise UserError(f"{option} needs a target network, and --target-every 0 has none")
        if self.double and not self.target_every:
            raise UserError(
                "--double chooses by one network and judges by another, and --target-every 0 has "
                "one alone; give --no-double with it"
            )
        if self.munchausen and self.double:
            raise UserError(
                "--munchausen follows a softmax and has no best action for --double to choose; "
                "give --no-double with it"
            )
        if self.munchausen and self.distribution == "c51":
            raise UserError(
                "--munchausen is published for means and quantiles; give --distribution none, "
                "quantile or iqn with it, not c51"
            )
        most = min(LEAST_HEADROOM, self.replay_capacity)
        if self.concurrent_ticks * self.lanes > most:
            raise UserError(
                f"--concurrent-ticks {self.concurrent_ticks} of {self.lanes} lanes are more than "
                f"the replay takes at once, {most:,} steps; give at most {most // self.lanes:,}"
            )

    def _validate_horizon(self) -> None:
        starts = {
            "--n-step-start": self.n_step_start,
            "--discount-start": self.discount_start,
        }
        given = [f"{option} {value}" for option, value in starts.items() if value]
        if given and not self.horizon_steps:
            raise UserError(
                f"{given[0]} needs --horizon-steps, over which it goes to its last value"
            )
        if self.horizon_steps and not given:
            raise UserError(
                f"--horizon-steps {self.horizon_steps} needs --n-step-start or --discount-start, "
                f"one of which is to change over them"
            )
        if self.discount_start and self.discount == 1:
            raise UserError(
                f"--discount-start {self.discount_start} goes to --discount by factors of its "
                f"distance from 1, which never reach 1; give --discount under 1, such as 0.997"
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
