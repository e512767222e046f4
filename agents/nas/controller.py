"""The controller: a searcher that learns which decisions pay (Zoph and Le 2017, arXiv 1611.01578).

    ask    draw designs from the policy, all at once, stage after stage
    tell   rewards above their moving average make a design likelier, others less likely

Designing a network is an episode with one reward at its end.

Legend: B designs, T tokens of each, K options at most.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from agents.nas.controller_config import ControllerConfig
from agents.nas.policy import Batch, Policy, most_options
from core.seeds import derived_seed
from envs.architecture.space import Anchor, Space, Tokens, stages_of


class Controller:
    """A `search.architecture.searcher.Searcher` with a policy."""

    def __init__(self, config: ControllerConfig, space: Space, seed: int) -> None:
        self.config = config
        self.space = space
        self.policy = make_policy(config, space, derived_seed(seed, "controller"))
        self.random = np.random.default_rng(derived_seed(seed, "designs"))
        self.baseline: float | None = None
        """Moving average of utilities; None before the first one."""
        self.samples = 0
        """Designs told."""
        self.told: list[float] = []
        """All rewards in order of size, where ranks count."""
        self.memory: list[Batch] = []
        """Batches told last, for PPO; oldest first."""
        self.asked: Batch | None = None
        """What was asked for and not told yet."""
        self.entropies = np.zeros(0)
        """Of each token's softmax, in nats, when the policy learned last; float [T]."""

    @property
    def length(self) -> int:
        """Tokens of the designs asked for now."""
        lengths, every = self.space.lengths, self.config.deepen_every
        return lengths[min(self.samples // every, len(lengths) - 1)] if every else lengths[-1]

    def ask(self, count: int) -> list[Tokens]:
        """So many designs, drawn independently from the policy."""
        self.asked = self._drawn(count, self.random)
        return _designs(self.asked)

    def draw(self, count: int, random: np.random.Generator) -> list[Tokens]:
        """The same, with the caller's random numbers: of these nothing is to be told."""
        return _designs(self._drawn(count, random))

    def _drawn(self, count: int, random: np.random.Generator) -> Batch:
        length, options = self.length, most_options(self.space)
        tokens = np.zeros((count, length), dtype=np.int64)
        legal = np.zeros((count, length, options), dtype=bool)
        logits = np.zeros((count, length, options))
        noise = random.gumbel(size=(count, length, options))
        memory = self.policy.start(count)
        last = tokens[:, :0]
        for number, (at, stage) in enumerate(stages_of(self.space, length)):
            here = slice(at, at + stage.num_tokens)
            if isinstance(stage, Anchor):
                legal[:, here, :2] = True
            else:
                for i in range(count):
                    legal[i, at, : len(stage.options)] = self.space.legal(tokens[i, :at].tolist())
            logits[:, here] = self.policy.step(memory, number, last)
            # The greatest sum of logit and Gumbel noise is a draw from the softmax.
            noisy = np.where(legal[:, here], logits[:, here] + noise[:, here], -np.inf)
            tokens[:, here] = noisy.argmax(axis=2)
            last = tokens[:, here]
        return Batch(tokens, legal, _log_probability(logits, legal, tokens), np.zeros(count))

    def tell(self, designs: Sequence[Tokens], rewards: np.ndarray) -> None:
        """Learn from the designs asked for last.

        Raises:
            ValueError: these are other designs, or a reward is not finite.
        """
        asked = self.asked
        if asked is None or list(designs) != _designs(asked):
            raise ValueError("a controller learns only from all the designs it was asked for last")
        if not np.isfinite(rewards).all():
            raise ValueError(f"rewards must be finite, got {rewards.tolist()}")
        utility = self._ranked(rewards) if self.config.ranks else rewards.astype(np.float64)
        batch = Batch(asked.tokens, asked.legal, asked.log_probability, utility)
        baseline = float(utility.mean()) if self.baseline is None else self.baseline
        self._learn(batch, baseline)
        for value in utility.tolist():
            baseline += (1 - self.config.baseline_decay) * (value - baseline)
        self.baseline = baseline
        self.samples += len(designs)
        self.asked = None

    def _ranked(self, rewards: np.ndarray) -> np.ndarray:
        """Share of all rewards told, these included, that are lower, to the power asked for."""
        for reward in rewards.tolist():
            insort(self.told, reward)
        lower = np.array([bisect_left(self.told, reward) for reward in rewards.tolist()])
        return (lower / max(1, len(self.told) - 1)) ** self.config.ranks

    def _learn(self, batch: Batch, baseline: float) -> None:
        if self.config.algorithm == "reinforce":
            self.entropies = self.policy.learn(batch, batch.utility - baseline)
            return
        if self.memory and self.memory[-1].tokens.shape[1] != batch.tokens.shape[1]:
            self.memory = []  # of shallower designs
        self.memory = [*self.memory, batch][-self.config.ppo_batches :]
        fields = ("tokens", "legal", "log_probability", "utility")
        every = Batch(*(np.concatenate([getattr(b, f) for b in self.memory]) for f in fields))
        for _ in range(self.config.ppo_steps):
            self.entropies = self.policy.learn(every, every.utility - baseline)

    def metrics(self) -> dict[str, float]:
        """The baseline, the mean entropy of a decision in nats, and how long designs are."""
        found = {"tokens": float(self.length)}
        if self.baseline is not None:
            found |= {"baseline": self.baseline, "entropy": float(self.entropies.mean())}
        return found

    def state_dict(self) -> dict[str, Any]:
        """Policy, optimiser, baseline, PPO's memory and the random stream."""
        return {
            "policy": self.policy.state_dict(),
            "baseline": self.baseline,
            "samples": self.samples,
            "told": np.array(self.told),
            "memory": [dict(vars(batch)) for batch in self.memory],
            "entropies": self.entropies,
            "random": self.random.bit_generator.state,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from ``state_dict``."""
        self.policy.load_state_dict(state["policy"])
        self.baseline, self.samples = state["baseline"], state["samples"]
        self.told = state["told"].tolist()
        self.memory = [Batch(**batch) for batch in state["memory"]]
        self.entropies = state["entropies"]
        self.random.bit_generator.state = state["random"]
        self.asked = None


def _designs(batch: Batch) -> list[Tokens]:
    return [tuple(row) for row in batch.tokens.tolist()]


def _log_probability(logits: np.ndarray, legal: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """Of whole designs, float64 [B]."""
    masked = np.where(legal, logits, -np.inf)
    masked -= masked.max(axis=2, keepdims=True)
    chosen = np.take_along_axis(masked, tokens[:, :, None], axis=2)[:, :, 0]
    found: np.ndarray = (chosen - np.log(np.exp(masked).sum(axis=2))).sum(axis=1)
    return found


def make_policy(config: ControllerConfig, space: Space, seed: int) -> Policy:
    """The policy that the options ask for; torch is imported only for the LSTM."""
    if config.policy == "table":
        from agents.nas.softmaxes import SoftmaxTable

        return SoftmaxTable(config, space)
    from agents.nas.lstm_policy import LSTMPolicy

    return LSTMPolicy(config, space, seed)
