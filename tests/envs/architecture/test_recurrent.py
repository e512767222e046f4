"""The space "rnn": the paper's numbers and example, and which trees are one cell."""

from __future__ import annotations

from collections import defaultdict
from math import prod
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from envs.architecture.space import check, sample
from envs.architecture.spaces import make_space


def test_there_are_as_many_designs_as_the_paper_says() -> None:
    space = make_space("rnn")
    assert len(space.stages) == 2 * 15 + 2 + 2
    designs = prod(len(stage.options) for stage in space.stages)
    assert designs == 8**16 * 15**2
    assert f"{designs:.0e}" == "6e+16"


def test_the_papers_example() -> None:
    """Figure 5: Add Tanh, ElemMult ReLU, ElemMult Sigmoid, Add ReLU, 1 0."""
    space = make_space("rnn", leaves=2)
    tokens = (0, 1, 1, 3, 1, 2, 0, 3, 1, 0)
    check(space, tokens)
    assert space.design(tokens) == {
        "space": "rnn",
        "nodes": [
            {"combination": "add", "activation": "tanh", "inputs": ["x", "h"]},
            {"combination": "multiply", "activation": "relu", "inputs": ["x", "h"]},
            {"combination": "multiply", "activation": "sigmoid", "inputs": [0, 1]},
        ],
        "inject": {"combination": "add", "activation": "relu", "node": 0},
        "cell": 1,
    }


def test_a_tree_of_base_eight_is_a_binary_tree() -> None:
    nodes = make_space("rnn").design((0,) * 34)["nodes"]
    inputs = [node["inputs"] for node in nodes]
    assert inputs[:8] == [["x", "h"]] * 8
    assert inputs[8:] == [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9], [10, 11], [12, 13]]


def formula(design: dict[str, Any], node: int) -> str:
    """What is computed below a node, both sides in alphabetical order."""
    this = design["nodes"][node]
    marks = f"{'c' * (design['cell'] == node)}{'i' * (design['inject']['node'] == node)}"
    below = [] if "x" in this["inputs"] else sorted(formula(design, i) for i in this["inputs"])
    return f"{this['combination']} {this['activation']} {marks}({','.join(below)})"


@pytest.mark.parametrize("leaves", [2, 4])
def test_trees_are_told_apart_exactly_where_their_formulas_differ(leaves: int) -> None:
    space, random = make_space("rnn", leaves=leaves), np.random.default_rng(leaves)
    classes: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    designs = set()
    for _ in range(1500):
        tokens = sample(space, random)
        # Few kinds of nodes, so that many trees are the same.
        tokens = (*(min(token, 1) * (i % 2) for i, token in enumerate(tokens[:-2])), *tokens[-2:])
        canonical = space.canonical(tokens)
        check(space, canonical)
        assert space.canonical(canonical) == canonical
        assert canonical[-4:-2] == tokens[-4:-2]
        design = space.design(tokens)
        classes[formula(design, len(design["nodes"]) - 1) + str(tokens[-4:-2])].add(canonical)
        designs.add(tokens)
    found = [canonical for each in classes.values() for canonical in each]
    assert len(found) == len(classes) == len(set(found))
    assert len(classes) < 0.7 * len(designs)


@pytest.mark.parametrize("leaves", [0, 3, 32])
def test_other_bases_are_refused(leaves: int) -> None:
    with pytest.raises(UserError, match="must be one of 2, 4, 8, 16"):
        make_space("rnn", leaves=leaves)
