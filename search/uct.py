"""A player that searches by UCT: compiled, on several threads, within playouts or seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from core.errors import UserError
from core.machine.environment_facts import usable_cores
from core.machine.kernels import announce_compilation
from core.machine.random_numbers import random_state
from core.machine.threads import Threads
from envs.games.game import Game
from envs.games.session import Session
from search.player import RESIGN, Judgement, Limits, Watcher, without_suicide
from search.uct_tree import (
    Tree,
    add_priors,
    clear_tree,
    line_of,
    make_tree,
    restrict_root,
    run_playouts,
)

_CHUNK_SECONDS = 0.05
_NODES_PER_PLAYOUT = 24
_MOST_NODES = 8_000_000
_RESIGN_VISITS = 100


@dataclass(frozen=True)
class UctOptions:
    """Monte-Carlo tree search with random playouts."""

    playouts: int = 10_000
    """Playouts a move, shared by the threads."""
    seconds: float = 0.0
    """Stop a move after so many seconds; 0: no limit."""
    threads: int = 0
    """Trees grown side by side, whose counts are added; 0: one for each core."""
    exploration: float = 0.6
    """Weight of the confidence bound, for outcomes from -1 to 1."""
    first_play_urgency: float = 1.1
    """Bound of a move that was never tried; from 1 on, every move is tried first."""
    expand_after: int = 4
    """Playouts through a leaf before its moves join the tree."""
    policy: Literal["uniform", "patterns"] = "uniform"
    """How playouts choose moves; patterns: as `envs/games/go/rollout.py` learned them (Go only)."""
    prior: float = 0.0
    """Weight of what patterns think of a move before it was tried, in the place of the confidence
    bound (PUCT; Go only); 0: none."""
    rapid: float = 0.0
    """Visits at which rapid action values count as half as much as all; 0: none. Needs patterns."""
    resign: float = 0.0
    """Give a game of Go up when the chance to win falls below this; 0: never."""
    seed: int = 0

    def __post_init__(self) -> None:
        if self.playouts < 1 or self.seconds < 0 or self.threads < 0 or self.expand_after < 1:
            raise UserError("UCT needs playouts and expand_after of 1 or more, nothing below 0")
        if not 0 <= self.resign < 0.5:
            raise UserError(f"resign must be from 0 to 0.5, got {self.resign}")
        if self.policy not in ("uniform", "patterns"):
            raise UserError(f"there are no playouts {self.policy!r} (known: uniform, patterns)")
        if self.prior < 0:
            raise UserError(f"the weight of priors counts from 0, got {self.prior}")
        if self.rapid < 0 or (self.rapid and self.policy == "uniform"):
            raise UserError("rapid action values count from 0, and need playouts by patterns")


class _Worker:
    """One tree with its scratch memory and random stream."""

    def __init__(self, session: Session, tree: Tree, rng: np.ndarray, guide: Any) -> None:
        self.tree, self.rng, self.guide = tree, rng, guide
        self.state = session.state.copy()
        self.mask = np.zeros(session.game.actions(session.options), np.uint8)


class UctPlayer:
    """Plays the most visited move of trees grown from the position, one for each thread."""

    def __init__(self, options: UctOptions | None = None) -> None:
        self.options = options or UctOptions()
        self._threads = self.options.threads or usable_cores()
        self._streams = random_state(self.options.seed, self._threads)
        self._trees: list[Tree] = []
        self._team = Threads(self._threads)

    @property
    def name(self) -> str:
        """What to call it in game records."""
        limit = f"{self.options.seconds:g} s" if self.options.seconds else self.options.playouts
        switches = " patterns" * (self.options.policy == "patterns")
        for key in ("prior", "rapid", "exploration"):
            if (value := getattr(self.options, key)) != getattr(UctOptions, key):
                switches += f" {key} {value:g}"
        return f"UCT {limit}{switches}"

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        """Search the position; the same seed and number of playouts give the same answer."""
        playouts, seconds = self._limits(limits)
        announce_compilation(f"the search for {session.game.title}", "uct_tree.run_playouts")
        workers = self._workers(session, playouts)
        if limits is not None and limits.allowed is not None:
            for worker in workers:
                restrict_root(worker.tree, sorted(limits.allowed))
                if self.options.prior > 0:
                    mask, chances = session.legal_mask(), np.zeros(len(worker.mask))
                    add_priors(session.game, worker.tree, 0, session.state, mask, worker.guide,
                               chances)  # fmt: skip
        began = time.monotonic()
        shares = [
            playouts // self._threads + int(index < playouts % self._threads)
            for index in range(self._threads)
        ]
        turns = [(index, index + 1) for index in range(self._threads)]
        done, chunk = 0, 16
        while done < max(shares):
            before = time.monotonic()
            chunk = min(chunk, max(shares) - done)
            counts = [max(0, min(chunk, share - done)) for share in shares]
            self._team.run(self._grow(session, workers, counts), turns)
            done += chunk
            now = time.monotonic()
            left = began + seconds - now
            if left <= 0 or (watch and not watch(self._sum_up(session, workers, began))):
                break
            # Chunks of a twentieth of a second, so that clocks and people are heard.
            rate = chunk / max(now - before, 1e-6)
            chunk = min(2 * chunk, 1 + int(rate * min(left, _CHUNK_SECONDS)))
        return self._or_resign(session, self._sum_up(session, workers, began))

    def _or_resign(self, session: Session, judgement: Judgement) -> Judgement:
        """Give up where the best move loses, and so do all playouts together."""
        visits, values = judgement.visits, np.nan_to_num(judgement.values)
        if session.game.name != "go" or visits.sum() < _RESIGN_VISITS:
            return judgement
        mean = (visits @ values / visits.sum() + 1) / 2
        lost = max(mean, judgement.win_rate) < self.options.resign
        return replace(judgement, action=RESIGN) if lost else judgement

    def new_game(self, seed: int) -> None:
        """Draw from other random streams."""
        self._streams = random_state(seed, self._threads)

    def dead_stones(self, session: Session) -> set[int] | None:
        """Stones that random playouts take off more often than not."""
        if session.game.name != "go":
            return None
        from envs.games.go.estimate import dead_cells

        return dead_cells(session.state)

    def check(self, game: Game, options: Any) -> None:
        """It plays every game; patterns are for those that have some."""
        self._require_patterns(game)

    def close(self) -> None:
        """Stop the threads and free the trees."""
        self._team.close()
        self._trees = []

    def _limits(self, limits: Limits | None) -> tuple[int, float]:
        """Playouts and seconds of this move."""
        own = self.options
        if limits is None or not limits.are_set:
            limits = Limits(None if own.seconds else own.playouts, own.seconds or None)
        seconds = np.inf if limits.seconds is None else limits.seconds
        playouts = _MOST_NODES if limits.playouts is None else limits.playouts
        return playouts, seconds

    def _workers(self, session: Session, playouts: int) -> list[_Worker]:
        """Empty trees of a fitting size."""
        actions = session.game.actions(session.options)
        wanted = actions + 2 + playouts // self._threads * _NODES_PER_PLAYOUT
        nodes = min(wanted, _MOST_NODES // self._threads)
        if not self._trees or len(self._trees[0].visits) < nodes:
            self._trees = [make_tree(nodes) for _ in range(self._threads)]
        for tree in self._trees:
            clear_tree(tree)
        pairs = zip(self._trees, self._streams, strict=True)
        guides = self._guides(session)
        return [_Worker(session, *pair, guide) for pair, guide in zip(pairs, guides, strict=True)]

    def _guides(self, session: Session) -> list[Any]:
        """What guides the playouts of each thread."""
        if not self._wants_patterns:
            return [None] * self._threads
        self._require_patterns(session.game)
        from envs.games.go.rollout import another_thread, load_policy

        return [another_thread(load_policy()) for _ in range(self._threads)]

    @property
    def _wants_patterns(self) -> bool:
        return self.options.policy == "patterns" or self.options.prior > 0

    def _require_patterns(self, game: Game) -> None:
        if self._wants_patterns and (game.guided_playout is None or game.chances is None):
            raise UserError(f"{game.title} has no patterns; take uniform playouts, prior=0")

    def _grow(
        self, session: Session, workers: list[_Worker], playouts: list[int]
    ) -> Callable[[int, int, int], None]:
        game, root, o = session.game, session.state, self.options

        def grow(first: int, last: int, thread: int) -> None:
            for worker, count in zip(workers[first:last], playouts[first:last], strict=True):
                run_playouts(
                    game, worker.tree, root, worker.state, worker.mask, worker.rng, count,
                    o.exploration, o.first_play_urgency, o.expand_after, o.rapid, worker.guide,
                    o.policy == "patterns", o.prior,
                )  # fmt: skip

        return grow

    def _sum_up(self, session: Session, workers: list[_Worker], began: float) -> Judgement:
        """Add the counts of the roots' children."""
        actions = session.game.actions(session.options)
        visits, outcomes = np.zeros(actions, np.int64), np.zeros(actions)
        for worker in workers:
            tree = worker.tree
            row = slice(tree.first_child[0], tree.first_child[0] + tree.children[0])
            visits[tree.actions[row]] += tree.visits[row]
            outcomes[tree.actions[row]] += tree.outcomes[row]
        sign = 1 - 2 * session.to_move
        with np.errstate(invalid="ignore"):
            values = sign * outcomes / visits
        best = int(np.lexsort((np.nan_to_num(values, nan=-2), visits))[-1])
        best = without_suicide(session, best, visits, values)
        seconds = time.monotonic() - began
        line = line_of([worker.tree for worker in workers], best)
        return Judgement(
            best, float(values[best]), visits, values, None, tuple(a for a, _ in line), seconds,
            {"playouts": float(visits.sum()), "playouts/s": visits.sum() / max(seconds, 1e-9)},
            lambda action: line_of([worker.tree for worker in workers], action),
        )  # fmt: skip


def make_uct(**options: Any) -> UctPlayer:
    """Make a player from options by name."""
    return UctPlayer(UctOptions(**options))
