"""Zero: self-play, learning from it, and nothing else (Silver et al. 2017, 2018).

    act       search every game's position, choose a move of each
    learn     draw positions of stored games, pull policy and value towards search and outcome
    observe   note the moves; where a game ended, store it

Boards of several sizes (Wu 2019, appendix A.1) have lanes, searches and stores of their own. The
network takes each as it is in self-play, where a batch is of one size; the learner's batches mix
them, padded and masked.

Legend: L lanes, B batch, A actions, H W board.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from agents.zero import losses
from agents.zero.config import ZeroConfig
from agents.zero.evaluator import NetworkEvaluator
from agents.zero.mixture import MixedStore
from agents.zero.playing import SelfPlay
from agents.zero.report import drain_all
from agents.zero.self_play import GameInProgress
from agents.zero.store import GameStore, Rows
from core.agent import Metrics
from core.frozen import FrozenCopy
from core.lanes import Lanes, Step
from core.learner import Arithmetic, Learner, load_weights
from core.optimisers import build_optimiser
from core.schedule import linear
from envs.games.lanes import GameLanes, MixedLanes
from networks.control.zero import MARGIN_SCALE, ZeroNetwork

ADAM_EPSILON = 1e-8
REFRESH_EVERY = 4
"""Updates before the averaged weights are copied to self-play again, between two ticks."""


class Zero:
    """Learns a game from self-play."""

    def __init__(
        self,
        config: ZeroConfig,
        lanes: Sequence[GameLanes],
        stores: Sequence[GameStore],
        network: ZeroNetwork,
        arithmetic: Arithmetic,
        threads: int,
    ) -> None:
        """Args:
        config: the options.
        lanes: games to play, for each size of the board, the largest last.
        stores: empty, of the same boards.
        network: to be trained; placed by the caller.
        arithmetic: of the network.
        threads: of rules and trees.
        """
        self.config, self.arithmetic = config, arithmetic
        several = len(lanes) > 1
        self._mixed = MixedLanes(lanes)
        self.lanes: Lanes = self._mixed if several else lanes[0]
        self.store = MixedStore(stores) if several else stores[0]
        self.learner = build_learner(network, config, arithmetic)
        self.network = network
        self.averaged = FrozenCopy(network)
        self.played = FrozenCopy(self.averaged.network)
        self.evaluator = NetworkEvaluator(self.played.network, arithmetic)
        self.rng = np.random.default_rng([config.run.seed, 7])
        self.learning_rng = np.random.default_rng([config.run.seed, 8])
        most_cells = np.prod(lanes[-1].options.shape)
        self.boards = [
            SelfPlay(
                config, games, store, self.evaluator, self.rng, threads=threads,
                seed=config.run.seed + number,
                passes_from=int(config.passes_from * np.prod(games.options.shape) / most_cells),
            )
            for number, (games, store) in enumerate(zip(lanes, stores, strict=True))
        ]  # fmt: skip
        """Self-play on each size."""
        self.pool: list[dict[str, Any]] = []
        """Earlier networks and all results among them, kept by `assess`."""
        self.results: list[dict[str, Any]] = []
        self._owed = 0.0
        self._refresh_due = False
        self._agent_steps = 0

    # ---------------------------------------------------------------- self-play

    def act(self, step: Step, agent_steps: int) -> np.ndarray:
        """Search all positions; return a move of each, int64 [L]."""
        self._agent_steps = agent_steps
        most = self.simulations(agent_steps)
        return np.concatenate([board.act(most) for board in self.boards])

    def simulations(self, agent_steps: int) -> int:
        """Simulations of a full search: doubled at equal distances from first to last."""
        first, last = self.config.first_simulations, self.config.simulations
        if first >= last:
            return last
        doublings = np.log2(last / first)
        passed = min(1.0, agent_steps / self.config.run.total_steps)
        return int(min(last, first * 2 ** np.floor(passed * (doublings + 1))))

    def observe(self, step: Step, actions: np.ndarray, outcome: Step) -> None:
        """Note the moves; store the games that ended, at the next `commit` where self-play and
        learning are concurrent."""
        by_board = map(self._mixed.split, (actions, outcome.reward, outcome.terminated))
        for board, own in zip(self.boards, zip(*by_board, strict=True), strict=True):
            board.observe(*own)
        if not self.config.concurrent_ticks:
            self.commit()

    def commit(self) -> None:
        """Store the games that ended, and play with newer weights where it is time."""
        for board in self.boards:
            for record in board.commit():
                self._owed += record.rows * self.config.rows_per_new_row
        if self._refresh_due:
            self.play_averaged()
            self._refresh_due = False

    # ---------------------------------------------------------------- learn

    def learn(self, agent_steps: int) -> None:
        """Make the updates that new rows pay for."""
        config = self.config
        if self.store.window_rows < min(config.first_rows, config.window_rows):
            self._owed = 0.0
            return
        self.store.trim(self.window())
        passed = linear(config.learning_rate, config.learning_rate_end, config.run.total_steps,
                        agent_steps)  # fmt: skip
        self.learner.set_learning_rate(passed)
        before = self.learner.updates
        while self._owed >= config.batch_size:
            self._owed -= config.batch_size
            self._update()
        stale = self.learner.updates // REFRESH_EVERY > before // REFRESH_EVERY
        self._refresh_due = stale and not config.gate

    def window(self) -> int:
        """Rows of the window: grows with the 0.75th power of all rows (Wu 2019, appendix C)."""
        least = self.config.first_rows
        grown = (self.store.total_rows / least) ** 0.75
        return int(min(self.config.window_rows, least * (1 + 0.4 * (grown - 1) / 0.75)))

    def _update(self) -> None:
        """One step of gradient descent."""
        rows = self.store.sample(self.config.batch_size, self.learning_rng, self.config.augment)
        update(self.network, self.learner, rows, self.config)
        updates = self.learner.updates
        # Faster at the start.
        self.averaged.average(min(self.config.average_decay, (updates + 1) / (updates + 10)))

    # ---------------------------------------------------------------- report, save

    def metrics(self) -> Metrics:
        """Losses, searches, games, store since the last call."""
        drained = self.learner.drain_metrics()
        scalars = {_TAGS.get(name, f"loss/{name}"): value for name, value in drained.items()}
        if "policy" in drained:
            scalars["policy/divergence_from_target"] = drained["policy"] - drained["entropy"]
        scalars |= {
            "optimiser/learning_rate": self.learner.learning_rate,
            "store/rows": float(self.store.window_rows),
            "store/games": float(len(self.store.games)),
            "store/staleness_rows": self.store.window_rows / 2,
            "search/simulations": float(self.simulations(self._agent_steps)),
            "speed/samples_per_agent_step": self.learner.updates
            * self.config.batch_size
            / max(1, self._agent_steps),
        }
        return drain_all(self.boards, scalars)

    def needs_checkpoint(self) -> bool:
        """Never: stored games are only added to."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Networks, optimiser, games stored and in progress, random streams, pool."""
        learner = self.learner.state_dict()
        return {
            "network": self.averaged.state_dict(),
            "newest": learner.pop("network"),
            "learner": learner,
            "played": self.played.state_dict(),
            "replay": self.store.checkpoint(),
            "pool": {str(index): member for index, member in enumerate(self.pool)},
            "agent": {
                "games": [game.state_dict() for board in self.boards for game in board.games],
                "owed": self._owed,
                "rng": self.rng.bit_generator.state,
                "learning_rng": self.learning_rng.bit_generator.state,
                "searches": [board.search.state_dict() for board in self.boards],
                "results": list(self.results),
            },
        }

    def play_averaged(self) -> None:
        """Give self-play the averaged weights."""
        self.played.refresh()
        self.evaluator.refresh(self.played.network)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue exactly from `state_dict`."""
        self.learner.load_state_dict({"network": state["newest"], **state["learner"]})
        self.averaged.load_state_dict(state["network"])
        self.played.load_state_dict(state["played"])
        self.evaluator.refresh(self.played.network)
        if "replay" in state:
            self.store.restore(state["replay"])
        pool = state["pool"]
        self.pool = [dict(pool[str(index)]) for index in range(len(pool))]
        agent = state["agent"]
        games = [GameInProgress.from_state(game) for game in agent["games"]]
        for board in self.boards:
            board.games = games[: board.lanes.num_lanes]
            games = games[board.lanes.num_lanes :]
        self._owed = float(agent["owed"])
        self.rng.bit_generator.state = agent["rng"]
        if "learning_rng" in agent:  # earlier versions had one stream for both
            self.learning_rng.bit_generator.state = agent["learning_rng"]
        # Earlier versions had one board.
        searches = agent["searches"] if "searches" in agent else [agent["search"]]
        for board, search in zip(self.boards, searches, strict=True):
            board.search.load_state_dict(search)
        self.results = [dict(result) for result in agent["results"]]

    def start_from(self, network: Mapping[str, Any]) -> None:
        """Begin with trained weights: learn from them, and play with them."""
        load_weights(self.network, network)
        self.averaged.load_state_dict(network)
        self.play_averaged()

    def lanes_restarted(self, last: Step) -> None:
        """The games in progress are gone."""
        for board in self.boards:
            board.games = []


_TAGS = {
    "loss": "loss/total",
    "gradient_norm": "optimiser/gradient_norm",
    "entropy": "policy/target_entropy",
    "policy_entropy": "policy/entropy",
}


def build_learner(network: ZeroNetwork, config: ZeroConfig, arithmetic: Arithmetic) -> Learner:
    """The optimiser that the options ask for."""
    optimiser = build_optimiser(
        "adamw", network.parameters(), config.learning_rate, ADAM_EPSILON,
        weight_decay=config.weight_decay,
    )  # fmt: skip
    return Learner(network, optimiser, arithmetic)


def update(network: ZeroNetwork, learner: Learner, rows: Rows, config: ZeroConfig) -> None:
    """One step of the optimiser."""
    network.train()
    learner.update(lambda: zero_loss(network, rows, config, learner.arithmetic))


def zero_loss(
    network: ZeroNetwork, rows: Rows, config: ZeroConfig, arithmetic: Arithmetic
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """The sum of the losses, and each of them."""
    tensor = arithmetic.tensor
    board = tensor(rows.planes).float()
    if arithmetic.channels_last:
        board = board.to(memory_format=torch.channels_last)
    on_board = None if rows.on_board is None else tensor(rows.on_board).float()  # [B, H, W]
    mask = None if on_board is None else on_board[:, None]
    outputs = network(board, tensor(rows.handicap).float() / 2, mask)
    policy_target, settled = tensor(rows.policy), tensor(rows.settled).float()
    policy_logits = outputs.policy_logits.float()
    parts = {
        "policy": losses.policy_loss(policy_logits, policy_target),
        "value": losses.value_loss(outputs.value.float(), tensor(rows.value)),
        "normaliser": losses.normaliser_loss(policy_logits),
    }
    loss = parts["policy"] + parts["value"] + config.normaliser_weight * parts["normaliser"]
    if config.ownership_weight > 0:
        owners = tensor(rows.ownership).float().view(outputs.ownership.shape)
        parts["ownership"] = losses.ownership_loss(
            outputs.ownership.float(), owners, settled, on_board
        )
        loss = loss + config.ownership_weight * parts["ownership"]
    if config.margin_weight > 0:
        margin = tensor(rows.margin).float() / (2 * MARGIN_SCALE)
        parts["margin"] = losses.margin_loss(outputs.margin.float(), margin, settled)
        loss = loss + config.margin_weight * parts["margin"]
    parts["entropy"] = losses.target_entropy(policy_target)
    parts["policy_entropy"] = losses.target_entropy(policy_logits.softmax(dim=1))
    return loss, parts
