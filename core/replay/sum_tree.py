"""A binary tree of sums: draws leaves in proportion to their values (Schaul et al. 2016,
arXiv 1511.05952, appendix B.2.1).

The tree of P leaves is one float64 array [2 * P], P a power of two: node i is the sum of nodes
2 * i and 2 * i + 1, node 1 that of all, leaf j is node P + j. A node is always added up anew from
its children, so the tree depends on its leaves alone, whatever changed them and in what order.

Legend: P leaves, N leaves changed or drawn.
"""

from __future__ import annotations

import numpy as np

from core.machine.kernels import kernel


def empty_tree(leaves: int) -> np.ndarray:
    """A tree of at least so many leaves, all zero, float64 [2 * P]."""
    return np.zeros(2 << max(0, leaves - 1).bit_length())


def leaves_of(tree: np.ndarray) -> np.ndarray:
    """The leaves, float64 [P]; a view, not to be written to."""
    return tree[len(tree) // 2 :]


@kernel
def set_leaves(tree: np.ndarray, leaves: np.ndarray, values: np.ndarray) -> None:
    """Write values, float64 [N], into leaves, int64 [N]; of a leaf named twice the last counts."""
    half = len(tree) // 2
    for index in range(len(leaves)):
        node = half + leaves[index]
        tree[node] = values[index]
        while node > 1:
            node //= 2
            tree[node] = tree[2 * node] + tree[2 * node + 1]


@kernel
def find_leaves(tree: np.ndarray, masses: np.ndarray, found: np.ndarray) -> None:
    """Fill `found`, int64 [N], with the leaves at which the running sum exceeds the masses.

    masses: float64 [N], in [0, the sum of all). A leaf of value 0 is never found in a tree that
    has others, even where rounding leads past the last one.
    """
    half = len(tree) // 2
    for index in range(len(masses)):
        node, mass = 1, masses[index]
        while node < half:
            node *= 2
            if mass >= tree[node] and tree[node + 1] > 0:
                mass -= tree[node]
                node += 1
        found[index] = node - half
