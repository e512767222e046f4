"""The spaces of the tabular benchmarks: which designs are the same network."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from envs.architecture import space as designs
from envs.architecture.spaces import make_space

ALL = {
    "nb201": list(product(range(5), repeat=6)),
    "macro": list(product(range(3), repeat=8)),
}


@pytest.mark.parametrize(("name", "count"), [("nb201", 6466), ("macro", 3969)])
def test_as_many_designs_differ_as_the_benchmark_says(name: str, count: int) -> None:
    space = make_space(name)
    canonical = {tokens: space.canonical(tokens) for tokens in ALL[name]}
    assert len(set(canonical.values())) == count
    assert all(canonical[first] == first for first in canonical.values())


def outputs(tokens: tuple[int, ...], image: np.ndarray) -> np.ndarray:
    """A cell with stand-ins for its operations that keep zeros zero: what it would compute."""
    operations = [
        np.zeros_like, lambda x: x, lambda x: np.tanh(1.5 * x), lambda x: np.sin(x) + 0.2 * x**2,
        lambda x: 0.25 * (x + np.roll(x, 1) + np.roll(x, 2)),
    ]  # fmt: skip
    nodes = [image]
    edges = iter(tokens)
    for node in range(1, 4):
        nodes.append(sum(operations[next(edges)](nodes[start]) for start in range(node)))
    return nodes[-1]


def test_cells_of_one_class_compute_the_same() -> None:
    cell = make_space("nb201")
    image = np.random.default_rng(1).normal(size=7)
    for tokens in ALL["nb201"][::3]:
        np.testing.assert_allclose(
            outputs(tokens, image), outputs(cell.canonical(tokens), image), atol=1e-12
        )


def test_chains_of_one_class_have_the_same_blocks_in_the_same_order() -> None:
    chain = make_space("macro")
    assert chain.canonical((0, 0, 1, 0, 2, 0, 0, 1)) == (0, 0, 1, 2, 0, 0, 1, 0)
    for tokens in ALL["macro"]:
        same = chain.canonical(tokens)
        assert [t for t in same if t] == [t for t in tokens if t]
        assert [same[i] for i in (0, 2, 5)] == [tokens[i] for i in (0, 2, 5)]


@pytest.mark.parametrize("name", ["nb201", "macro"])
def test_designs_are_told_apart_and_named(name: str) -> None:
    space = make_space(name)
    keys = {designs.key(space.design(tokens)) for tokens in ALL[name]}
    assert len(keys) == len(ALL[name])
    assert space.design(ALL[name][0])["space"] == name
    for tokens in ALL[name][::97]:
        designs.check(space, tokens)
