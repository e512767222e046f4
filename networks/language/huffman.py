"""A binary tree over words in which frequent words have short paths.

Paper: Huffman 1952, A method for the construction of minimum-redundancy codes. The two rarest nodes
are joined until one is left. With words sorted by their counts, nodes are made in the order of
their counts too, so that the rarest ones stand at the front of two queues.

Legend: V words, P = sum of the lengths of all paths.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Paths(NamedTuple):
    """Every word's way down from the root; word w has places starts[w] to starts[w + 1] - 1."""

    starts: np.ndarray
    """int64 [V + 1]."""
    nodes: np.ndarray
    """Inner nodes that are passed, numbered in the order in which they were made, int32 [P]."""
    turns: np.ndarray
    """At each of them: 0 to the rarer half, 1 to the other, int8 [P]."""


def huffman_paths(counts: np.ndarray) -> Paths:
    """The paths of words with these counts.

    Args:
        counts: int64 [V], falling, V at least 2.

    Raises:
        ValueError: fewer words, or counts that rise.
    """
    words = len(counts)
    if words < 2 or (np.diff(counts) > 0).any():
        raise ValueError("a Huffman tree needs two words or more, the most frequent first")
    parents, turns = _join(counts.tolist())
    parent, turn = np.array(parents), np.array(turns, np.int8)
    place = np.arange(words)
    levels: list[tuple[np.ndarray, np.ndarray]] = []  # from the leaves up
    alive = [place]
    while len(place):
        levels.append((parent[place] - words, turn[place]))
        going = parent[place] != 2 * words - 2  # the root
        place, alive = parent[place][going], [*alive, alive[-1][going]]
    lengths = np.zeros(words, np.int64)
    for word in alive:
        lengths[word] += 1
    starts = np.concatenate(([0], np.cumsum(lengths)))
    nodes, bits = np.empty(starts[-1], np.int32), np.empty(starts[-1], np.int8)
    for height, (node, bit) in enumerate(levels):
        where = starts[alive[height] + 1] - 1 - height
        nodes[where], bits[where] = node, bit
    return Paths(starts, nodes, bits)


def _join(counts: list[int]) -> tuple[list[int], list[int]]:
    """Parent and turn of every node; words are 0 to V - 1, inner nodes V to 2 V - 2."""
    words = len(counts)
    weights = counts + [0] * (words - 1)
    parents, turns = [0] * (2 * words - 1), [0] * (2 * words - 1)
    leaf, inner = words - 1, words
    for made in range(words, 2 * words - 1):
        for turn in (0, 1):
            if leaf >= 0 and (inner == made or weights[leaf] <= weights[inner]):
                rarest, leaf = leaf, leaf - 1
            else:
                rarest, inner = inner, inner + 1
            weights[made] += weights[rarest]
            parents[rarest], turns[rarest] = made, turn
    return parents, turns
