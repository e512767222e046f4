"""The reinforced policy of AlphaGo (Silver et al. 2016): policy gradient in games against its past.

    play     an iteration of games at once against an opponent drawn from the pool
    learn    for every move:  gradient of log p(move) times (outcome - baseline)
    pool     now and then the policy joins the opponents

Deviations: the gradient is the mean over positions, not the sum over a game's; the baseline is the
average outcome of games past, where the paper has none at first and the value network later.

Legend: G games, R positions of an iteration, B of an update, A points.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from agents.alphago.rl_config import GoRLConfig
from agents.alphago.self_play import Choice, PolicyPlayer, play_games
from core.agent import Advanced, Assessment, Metrics
from core.learner import Arithmetic, Learner, load_weights
from core.optimisers import build_optimiser
from core.report.statistics import wilson_interval
from envs.games.go.alphago_planes import SENSIBLE
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.state import OUTCOME, TO_MOVE

BASELINE_DECAY = 0.9
"""Of the average outcome, an iteration."""


class Experience(NamedTuple):
    """Moves of the policy that learns."""

    planes: np.ndarray
    """uint8 [R, C, H, W]"""
    moves: np.ndarray
    """int64 [R]"""
    outcomes: np.ndarray
    """Of the games as the mover sees them, float32 [R]: +1, 0, -1"""


class ReinforcedPolicy:
    """Learns from games against a pool of its own past."""

    def __init__(self, config: GoRLConfig, network: nn.Module, arithmetic: Arithmetic) -> None:
        """`network` is placed by the caller; its weights are the pool's first."""
        self.config, self.network, self.arithmetic = config, network, arithmetic
        self.opponent = copy.deepcopy(network)
        self.learner = build_learner(config, network, arithmetic)
        self.options = GoOptions(size=config.size, komi=config.komi, rules="chinese")
        self.player = self._player(network, config.augment)
        self.other = self._player(self.opponent, config.augment)
        self.baseline = 0.0
        self.sound = True
        self.pool: list[dict[str, Tensor]] = [_weights(network)]
        """Opponents; the first is the policy that it began with."""
        self._seen: dict[str, float] = {}

    def _player(self, network: nn.Module, turn: bool) -> PolicyPlayer:
        return PolicyPlayer(network, self.arithmetic, self.config.size, turn)

    def advance(self, agent_steps: int) -> Advanced:
        """One iteration. All random numbers derive from the seed and the games so far."""
        config = self.config
        random = np.random.default_rng([config.run.seed, agent_steps])
        load_weights(self.opponent, self.pool[random.integers(len(self.pool))])
        experience, results = self.play(random)
        baseline = self.baseline if config.baseline == "mean" else 0.0
        self.sound = False
        order = random.permutation(len(experience.moves))
        parts = max(1, -(-len(order) // config.batch_size))
        for rows in np.array_split(order, parts):
            part = Experience(*(array[rows] for array in experience))
            self.learner.update(lambda part=part: self.loss(part, baseline))  # type: ignore[misc]
        mean = float(results.mean())
        self.baseline = BASELINE_DECAY * self.baseline + (1 - BASELINE_DECAY) * mean
        if (agent_steps // config.games + 1) % config.pool_every == 0:
            self.pool.append(_weights(self.network))
        self.sound = True
        self._seen = {"self_play/points": (mean + 1) / 2, "self_play/baseline": self.baseline,
                      "self_play/moves": len(order) / config.games}  # fmt: skip
        return Advanced(config.games)

    def play(self, random: np.random.Generator) -> tuple[Experience, np.ndarray]:
        """Play an iteration's games; the moves of the policy, and its results, int64 [G]."""
        games, planes, moves = [], [], []

        def told(player: int, numbers: np.ndarray, choice: Choice) -> None:
            if player == 0:
                games.append(numbers[choice.drawn])
                planes.append(choice.planes[choice.drawn])
                moves.append(choice.moves[choice.drawn])

        results = self._match((self.player, self.other), self.config.games, random, told)
        assert results is not None
        outcomes = results[np.concatenate(games)].astype(np.float32)
        return Experience(np.concatenate(planes), np.concatenate(moves), outcomes), results

    def _match(
        self,
        players: tuple[PolicyPlayer, PolicyPlayer],
        games: int,
        random: np.random.Generator,
        told: Callable[[int, np.ndarray, Choice], None] = lambda *what: None,
        stop: Callable[[], bool] = lambda: False,
    ) -> np.ndarray | None:
        """Results as the first player sees them, int64 [G]: it is Black in the even games."""
        states = np.stack([GO.initial_state(self.options)] * games)
        white = np.arange(games) % 2
        if not play_games(states, players, lambda s: s[:, TO_MOVE] ^ white, random, told, stop):
            return None
        outcomes = states[:, OUTCOME].astype(np.int64)
        return np.where(white == 1, -outcomes, outcomes)

    def loss(self, batch: Experience, baseline: float) -> tuple[Tensor, dict[str, Tensor]]:
        """REINFORCE's loss of a batch: its gradient is that of the expected outcome, turned."""
        tensor = self.arithmetic.tensor
        planes = tensor(batch.planes)
        advantages = tensor(batch.outcomes) - baseline
        logits = self.network.eval()(planes.float()).float()  # normalisation as in play
        return policy_gradient_loss(logits, planes[:, SENSIBLE].flatten(1) > 0,
                                    tensor(batch.moves), advantages)  # fmt: skip

    def evaluate(self, agent_steps: int, seed: int, stop: Callable[[], bool]) -> Assessment | None:
        """Games against the policy that it began with, both drawing their moves."""
        load_weights(self.opponent, self.pool[0])
        games = max(2, self.config.run.evaluate_episodes // 2 * 2)
        players = self._player(self.network, False), self._player(self.opponent, False)
        results = self._match(players, games, np.random.default_rng(seed), stop=stop)
        if results is None:
            return None
        rate = float(results.mean() + 1) / 2
        low, high = wilson_interval(rate, games)
        scalars = {"match/points": rate, "match/low": low, "match/high": high}
        text = (f"{rate:.1%} of {games} games against the policy it began with "
                f"(95 %: {low:.1%} to {high:.1%})")  # fmt: skip
        return Assessment(results.astype(float).tolist(), rate, scalars, text)

    def metrics(self) -> Metrics:
        """Loss, entropy, results against the pool."""
        names = {"loss": "loss/total", "gradient_norm": "optimiser/gradient_norm"}
        drained = self.learner.drain_metrics()
        scalars = {names.get(name, f"policy/{name}"): value for name, value in drained.items()}
        return Metrics(scalars | self._seen | {"self_play/pool": float(len(self.pool))})

    def needs_checkpoint(self) -> bool:
        """Never early."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Weights, optimiser, pool, baseline; games are never in progress between iterations."""
        learner = self.learner.state_dict()
        return {
            "network": learner.pop("network"),
            "learner": learner,
            "pool": {str(number): weights for number, weights in enumerate(self.pool)},
            "agent": {"baseline": self.baseline},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from `state_dict`."""
        self.learner.load_state_dict({"network": state["network"], **state["learner"]})
        self.pool = [dict(state["pool"][str(number)]) for number in range(len(state["pool"]))]
        self.baseline = float(state["agent"]["baseline"])

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with a trained policy, which is the pool's first."""
        load_weights(self.network, network)
        self.pool = [_weights(self.network)]

    def close(self) -> None:
        """Nothing is held."""


def policy_gradient_loss(
    logits: Tensor, allowed: Tensor, moves: Tensor, advantages: Tensor
) -> tuple[Tensor, dict[str, Tensor]]:
    """Mean of -log p(move) * advantage, and the policy's entropy.

    Args:
        logits: float32 [B, A].
        allowed: points among which the move was drawn, bool [B, A].
        moves: int64 [B].
        advantages: float32 [B].
    """
    log_chances = logits.masked_fill(~allowed, -1e9).log_softmax(dim=1)
    chosen = log_chances.gather(1, moves[:, None]).squeeze(1)
    entropy = -(log_chances.exp() * log_chances).sum(dim=1).mean()
    return -(chosen * advantages).mean(), {"entropy": entropy.detach()}


def build_learner(config: GoRLConfig, network: nn.Module, arithmetic: Arithmetic) -> Learner:
    """The optimiser that the options ask for."""
    optimiser = build_optimiser(config.optimiser, network.parameters(), config.learning_rate, 1e-8)
    return Learner(network, optimiser, arithmetic, config.max_gradient_norm)


def _weights(network: nn.Module) -> dict[str, Tensor]:
    """A copy on the processor."""
    return {name: value.detach().cpu().clone() for name, value in network.state_dict().items()}
