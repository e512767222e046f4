"""Searches G positions at once: the trees in kernels, one batched call of the network a tick.

    grow half 1 | network on half 1 ------------|
                | finish and grow half 2 | network on half 2 ---- ...

Where the evaluator works in the background (a GPU), the games are two halves in turn, so that tree
work hides behind the network. On a processor there is one.

Legend: G games, L leaves a game and tick, B slots, A actions, C planes, H W board, S words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from core.errors import UserError
from core.machine.threads import Threads, shares_of
from envs.games.game import Game
from envs.games.state import DRAW, FIRST, NO_ACTION, OUTCOME, TO_MOVE, UNDECIDED
from envs.games.symmetry import symmetries
from search import root
from search.config import SearchConfig
from search.forest import MAX_DEPTH, Forest, keep_edges, keep_subtree, make_forest
from search.gumbel import Gumbel, halving_schedule
from search.puct import Puct
from search.rollouts import RolloutOptions, rollouts_of
from search.simulate import IDLE, WAITING, Roots, Scratch, Slots, Verdicts, tick

_GAMES_WORTH_A_THREAD = 48
"""Handing work to a thread costs as much as a tick of so many games."""

Answer = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Waits for the network: policy logits float32 [B, A], values of the player to move float32 [B]."""


class Evaluator(Protocol):
    """Judges positions."""

    @property
    def overlaps(self) -> bool:
        """Whether `begin` returns before the work is done."""

    def begin(self, planes: np.ndarray, handicap: np.ndarray, cells: np.ndarray | None) -> Answer:
        """Start to judge positions; the arrays may be overwritten once answered.

        planes: uint8 [B, C, H, W]
        handicap: points that the player to move is given, in halves, int32 [B]
        cells: turn the boards: the cell that each place shows, int32 [H W]; None: as they are.
        """


class EvaluationError(UserError):
    """The network said something that is no number."""


@dataclass(frozen=True)
class SearchResult:
    """What the searches found. Values are those of the player to move."""

    actions: np.ndarray
    """The action to play, int64 [G]; NO_ACTION where the game is over."""
    visits: np.ndarray
    """int32 [G, A]"""
    values: np.ndarray
    """Mean value of each action, float32 [G, A], nan without visits."""
    priors: np.ndarray
    """Without noise, float32 [G, A]."""
    policy_target: np.ndarray
    """What the network's policy should become, float32 [G, A]."""
    root_values: np.ndarray
    """Expected outcome, float32 [G]."""
    network_values: np.ndarray
    """What the network says of the position itself, float32 [G]."""


