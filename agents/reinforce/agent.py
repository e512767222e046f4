"""REINFORCE with a baseline on L lanes: Williams 1992; Sutton and Barto 2018, section 13.4.

Lanes never wait for each other: an episode that is in progress during an update goes on under the
new policy, and its first part was played by the one before.

Legend: L lanes, T steps of all episodes of an update, A actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.reinforce.config import ReinforceConfig
from agents.reinforce.episodes import EpisodeCollector, FinishedEpisode, stack_frames
from agents.reinforce.losses import (
    advantages,
    reinforce_loss,
    returns_to_go,
    sample_action,
    value_loss,
)
from agents.reinforce.network import PolicyAndBaseline
from core.agent import Metrics
from core.lanes import FrameStack, Lanes, Step
from core.learner import Arithmetic, Learner, load_weights
from core.legal import legal_only
from core.machine import ranks
from core.optimisers import build_optimiser
from core.schedule import linear
from networks.registry import hidden_sizes

ADAM_EPSILON = 1e-8


class SoftmaxPolicy:
    """Draws actions from the network's policy, or takes the most likely one."""

    def __init__(
        self,
        network: PolicyAndBaseline,
        frames: FrameStack,
        arithmetic: Arithmetic,
        rng: np.random.Generator | None,
    ) -> None:
        """``rng`` None takes the most likely action."""
        self.network = network
        self.frames = frames
        self.arithmetic = arithmetic
        self.rng = rng

    def act(self, step: Step) -> np.ndarray:
        """Actions, int64 [L], for the newest step. One forward for all lanes, in fp32: bf16 rounds
        away the differences between actions."""
        observation = self.frames.push(step)
        with torch.no_grad():
            logits = self.network.policy(self.arithmetic.tensor(observation))  # [L, A]
        if step.legal is not None:
            logits = legal_only(logits, self.arithmetic.tensor(step.legal))
        if self.rng is None:
            return logits.argmax(dim=1).cpu().numpy()
        return sample_action(logits, self.rng.gumbel(size=tuple(logits.shape)))


