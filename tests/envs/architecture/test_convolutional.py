"""The space "cnn": what its tokens mean, how it grows, and which designs are one network."""

from __future__ import annotations

from collections import defaultdict
from itertools import permutations, product
from typing import Any

import numpy as np
import pytest

from core.errors import UserError
from envs.architecture.convolutional import Convolutional
from envs.architecture.space import check, key, sample
from envs.architecture.spaces import make_space


def test_decisions_come_layer_by_layer_and_end_at_the_anchor() -> None:
    space = make_space("cnn", layers=3, strides=(1, 2))
    names = [stage.name for stage in space.stages]
    layer = ["filter height", "filter width", "filters", "stride height", "stride width"]
    assert names == [*layer, *layer, "inputs", *layer, "inputs"]
    assert [stage.num_tokens for stage in space.stages if stage.name == "inputs"] == [1, 2]
    assert space.lengths == (18,)


def test_a_design_says_what_was_chosen() -> None:
    space = make_space("cnn", layers=3, strides=(1, 2))
    tokens = (1, 0, 3, 0, 1, 2, 3, 0, 0, 0, 0, 0, 1, 2, 1, 1, 1, 1)
    check(space, tokens)
    assert space.design(tokens) == {
        "space": "cnn",
        "layers": [
            {"height": 3, "width": 1, "filters": 64, "stride": [1, 2], "inputs": []},
            {"height": 5, "width": 7, "filters": 24, "stride": [1, 1], "inputs": []},
            {"height": 1, "width": 3, "filters": 48, "stride": [2, 2], "inputs": [1, 2]},
        ],
    }


def test_without_skips_each_layer_takes_the_one_before() -> None:
    space = make_space("cnn", layers=3, skips=False)
    design = space.design((0,) * 9)
    assert [layer["inputs"] for layer in design["layers"]] == [[], [1], [2]]
    assert [layer["stride"] for layer in design["layers"]] == [[1, 1]] * 3


def test_depth_grows_as_in_the_paper() -> None:
    """Three tokens a layer, and as many answers as there are pairs of layers."""
    space = make_space("cnn", layers=11, growth=(6, 2))
    assert space.lengths == (18 + 15, 24 + 28, 30 + 45, 33 + 55)
    random = np.random.default_rng(0)
    for length, depth in zip(space.lengths, (6, 8, 10, 11), strict=True):
        tokens = sample(space, random, length)
        check(space, tokens)
        assert len(space.design(tokens)["layers"]) == depth


def test_every_option_of_the_next_choice_is_legal() -> None:
    space = make_space("cnn", layers=2, filters=(8, 16, 32), strides=(1, 2))
    ahead = {0: 4, 1: 4, 2: 3, 3: 2, 4: 2, 5: 4, 9: 2}
    for tokens, options in ahead.items():
        assert space.legal((0,) * tokens).tolist() == [True] * options


def isomorphic_forms(design: dict[str, Any]) -> str:
    """The least text among all orders of the layers: the slow way to tell what is the same."""
    layers = design["layers"]
    texts = []
    for order in permutations(range(len(layers))):
        place = {old: new for new, old in enumerate(order)}
        kinds = [{**layers[old], "inputs": ()} for old in order]
        edges = sorted((place[i - 1], place[old]) for old in order for i in layers[old]["inputs"])
        texts.append(repr((kinds, edges)))
    return min(texts)


def test_designs_are_told_apart_exactly_where_their_graphs_differ() -> None:
    space = Convolutional(layers=4, heights=(3,), widths=(3,), filters=(4, 8))
    classes: dict[str, set[tuple[int, ...]]] = defaultdict(set)
    layers = [product((0,), (0,), (0, 1), *[(0, 1)] * number) for number in range(4)]
    for parts in product(*layers):
        tokens = sum(parts, ())
        canonical = space.canonical(tokens)
        check(space, canonical)
        assert space.canonical(canonical) == canonical
        classes[isomorphic_forms(space.design(tokens))].add(canonical)
    found = [canonical for each in classes.values() for canonical in each]
    assert len(found) == len(classes) == len(set(found))
    assert 100 < len(classes) < 2**10


def test_keys_differ_where_designs_do() -> None:
    space, random = make_space("cnn", layers=4), np.random.default_rng(0)
    designs = {sample(space, random) for _ in range(300)}
    assert len({key(space.design(tokens)) for tokens in designs}) == len(designs)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": 0}, "layers of space cnn must be different whole numbers from 1 to 60, got 0"),
        ({"layers": 61}, "got 61"),
        ({"heights": (2, 3)}, "heights of space cnn must be different odd numbers"),
        ({"widths": ()}, "got none"),
        ({"filters": (8, 8)}, "filters of space cnn must be different"),
        ({"strides": (0, 1)}, "strides of space cnn"),
        ({"growth": (6,)}, "such as 6,2"),
        ({"growth": (7, 1)}, "growth of space cnn must be different whole numbers from 1 to 6"),
    ],
)
def test_options_that_cannot_be_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        make_space("cnn", **options)
