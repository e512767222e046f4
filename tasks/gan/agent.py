"""The agent of generative adversarial training: a few updates of the critic, one of the generator.

All batches of data derive from the run's seed and the number of updates; noise is drawn from
torch's generator, which the trainer saves.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from core.agent import Advanced, Assessment, Metrics
from core.errors import UserError
from core.frozen import FrozenCopy
from core.learner import Arithmetic, Learner, load_weights
from core.optimisers import build_optimiser
from networks.base import Critic, Generator, Growth
from networks.generators import losses
from tasks.gan.config import GANConfig
from tasks.gan.growing import growth_at, prepared
from tasks.gan.target import Maker, Target
from tasks.problem import Stop
from tasks.supervised import require_same_data

EPSILON = 1e-8
GROWTH = "growth"
"""Level and alpha, beside the weights that have grown so far."""


class AdversarialLearning:
    """Trains a generator against its critic."""

    def __init__(
        self, config: GANConfig, target: Target, generator: Generator, critic: Critic,
        arithmetic: Arithmetic,
    ) -> None:  # fmt: skip
        """Args:
        config: the options.
        target: the data.
        generator, critic: placed on the device already.
        arithmetic: device, threads, layout.
        """
        self.config = config
        self.target = target
        self.generator = generator
        self.critic = critic
        self.arithmetic = arithmetic
        self.generator_learner = _learner(generator, config, arithmetic)
        self.critic_learner = _learner(critic, config, arithmetic)
        self.average = FrozenCopy(generator) if config.averaging else None
        self.sound = True
        self._growth: Growth | None = None
        self._pictures: dict[str, Any] = {}

    # ---------------------------------------------------------------- learning

    def advance(self, agent_steps: int) -> Advanced:
        """One update of the generator, and those of the critic before it."""
        config = self.config
        rate = config.learning_rate
        self.generator_learner.set_learning_rate(rate)
        self.critic_learner.set_learning_rate(config.critic_learning_rate or rate)
        growth = growth_at(agent_steps, self.generator.levels, config.phase_updates)
        self._growth = growth
        self.sound = False
        self.generator.train()
        self.critic.train().requires_grad_(True)
        for turn in range(config.critic_updates):
            batch = self.target.draw(agent_steps * config.critic_updates + turn, config.batch_size)
            real = prepared(self.arithmetic.tensor(batch), growth)
            self.critic_learner.update(partial(self._critic_loss, real, growth))
            if config.objective == "wgan":
                losses.clip_weights(self.critic, config.clip)
        self.critic.requires_grad_(False)  # it only passes gradients on
        self.generator_learner.update(lambda: self._generator_loss(growth))
        if self.average:
            self.average.average(config.averaging)
        self.sound = True
        return Advanced(1)

    def _critic_loss(self, real: Tensor, growth: Growth | None) -> tuple[Tensor, dict[str, Tensor]]:
        config = self.config
        with torch.no_grad():
            fake = self._made(growth)
        real_scores, fake_scores = self.critic(real, growth), self.critic(fake, growth)
        metrics = {"real_score": real_scores.mean(), "fake_score": fake_scores.mean()}
        if config.objective in ("wgan", "wgan_gp"):
            loss = losses.wasserstein_critic_loss(real_scores, fake_scores)
            metrics["distance"] = -loss
        else:
            loss = losses.discriminator_loss(real_scores, fake_scores)

        def scores(samples: Tensor) -> Tensor:
            return self.critic(samples, growth)  # type: ignore[no-any-return]

        if config.objective == "wgan_gp":
            penalty = losses.gradient_penalty(scores, real, fake)
            metrics["gradient_penalty"] = penalty
            loss = loss + config.gradient_penalty * penalty
        if config.r1:
            penalty = losses.r1_penalty(scores, real)
            metrics["r1"] = penalty
            loss = loss + config.r1 * penalty
        if config.drift:
            loss = loss + config.drift * losses.drift_penalty(real_scores)
        return loss, metrics

    def _generator_loss(self, growth: Growth | None) -> tuple[Tensor, dict[str, Tensor]]:
        scores = self.critic(self._made(growth), growth)
        if self.config.objective == "minimax":
            return losses.minimax_loss(scores), {}
        if self.config.objective == "non_saturating":
            return losses.non_saturating_loss(scores), {}
        return losses.wasserstein_generator_loss(scores), {}

    def _made(self, growth: Growth | None) -> Tensor:
        noise = torch.randn(self.config.batch_size, self.generator.noise_features)
        made: Tensor = self.generator(noise.to(self.arithmetic.device), growth)
        return made

    # ---------------------------------------------------------------- what the trainer asks

    def metrics(self) -> Metrics:
        """Losses, scores and penalties since the last call, and the samples that were judged."""
        scalars = {"optimiser/learning_rate": self.generator_learner.learning_rate}
        for name, learner in (
            ("critic", self.critic_learner),
            ("generator", self.generator_learner),
        ):
            for key, value in learner.drain_metrics().items():
                scalars[f"{name}/{key}"] = value
        if self._growth is not None:
            scalars["training/level"] = self._growth.level - 1 + self._growth.alpha
        pictures, self._pictures = self._pictures, {}
        return Metrics(scalars, images=pictures)

    def evaluate(self, agent_steps: int, seed: int, stop: Stop) -> Assessment | None:
        """What the samples are worth; None where it was stopped."""
        growth = self._growth  # as the checkpoint of these weights says
        if growth is None:
            growth = growth_at(agent_steps, self.generator.levels, self.config.phase_updates)
        maker = Maker(self._scored, self.arithmetic, growth, self.config.truncation, seed)
        judged = self.target.judge(maker, self.arithmetic, "validation", stop)
        if judged is None:
            return None
        scalars = {f"validation/{name}": value for name, value in judged.scores.items()}
        self._pictures = {f"validation/{name}": each for name, each in judged.pictures.items()}
        film = judged.film if self.config.run.video else []
        return Assessment([judged.best_by], judged.best_by, scalars, judged.line, film)

    @property
    def _scored(self) -> Generator:
        """The generator that samples are drawn of."""
        return self.average.network if self.average else self.generator

    def needs_checkpoint(self) -> bool:
        """Never early."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Weights of the scored generator, the critic and the judge; what only training needs."""
        learners = {
            "generator": self.generator_learner.state_dict(),
            "critic": self.critic_learner.state_dict(),
        }
        newest = learners["generator"].pop("network")
        scored = self.average.state_dict() if self.average else newest
        network = prefixed("generator.", scored)
        network |= prefixed("critic.", learners["critic"].pop("network"))
        if self._growth is not None:
            network[GROWTH] = torch.tensor(self._growth, dtype=torch.float32)
        return {
            "network": network | prefixed("judge.", self.target.weights()),
            "learners": learners,
            "newest": newest if self.average else {},
            "problem": self.target.identity(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``. Raises UserError when the data are others."""
        require_same_data(self.target, state["problem"])
        scored = part("generator.", state["network"])
        newest = state["newest"] if self.average else scored
        for learner, weights, saved in (
            (self.generator_learner, newest, state["learners"]["generator"]),
            (self.critic_learner, part("critic.", state["network"]), state["learners"]["critic"]),
        ):
            learner.load_state_dict({"network": weights, **saved})
        if self.average:
            self.average.load_state_dict(scored)
        self.target.load_weights(part("judge.", state["network"]))
        self._growth = saved_growth(state["network"], self.generator.levels)

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with a trained generator and critic."""
        load_weights(self.generator, part("generator.", network))
        load_weights(self.critic, part("critic.", network))
        if self.average:
            self.average.refresh()

    def close(self) -> None:
        """Nothing is held."""


def _learner(network: nn.Module, config: GANConfig, arithmetic: Arithmetic) -> Learner:
    optimiser = build_optimiser(
        config.optimiser, network.parameters(), config.learning_rate, EPSILON,
        beta1=config.beta1, beta2=config.beta2,
    )  # fmt: skip
    return Learner(network, optimiser, arithmetic)


def saved_growth(network: Mapping[str, Tensor], levels: int) -> Growth | None:
    """How far a saved generator of so many levels has grown; None for fully, or where it does not
    grow.

    Raises:
        UserError: the checkpoint says something else.
    """
    if GROWTH not in network:
        return None
    values = network[GROWTH]
    if values.shape != (2,) or not 0 <= float(values[1]) <= 1 or not 0 <= float(values[0]) < levels:
        raise UserError(f"the checkpoint's growth cannot be read: {values.tolist()!r:.100}")
    return Growth(int(values[0]), float(values[1]))


def prefixed(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with a prefix before their names."""
    return {prefix + name: tensor for name, tensor in weights.items()}


def part(prefix: str, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Those whose names have the prefix, without it."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in weights.items()
        if name.startswith(prefix)
    }
