"""Random search, evolution, local search: what they ask for, and that they continue exactly."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch

from core.files import state_tree
from envs.architecture.space import Space, Tokens, check
from envs.architecture.spaces import make_space
from search.architecture.evolution import RegularisedEvolution
from search.architecture.local import LocalSearch
from search.architecture.neighbours import mutated, neighbours
from search.architecture.random import RandomSearch
from search.architecture.searcher import Searcher
from tests.search.small_space import SmallSpace, all_designs

SEARCHERS: dict[str, Callable[[Space, int], Searcher]] = {
    "random": RandomSearch,
    "evolution": lambda space, seed: RegularisedEvolution(space, seed, 8, 3),
    "local": LocalSearch,
}


def reward(tokens: Tokens) -> float:
    """Something with local optima."""
    return float(np.sin(np.dot(tokens, np.arange(1, len(tokens) + 1)))) + 0.1 * sum(tokens)


def played(searcher: Searcher, batches: int, count: int) -> list[Tokens]:
    asked: list[Tokens] = []
    for _ in range(batches):
        designs = searcher.ask(count)
        assert len(designs) == count
        searcher.tell(designs, np.array([reward(tokens) for tokens in designs]))
        asked += designs
    return asked


@pytest.mark.parametrize("name", SEARCHERS)
@pytest.mark.parametrize("count", [1, 3])
def test_a_searcher_continues_exactly(name: str, count: int) -> None:
    straight = SEARCHERS[name](SmallSpace(), 5)
    played(straight, 12, count)
    arrays: dict[str, state_tree.Leaf] = {}
    tree = state_tree.encode(straight.state_dict(), arrays)
    again = SEARCHERS[name](SmallSpace(), 6)
    read = {name: torch.as_tensor(leaf) for name, leaf in arrays.items()}
    again.load_state_dict(state_tree.decode(tree, read))
    assert played(again, 20, count) == played(straight, 20, count)


@pytest.mark.parametrize("name", SEARCHERS)
def test_only_legal_designs_are_asked_for(name: str) -> None:
    space = SmallSpace()
    for tokens in played(SEARCHERS[name](space, 1), 100, 4):
        check(space, tokens)


def test_random_designs_are_uniform_over_legal_decisions() -> None:
    space = SmallSpace()
    asked = RandomSearch(space, 1).ask(8_000)
    pairs = Counter(tokens[:2] for tokens in asked)
    # Kind c has one size, so it is as likely as both designs of another kind together.
    for pair, share in {(0, 0): 1 / 6, (0, 1): 1 / 6, (1, 0): 1 / 6, (2, 0): 1 / 3}.items():
        assert abs(pairs[pair] / 8_000 - share) < 4 * (share * (1 - share) / 8_000) ** 0.5
    assert (2, 1) not in pairs


def test_a_mutation_changes_one_decision_that_had_an_alternative() -> None:
    space, random = make_space("nb201"), np.random.default_rng(1)
    seen = Counter(mutated(space, (0, 1, 2, 3, 4, 0), random) for _ in range(2_400))
    assert len(seen) == 24  # six edges, four other operations each: all equally likely
    assert all(abs(n - 100) < 40 for n in seen.values())
    for tokens in seen:
        assert sum(a != b for a, b in zip(tokens, (0, 1, 2, 3, 4, 0), strict=True)) == 1


def test_a_mutation_that_forbids_a_later_token_draws_it_anew() -> None:
    space = SmallSpace()
    parent = (0, 1, 0, 0, 0, 0, 0, 0, 0)
    found = neighbours(space, parent, np.random.default_rng(1))
    assert (2, 0, *parent[2:]) in found  # size 2 does not go with kind c
    for tokens in found:
        check(space, tokens)
        changes = [i for i in range(9) if tokens[i] != parent[i]]
        assert len(changes) == 1 or changes == [0, 1]
    assert len(found) == 2 + 1 + 2 + 1 + 1 + 2 + 1 + 2


def slow_evolution(
    space: Space, seed: int, population: int, sample: int, count: int
) -> list[Tokens]:
    """Algorithm 1 of Real et al. 2019 as it stands there, with a list and a clock of births."""
    random = np.random.default_rng(seed)
    first = RandomSearch(space, 0)
    first.random = random
    born: list[tuple[int, Tokens]] = []
    history: list[Tokens] = []
    while len(history) < count:
        if len(history) < population:
            child = first.ask(1)[0]
        else:
            contest = [born[int(i)][1] for i in random.integers(len(born), size=sample)]
            parent = contest[0]
            for rival in contest[1:]:
                if reward(rival) > reward(parent):
                    parent = rival
            child = mutated(space, parent, random)
        born.append((len(history), child))
        history.append(child)
        if len(born) > population:
            born.remove(min(born))
    return history


def test_evolution_ages_as_the_slow_version() -> None:
    space = SmallSpace()
    fast = played(RegularisedEvolution(space, 3, 10, 4), 300, 1)
    assert fast == slow_evolution(space, 3, 10, 4, 300)


def test_the_best_dies_of_age() -> None:
    space = SmallSpace()
    evolution = RegularisedEvolution(space, 1, 5, 5)
    best = evolution.ask(1)
    evolution.tell(best, np.array([100.0]))
    for _ in range(4):
        evolution.tell(evolution.ask(1), np.array([0.0]))
    assert (best[0], 100.0) in evolution.members
    evolution.tell(evolution.ask(1), np.array([0.0]))
    assert (best[0], 100.0) not in evolution.members


def test_local_search_climbs_to_a_local_optimum_and_starts_anew() -> None:
    space = SmallSpace()
    searcher = LocalSearch(space, 2)
    asked: set[Tokens] = set()
    current, restarts, repeated = None, 0, 0
    for _ in range(400):
        (tokens,) = played(searcher, 1, 1)
        if current is None or reward(tokens) > reward(current):
            current = tokens
        repeated += tokens in asked
        asked.add(tokens)
        if not searcher.untried:
            around = neighbours(space, current, np.random.default_rng(0))
            assert asked.issuperset(around)
            current, restarts = None, restarts + 1
    assert restarts > 3
    assert repeated <= restarts  # only a new start may be what was scored before


def test_local_search_finds_the_best_of_a_small_space() -> None:
    space = SmallSpace()
    best = max(map(reward, all_designs(space, 9)))
    assert len(all_designs(space, 9)) == 1_000
    found = played(LocalSearch(space, 1), 250, 4)
    assert max(map(reward, found)) == best