class Reinforce:
    """Policy gradient from whole episodes."""

    def __init__(self, config: ReinforceConfig, lanes: Lanes, arithmetic: Arithmetic) -> None:
        """Args:
        config: the algorithm's options.
        lanes: where it acts.
        arithmetic: device, precision, layout.
        """
        self.config = config
        self.lanes = lanes
        self.arithmetic = arithmetic
        torch.manual_seed(config.run.seed)
        self.network = build_network(config, lanes)
        arithmetic.place(self.network)
        optimiser = build_optimiser(
            "adam", self.network.parameters(), config.learning_rate, ADAM_EPSILON
        )
        self.learner = Learner(self.network, optimiser, arithmetic, config.max_gradient_norm)
        self.rng = np.random.default_rng(config.run.seed)
        self.actor = SoftmaxPolicy(
            self.network, FrameStack(lanes.observation_spec, lanes.num_lanes), arithmetic, self.rng
        )
        self.episodes = EpisodeCollector(lanes.observation_spec, lanes.num_lanes, lanes.num_actions)

    # ---------------------------------------------------------------- collect

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        """Actions drawn from the policy, int64 [L]."""
        return self.actor.act(step)

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        """Add one step to the episode of every lane that made one."""
        self.network.normaliser.update(step.observation, outcome.busy)
        self.episodes.append(step, actions, outcome)

    # ---------------------------------------------------------------- learn

    def learn(self, agent_steps: int) -> None:
        """Make one update as soon as enough episodes are finished, in every process; each is used
        once."""
        config = self.config
        enough = len(self.episodes.finished) >= config.episodes_per_update
        if not ranks.everywhere(enough):
            return
        self.learner.set_learning_rate(
            linear(
                config.learning_rate, config.learning_rate_end, config.run.total_steps, agent_steps
            )
        )
        self.update(self.episodes.take())

    def update(self, episodes: list[FinishedEpisode]) -> None:
        """One step of gradient descent on all steps of these episodes."""
        config, batch = self.config, self._batch(episodes)

        def loss_function() -> tuple[Tensor, dict[str, Tensor]]:
            logits, value = self.network(batch["observation"])
            logits, value = legal_only(logits.float(), batch.get("legal")), value.float()
            advantage = advantages(batch["returns"], value, normalise=config.normalise_advantages)
            policy_loss, entropy = reinforce_loss(
                logits, batch["action"], advantage, config.entropy_weight
            )
            baseline_loss = value_loss(value, batch["returns"])
            return policy_loss + config.value_weight * baseline_loss, {
                "policy_loss": policy_loss,
                "value_loss": baseline_loss,
                "entropy": entropy,
                "value_mean": value.mean(),
            }

        self.learner.update(loss_function, weight=len(batch["action"]))

    def _batch(self, episodes: list[FinishedEpisode]) -> dict[str, Tensor]:
        """All steps of the episodes, one after another, with their returns-to-go."""
        spec = self.lanes.observation_spec
        stacked = [stack_frames(episode.frames, episode.first, spec) for episode in episodes]
        last = np.concatenate([np.arange(len(e.action)) == len(e.action) - 1 for e in episodes])
        bootstrap = np.zeros(len(last))
        bootstrap[last] = self._values_after(stacked, episodes)
        returns = returns_to_go(
            np.concatenate([e.reward for e in episodes]), last, bootstrap, self.config.discount
        )
        tensor = self.arithmetic.tensor
        legal = np.concatenate([e.legal for e in episodes])
        masks = {"legal": tensor(legal)} if legal.shape[1] else {}
        return masks | {
            "observation": tensor(np.concatenate([frames[:-1] for frames in stacked])),
            "action": tensor(np.concatenate([e.action for e in episodes])),
            "returns": tensor(returns.astype(np.float32)),
        }

    def _values_after(
        self, stacked: list[np.ndarray], episodes: list[FinishedEpisode]
    ) -> np.ndarray:
        """What every episode would still have brought: 0 where it terminated."""
        final = np.stack([frames[-1] for frames in stacked])
        with torch.no_grad(), self.arithmetic.autocast():
            value = self.network.value(self.arithmetic.tensor(final)).float().cpu().numpy()
        return np.where([e.terminated for e in episodes], 0.0, value)

    # ---------------------------------------------------------------- report

    def metrics(self) -> Metrics:
        """Losses and the policy's entropy since the last call."""
        names = {
            "loss": "loss/total",
            "policy_loss": "loss/policy",
            "value_loss": "loss/value",
            "entropy": "policy/entropy",
            "value_mean": "value/mean",
            "gradient_norm": "optimiser/gradient_norm",
        }
        scalars = {names[name]: value for name, value in self.learner.drain_metrics().items()}
        scalars["optimiser/learning_rate"] = self.learner.learning_rate
        return Metrics(scalars)

    def evaluation_policy(self, lanes: Lanes, seed: int) -> SoftmaxPolicy:
        """The policy to be scored: the most likely action always, so ``seed`` is not needed."""
        frames = FrameStack(lanes.observation_spec, lanes.num_lanes)
        return SoftmaxPolicy(self.network, frames, self.arithmetic, rng=None)

    # ---------------------------------------------------------------- save

    def needs_checkpoint(self) -> bool:
        """Never: a checkpoint holds all experience that is still to be used."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Network, optimiser, episodes, random stream and stacked frames."""
        learner = self.learner.state_dict()
        return {
            "network": learner.pop("network"),
            "learner": learner,
            "episodes": self.episodes.state_dict(),
            "agent": {
                "frames": self.actor.frames.state_dict(),
                "acting_rng": self.rng.bit_generator.state,
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        self.learner.load_state_dict({"network": state["network"], **state["learner"]})
        self.episodes.load_state_dict(state["episodes"])
        self.actor.frames.load_state_dict(state["agent"]["frames"])
        self.rng.bit_generator.state = state["agent"]["acting_rng"]

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with trained weights."""
        load_weights(self.network, network)

    def lanes_restarted(self, last: Step) -> None:
        """Forget the cut episodes: their returns will never be known."""
        self.episodes.drop_unfinished()


def build_network(config: ReinforceConfig, lanes: Lanes) -> PolicyAndBaseline:
    """The network that ``config`` asks for."""
    return PolicyAndBaseline(
        config.network,
        lanes.observation_spec,
        lanes.num_actions,
        separate_baseline=config.separate_baseline,
        hidden=hidden_sizes(config.hidden),
        normalise=config.normalise_observations,
    )
