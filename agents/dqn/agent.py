"""Deep Q-learning with experience replay: Mnih et al. 2015, algorithm 1, on L lanes.

Legend: L lanes, B batch, A actions.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from agents.dqn.augmentation import random_shift
from agents.dqn.config import DQNConfig
from agents.dqn.horizon import horizon
from agents.dqn.network import Draws, QNetwork, Returns
from agents.dqn.objective import Batch, Draw, Objective, no_draws
from agents.dqn.policy import EpsilonGreedy
from core.agent import Metrics
from core.frozen import ActingNetwork, FrozenCopy
from core.lanes import FrameStack, Lanes, Step
from core.learner import DIVERGED, Arithmetic, DivergedError, Learner, load_weights
from core.machine import ranks
from core.optimisers import build_optimiser
from core.replay.prioritised import PrioritisedSampler
from core.replay.ring import FrameReplay
from core.replay.sampling import Transitions, TransitionSampler
from core.schedule import linear
from networks.registry import hidden_sizes

Measured = dict[str, torch.Tensor]

MOST_DRAWN_AT_ONCE = 1024
"""Transitions, of several batches, that are drawn and sent together on a GPU."""


class DQN:
    """Q-learning with a replay memory and a target network."""

    def __init__(
        self,
        config: DQNConfig,
        lanes: Lanes,
        replay: FrameReplay,
        arithmetic: Arithmetic,
        evaluation_epsilon: float,
        life_loss_terminal: bool,
    ) -> None:
        """Args:
        config: the algorithm's options.
        lanes: where it acts.
        replay: an empty memory, built for these lanes.
        arithmetic: device, precision, layout.
        evaluation_epsilon: chance of a random action when scored.
        life_loss_terminal: a lost life ends the return (the game goes on).
        """
        self.config = config
        self.lanes = lanes
        self.replay = replay
        self.priorities = (
            PrioritisedSampler(replay, config.priority_exponent) if config.prioritised else None
        )
        self.sampler = self.priorities or TransitionSampler(replay)
        self.arithmetic = arithmetic
        self.evaluation_epsilon = evaluation_epsilon
        self.life_loss_terminal = life_loss_terminal
        acting_seed, sampling_seed = np.random.SeedSequence(config.run.seed).spawn(2)
        self.sampling_rng = np.random.default_rng(sampling_seed)
        torch.manual_seed(config.run.seed)
        network = build_network(config, lanes)
        self.target = FrozenCopy(network)
        # Both see with the same eyes.
        self.normaliser = self.target.network.normaliser = network.normaliser
        self.online = network
        self.scored = self.target.network if config.target_acts else network  # acts, too
        self.acting = ActingNetwork(self.scored, arithmetic, meanwhile=config.concurrent_ticks > 0)
        arithmetic.place(self.online)
        arithmetic.place(self.target.network)
        self.objective = Objective(
            config, self.online, self.target.network if config.target_every else self.online
        )
        self.learner = _build_learner(config, self.online, arithmetic)
        self.target.refresh()  # the learner may have begun with another process's weights
        self.actor = EpsilonGreedy(
            self.acting.network,
            FrameStack(lanes.observation_spec, lanes.num_lanes),
            lanes.num_actions,
            arithmetic,
            np.random.default_rng(acting_seed),
        )
        self.actor.explores = True
        self._learned_until = config.warmup_steps  # agent steps whose updates have been made
        self._agent_steps = 0
        self._observed: list[tuple[Step, np.ndarray, Step]] = []
        self._last_errors = self._last_priorities = torch.empty(0)
        self._columns: tuple[str, ...] = ()
        # Not by priorities, which change with each update.
        together = arithmetic.records and not config.prioritised
        self._drawn_at_once = MOST_DRAWN_AT_ONCE if together else 0

    # ---------------------------------------------------------------- collect

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        """Epsilon-greedy actions, int64 [L]; random ones at first where epsilon falls at once."""
        config = self.config
        self._agent_steps = agent_steps
        start, warm = config.epsilon_start, agent_steps - config.warmup_steps
        if warm < 0:
            self.actor.epsilon = start if config.epsilon_after_warmup else 1.0
        else:
            since = warm if config.epsilon_after_warmup else agent_steps
            decay_steps = config.epsilon_decay_steps
            self.actor.epsilon = linear(start, config.epsilon_end, decay_steps, since)
        return self.actor.act(step)

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        """Store one transition per lane that made one; at the next `commit` where acting and
        learning are concurrent."""
        self._observed.append((step, actions, outcome))
        if not self.config.concurrent_ticks:
            self.commit()

    def commit(self) -> None:
        """Store what was observed, and act with the present weights from now on."""
        for step, actions, outcome in self._observed:
            self._store(step, actions, outcome)
        self._observed = []
        self.acting.refresh()

    def _store(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        self.normaliser.update(step.observation, outcome.busy)
        terminated = outcome.terminated
        if self.life_loss_terminal:
            terminated = terminated | outcome.life_lost
        self.replay.append(
            step.observation,
            actions,
            outcome.reward,
            terminated,
            outcome.truncated,
            outcome.valid,
            step.first,
            outcome.busy,
            legal=step.legal,
        )

    # ---------------------------------------------------------------- learn

    def learn(self, agent_steps: int) -> None:
        """Make the updates that are due: one per ``update_every`` steps since the warm-up, in
        bursts of ``updates_at_once`` or more."""
        config = self.config
        # A resumed run may have lost its memory: it warms up again, as a new one does.
        held, largest = (
            size * ranks.count() for size in (self.replay.size, self.replay.largest_size)
        )
        missing = min(config.warmup_steps, largest) - held
        if missing > 0:
            self._learned_until = max(self._learned_until, agent_steps + missing)
        due = (agent_steps - self._learned_until) // config.update_every
        if due < config.updates_at_once:
            return
        self._learned_until += due * config.update_every
        discount = self._schedule(agent_steps)  # first: what can be drawn depends on n
        if not ranks.everywhere(self.sampler.can_sample(config.batch_size)):
            return
        at_once = max(1, self._drawn_at_once // config.batch_size)
        while due:
            batches = min(due, at_once)
            due -= batches
            self.update(
                self.sampler.sample(
                    self.sampling_rng, batches * config.batch_size, discount, config.clip_rewards
                )
            )

    def _schedule(self, agent_steps: int) -> float:
        """Set what changes over training; the discount is returned."""
        config = self.config
        self.sampler.n_step, discount = horizon(config, agent_steps)
        if config.learning_rate_falls:
            self.learner.set_learning_rate(
                linear(config.learning_rate, 0.0, config.run.total_steps, agent_steps)
            )
        if self.priorities is not None:
            self.priorities.beta = linear(
                config.priority_beta, config.priority_beta_end, config.priority_beta_steps,
                agent_steps,
            )  # fmt: skip
        return discount

    def update(self, sample: Transitions) -> None:
        """A step of gradient descent for each batch of the sample, and now and then a copy to the
        target network."""
        for batch in self._batch(sample).parts(min(self.config.batch_size, len(sample.action))):
            self._descend(batch)
            if self.priorities is not None:
                self._prioritise(self.priorities, sample, self._last_priorities)
            self._follow()

    def _descend(self, batch: Batch) -> None:
        if self.online.is_random:  # numbers from elsewhere, each time anew
            draw = self._draw(len(batch.action_tm1))
            self.learner.update(lambda: self._loss(batch, draw))
        else:
            self._columns = tuple(batch.given)
            self.learner.update(self._loss_of_columns, *batch.given.values())

    def _loss_of_columns(self, *columns: torch.Tensor) -> tuple[torch.Tensor, Measured]:
        return self._loss(Batch(**dict(zip(self._columns, columns, strict=True))), no_draws)

    def _loss(self, batch: Batch, draw: Draw) -> tuple[torch.Tensor, Measured]:
        judged = self.objective(batch, draw)
        # Where it is recorded these are the recording's: there is one, of batches of one size.
        self._last_errors, self._last_priorities = judged.errors, judged.priorities
        best = judged.q_tm1.max(dim=1).values
        return judged.loss, {"q_mean": best.mean(), "q_max": best.max()}

    def _batch(self, sample: Transitions) -> Batch:
        place, pixels = self.arithmetic.tensor, self.config.shift_pixels
        here, there = sample.observation, sample.next_observation
        if pixels:
            here, there = (
                random_shift(self.sampling_rng, np.asarray(x), pixels) for x in (here, there)
            )
        returns = sample.n_step_return, sample.bootstrap_discount
        return Batch(
            *(place(array) for array in (here, sample.action, *returns, there)),
            *(
                None if array is None else place(array)
                for array in (sample.legal, sample.next_legal, sample.weight)
            ),
        )

    def _follow(self) -> None:
        """Move the target network after the online one."""
        config = self.config
        if config.target_rate:
            self.target.average(1 - config.target_rate)
        elif config.target_every:
            period = max(1, config.target_every // config.update_every)
            if self.learner.updates % period == 0:
                self.target.refresh()

    def _draw(self, rows: int) -> Draw:
        def draw(fractions: int) -> Draws:
            return self.online.draw(self.sampling_rng, self.arithmetic.tensor, rows, fractions)

        return draw

    @staticmethod
    def _prioritise(
        sampler: PrioritisedSampler, sample: Transitions, priorities: torch.Tensor
    ) -> None:
        if not bool(torch.isfinite(priorities).all()):
            raise DivergedError(f"a TD error is not a finite number: {DIVERGED}")
        sampler.update(sample.row, sample.lane, priorities.cpu().numpy())

    # ---------------------------------------------------------------- report

    def metrics(self) -> Metrics:
        """Loss, action values, exploration and replay since the last call."""
        drained = self.learner.drain_metrics()
        names = {
            "loss": "loss/td",
            "q_mean": "q/mean",
            "q_max": "q/max",
            "gradient_norm": "optimiser/gradient_norm",
        }
        scalars = {names[name]: value for name, value in drained.items()}
        scalars["exploration/epsilon"] = self.actor.epsilon
        scalars["replay/n_step"] = self.sampler.n_step
        scalars["optimiser/learning_rate"] = self.learner.learning_rate
        scalars["replay/fill"] = self.replay.size / self.config.replay_capacity
        if self.priorities is not None:
            scalars["replay/beta"] = self.priorities.beta
            scalars["replay/largest_priority"] = self.priorities.largest
        learned = self.learner.updates * self.config.batch_size * ranks.count()
        scalars["speed/samples_per_agent_step"] = learned / max(1, self._agent_steps)
        metrics = Metrics(scalars)
        if self.learner.updates:
            metrics.histograms["q/td_error"] = self._last_errors.cpu().numpy()
        if self.lanes.observation_spec.is_image:
            frames = self.actor.frames.observation[0]  # [K, H, W] or [K, H, W, C]
            metrics.images["network/input"] = np.concatenate(list(frames), axis=1)
        return metrics

    def evaluation_policy(self, lanes: Lanes, seed: int) -> EpsilonGreedy:
        """The policy to be scored: the same network, epsilon of the evaluation protocol."""
        policy = EpsilonGreedy(
            self.scored,
            FrameStack(lanes.observation_spec, lanes.num_lanes),
            lanes.num_actions,
            self.arithmetic,
            np.random.default_rng(seed),
        )
        policy.epsilon = self.evaluation_epsilon
        return policy

    # ---------------------------------------------------------------- save

    def needs_checkpoint(self) -> bool:
        """True when the replay file would soon overwrite what the last checkpoint refers to."""
        if not self.config.save_replay:
            return False
        rows_at_once = max(1, self.config.concurrent_ticks)
        return self.replay.rows_since_checkpoint + rows_at_once > self.replay.headroom_rows

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, replay, random streams and stacked frames."""
        learner = self.learner.state_dict()
        online, target = learner.pop("network"), self.target.state_dict()
        if not self.config.target_every:  # a resume may want one: it begins with today's weights
            target = online
        replay: dict[str, Any] = {}
        if self.config.save_replay:
            replay = {"replay": self.replay.checkpoint()}
            if self.priorities is not None:
                replay["priorities"] = self.priorities.state_dict()
        return {
            # The first is what a policy is made of.
            "network": target if self.config.target_acts else online,
            "learner": learner,
            "target": online if self.config.target_acts else target,
            **replay,
            "agent": {
                "learned_until": self._learned_until,
                "frames": self.actor.frames.state_dict(),
                "acting_rng": self.actor.rng.bit_generator.state,
                "sampling_rng": self.sampling_rng.bit_generator.state,
            },
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        online, target = state["network"], state["target"]
        if self.config.target_acts:
            online, target = target, online
        self.learner.load_state_dict({"network": online, **state["learner"]})
        self.target.load_state_dict(target)
        if "replay" in state:  # absent where it was not saved, or a fresh one was asked for
            self.replay.restore(state["replay"])
            if self.priorities is not None:
                self.priorities.load_state_dict(state["priorities"])
        self._learned_until = int(state["agent"]["learned_until"])
        self.actor.frames.load_state_dict(state["agent"]["frames"])
        self.actor.rng.bit_generator.state = state["agent"]["acting_rng"]
        self.sampling_rng.bit_generator.state = state["agent"]["sampling_rng"]
        # A resume may change it; the optimiser's state holds the old one.
        self.learner.set_learning_rate(self.config.learning_rate)
        self.acting.refresh()

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with trained weights, in all networks."""
        load_weights(self.online, network)
        self.target.load_state_dict(network)
        self.acting.refresh()

    def lanes_restarted(self, last: Step) -> None:
        """Close the cut episodes as truncated, with the frames they ended on."""
        self.replay.end_episodes(last.observation, legal=last.legal)


def build_network(config: DQNConfig, lanes: Lanes) -> QNetwork:
    """The Q-network that ``config`` asks for."""
    size = {
        "none": 1,
        "c51": config.atoms,
        "quantile": config.quantiles,
        "iqn": config.policy_fractions,
    }
    return QNetwork(
        config.network,
        lanes.observation_spec,
        lanes.num_actions,
        dueling=config.dueling,
        hidden=hidden_sizes(config.hidden),
        normalise=config.normalise_observations,
        returns=Returns(
            config.distribution, size[config.distribution], config.lowest_return,
            config.highest_return,
        ),
        sigma=config.noisy_sigma if config.noisy else 0.0,
    )  # fmt: skip


def _build_learner(config: DQNConfig, network: QNetwork, arithmetic: Arithmetic) -> Learner:
    optimiser = build_optimiser(
        config.optimiser,
        network.parameters(),
        config.learning_rate,
        config.optimiser_epsilon,
        weight_decay=config.weight_decay,
    )
    return Learner(network, optimiser, arithmetic, config.max_gradient_norm)