class TreeSearch:
    """Trees for G games, used again for every move."""

    def __init__(
        self,
        game: Game,
        options: Any,
        games: int,
        config: SearchConfig,
        evaluator: Evaluator,
        *,
        max_simulations: int,
        leaves: int = 1,
        threads: int = 1,
        seed: int = 0,
        rollouts: RolloutOptions | None = None,
        expand_after: int = 1,
    ) -> None:
        """Room for `max_simulations` in each tree, `leaves` of a game evaluated together.
        `expand_after`: visits of an edge before simulations go on below it."""
        self.game, self.config, self.evaluator = game, config, evaluator
        self.num_games, self.leaves = games, leaves
        self.num_actions = game.actions(options)
        self.max_simulations = max_simulations
        self._forest = make_forest(games, max_simulations + 1, self.num_actions)
        self._slots = _make_slots(game, options, games * leaves)
        cells, actions = symmetries(game, options)
        turns = len(cells) if config.symmetries else 1
        # Where the cell that comes to each place was, for the evaluator; where actions go, for us.
        self._cells = np.argsort(cells[:turns], axis=1).astype(np.int32)
        self._actions = actions[:turns]
        words = game.words(options)
        self._states = np.zeros((games, words), np.int32)
        self._rng = np.random.default_rng(seed)
        self._gumbel = Gumbel(config.visit_weight, config.value_scale)
        threads = max(1, min(threads, games))
        self._scratch = Scratch(
            np.zeros((threads, words), np.int32),
            np.zeros((threads, self.num_actions + 1), np.int16),
            np.zeros((threads, self.num_actions + 1), np.float32),
        )
        halves = 2 if evaluator.overlaps and games > 1 else 1
        self._shares = shares_of(0, games, threads)
        self._halves = [shares_of(*bounds, threads) for bounds in shares_of(0, games, halves)]
        self._threads = Threads(threads)
        self._expand_after = expand_after
        self._rollouts = rollouts_of(rollouts, threads, words, self.num_actions, seed)
        self._nothing = Verdicts(
            np.zeros(games * leaves, np.int32), np.zeros((0, self.num_actions), np.float32),
            np.zeros(0, np.float32), self._actions[0],
        )  # fmt: skip
        self.evaluations = 0
        """Positions that the network judged so far."""

    # ---------------------------------------------------------------- searching

    def run(
        self,
        states: np.ndarray,
        simulations: int | np.ndarray,
        *,
        active: np.ndarray | None = None,
        noise: bool = False,
        temperature: float | np.ndarray = 0.0,
        keep_trees: bool = False,
        allowed: np.ndarray | None = None,
        watch: Callable[[], bool] | None = None,
    ) -> SearchResult:
        """Search positions, int32 [G, S]; positions that are over are left alone.

        Args:
            simulations: for all games or int [G], on top of what kept trees hold.
            active: games to search, bool [G]; the others are left alone. None: all.
            noise: explore at the root, as self-play does.
            temperature: of the choice among visits at a puct root, one for all or float [G]; 0
                takes the most visited.
            keep_trees: go on in the trees as they are.
            allowed: actions that may be chosen at the roots, uint8 [G, A], at least one that is
                legal in each; such trees are of no use for another search. None: all.
            watch: asked after every tick; False stops the search.

        Raises:
            EvaluationError: the evaluator returned NaN or infinity.
        """
        simulations = np.clip(simulations, 0, self.max_simulations)
        self._states[:] = states
        if active is not None:
            self._states[~active, OUTCOME] = DRAW
        if not keep_trees:
            self.forget()
        self._slots.status[:] = IDLE
        roots = self._make_roots(0)
        self._ticks(roots, noise, None)  # evaluates roots that are not
        if allowed is not None:
            for g in np.flatnonzero(self._forest.num_nodes > 0):
                keep_edges(self._forest, int(g), allowed[g])
        self._prepare_roots(roots, noise)
        clean = self._disturb(noise)
        roots = self._make_roots(simulations, roots)
        self._ticks(roots, noise, watch)
        return self._result(roots, clean, noise, temperature)

    def _ticks(self, roots: Roots, noise: bool, watch: Callable[[], bool] | None) -> None:
        """Grow the trees until every budget is spent."""
        puct = self._puct(forced=noise)
        asked: list[Callable[[], Verdicts] | None] = [None] * len(self._halves)
        going = True
        while going:
            going = False
            # One turn for all leaves of a tick, so that a GPU turns them together.
            turn = int(self._rng.integers(len(self._cells))) if len(self._cells) > 1 else 0
            for index, half in enumerate(self._halves):
                self._work(roots, puct, half, asked[index], grows=True)
                asked[index] = self._ask(half, turn)
                going = going or asked[index] is not None
            if watch is not None and not watch():
                break
        for verdicts, half in zip(asked, self._halves, strict=True):
            self._work(roots, puct, half, verdicts, grows=False)

    def _work(
        self, roots: Roots, puct: Puct, shares: Sequence[tuple[int, int]],
        asked: Callable[[], Verdicts] | None, *, grows: bool,
    ) -> None:  # fmt: skip
        """Take the evaluator's verdicts into the trees of some games, and grow them."""
        verdicts = self._nothing if asked is None else asked()

        def work(first: int, last: int, thread: int) -> None:
            tick(
                self.game, self._forest, roots, self._slots, self._scratch, puct, self._gumbel,
                verdicts, self._rollouts[thread], grows, first, last, thread,
            )  # fmt: skip

        self._in_threads(work, shares)

    def _ask(self, shares: Sequence[tuple[int, int]], turn: int) -> Callable[[], Verdicts] | None:
        """Hand the waiting leaves of some games to the evaluator."""
        first, last = shares[0][0] * self.leaves, shares[-1][1] * self.leaves
        waiting = first + np.flatnonzero(self._slots.status[first:last] == WAITING)
        if not len(waiting):
            return None
        # A GPU judges a full batch as fast as half of one, and faster where its size never changes.
        whole = len(waiting) == last - first or self.evaluator.overlaps
        leaves: slice | np.ndarray = slice(first, last) if whole else waiting
        rows = np.zeros(len(self._slots.status), np.int32)
        rows[waiting] = waiting - first if whole else np.arange(len(waiting))
        self.evaluations += len(waiting)
        planes, handicap = self._slots.planes[leaves], self._slots.handicap[leaves]
        answer = self.evaluator.begin(planes, handicap, self._cells[turn] if turn else None)

        def verdicts() -> Verdicts:
            logits, values = answer()
            if not (np.isfinite(values).all() and np.isfinite(logits).all()):
                raise EvaluationError(
                    "the network's output is not finite: its weights or its arithmetic are broken; "
                    "go back to an earlier checkpoint, or try --precision fp32"
                )
            return Verdicts(rows, logits, values, self._actions[turn])

        return verdicts

    def _in_threads(
        self, work: Callable[[int, int, int], None], shares: Sequence[tuple[int, int]]
    ) -> None:
        first, last = shares[0][0], shares[-1][1]
        if last - first < _GAMES_WORTH_A_THREAD * len(shares):
            work(first, last, 0)
        else:
            self._threads.run(work, shares)

    # ---------------------------------------------------------------- roots

    def _make_roots(self, simulations: int | np.ndarray, earlier: Roots | None = None) -> Roots:
        """Budgets of a search; noise and considered actions of an earlier phase are kept."""
        games, actions = self.num_games, self.num_actions
        most = min(self.config.considered, actions)
        budgets = np.broadcast_to(np.asarray(simulations, np.int32), games).copy()
        distinct, plan = np.unique(budgets, return_inverse=True)
        wanted = int(distinct[-1]) if self.config.root == "gumbel" else 0
        schedule = np.zeros((len(distinct), most + 1, wanted), np.int32)
        for budget, table in zip(np.minimum(distinct, wanted).tolist(), schedule, strict=True):
            table[:, :budget] = [halving_schedule(m, budget) for m in range(most + 1)]
        if earlier is not None:
            heads, considered = earlier.heads, earlier.considered
        else:
            heads = np.zeros((games, actions), np.float32)
            considered = np.zeros(games, np.int32)
        return Roots(
            self._states, budgets, np.zeros(games, np.int32), heads, plan.astype(np.int32),
            schedule, considered,
        )  # fmt: skip

    def _prepare_roots(self, roots: Roots, noise: bool) -> None:
        """Draw the Gumbel noise and the actions to consider."""
        if self.config.root != "gumbel":
            return
        if noise:
            roots.heads[:] = self._rng.gumbel(size=roots.heads.shape)
        considered = self.config.considered

        def prepare(first: int, last: int, thread: int) -> None:
            root.prepare_roots(self._forest, roots.heads, roots.considered, considered, first, last)

        self._in_threads(prepare, self._shares)

    def _disturb(self, noise: bool) -> np.ndarray | None:
        """Mix Dirichlet noise into the priors of puct roots; return the priors as they were."""
        weight = self.config.dirichlet_weight
        if self.config.root != "puct" or not noise or weight <= 0:
            return None
        actions = self.num_actions
        clean = self._forest.prior[:, :actions].copy()
        counts = np.where(self._forest.num_nodes > 0, self._forest.nodes["edge_count"][:, 0], 0)
        legal = np.arange(actions) < counts[:, None]
        shape = self.config.dirichlet_total / np.maximum(counts, 1)
        draws = self._rng.standard_gamma(np.broadcast_to(shape[:, None], legal.shape)) * legal
        draws /= np.maximum(draws.sum(axis=1, keepdims=True), 1e-30)
        mixed = (1 - weight) * clean + weight * draws
        self._forest.prior[:, :actions] = np.where(legal, mixed, clean)
        return clean

    def _puct(self, forced: bool) -> Puct:
        config = self.config
        return Puct(
            exploration=config.exploration,
            first_play_reduction=config.first_play_reduction,
            virtual_loss=config.virtual_loss,
            forced_playouts=config.forced_playouts if forced else 0.0,
            expand_after=self._expand_after,
        )

    # ---------------------------------------------------------------- results

    def _result(
        self,
        roots: Roots,
        clean: np.ndarray | None,
        noise: bool,
        temperature: float | np.ndarray,
    ) -> SearchResult:
        games, actions = self.num_games, self.num_actions
        visits = np.zeros((games, actions), np.int32)
        values = np.full((games, actions), np.nan, np.float32)
        priors = np.zeros((games, actions), np.float32)
        policy = np.zeros((games, actions), np.float32)
        chosen = np.full(games, NO_ACTION, np.int64)
        root_values, network_values = np.zeros(games, np.float32), np.zeros(games, np.float32)
        gumbel_root = self.config.root == "gumbel"
        puct = self._puct(forced=noise)
        outcomes = self._states[:, OUTCOME]
        seen = np.where(self._states[:, TO_MOVE] == FIRST, outcomes, -outcomes)
        over = outcomes != UNDECIDED
        root_values[over] = network_values[over] = seen[over]

        def summarise(first: int, last: int, thread: int) -> None:
            root.summarise(
                self._forest, roots.heads, puct, self._gumbel, gumbel_root, visits, values, priors,
                policy, chosen, root_values, network_values, first, last,
            )  # fmt: skip

        self._in_threads(summarise, self._shares)
        if clean is not None:
            self._forest.prior[:, :actions] = clean
            root.read_priors(self._forest, priors)
        if not gumbel_root and np.any(temperature):
            self._draw(visits, chosen, np.broadcast_to(temperature, games))
        return SearchResult(chosen, visits, values, priors, policy, root_values, network_values)

    def _draw(self, visits: np.ndarray, chosen: np.ndarray, temperature: np.ndarray) -> None:
        """Choose in proportion to visits to the power of 1 / temperature."""
        with np.errstate(divide="ignore"):
            logs = np.log(visits.astype(np.float64)) / np.maximum(temperature, 1e-3)[:, None]
        scores = logs + self._rng.gumbel(size=logs.shape)
        some = (visits.sum(axis=1) > 0) & (temperature > 0)
        chosen[some] = np.argmax(scores[some], axis=1)

    def variation(self, g: int, action: int, longest: int = 12) -> tuple[tuple[int, int], ...]:
        """The most visited line of a tree that begins with an action: actions and their visits."""
        return root.variation(self._forest, g, action, longest)

    # ---------------------------------------------------------------- trees

    def advance(self, actions: np.ndarray) -> None:
        """Go on below the actions that were played, int64 [G]; other branches are dropped."""
        for g, action in enumerate(actions.tolist()):
            keep_subtree(self._forest, g, action)

    def forget(self) -> None:
        """Empty all trees."""
        self._forest.num_nodes[:] = 0
        self._forest.num_edges[:] = 0

    @property
    def forest(self) -> Forest:
        """The trees themselves."""
        return self._forest

    def close(self) -> None:
        """Stop the threads."""
        self._threads.close()

    def state_dict(self) -> dict[str, Any]:
        """The random stream; trees last for one move."""
        return {"rng": self._rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from `state_dict`."""
        self._rng.bit_generator.state = state["rng"]


def _make_slots(game: Game, options: Any, slots: int) -> Slots:
    return Slots(
        np.zeros(slots, np.int8),
        np.zeros((slots, game.planes, *options.shape), np.uint8),
        np.zeros((slots, game.actions(options)), np.uint8),
        np.zeros(slots, np.int32),
        np.zeros(slots, np.int8),
        np.zeros((slots, MAX_DEPTH), np.int32),
        np.zeros(slots, np.int32),
        np.zeros(slots, np.float32),
    )
