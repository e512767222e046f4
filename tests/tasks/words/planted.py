"""A text in which every analogy has one right answer.

Thing (i, j) has property i of one kind and property j of another. A sentence names a thing between
words that go with its properties, and says nothing else.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

FIRST, SECOND = 5, 4
"""Properties of both kinds."""
WORDS_OF_A_PROPERTY = 4


def thing(i: int, j: int) -> str:
    """Its name, which says nothing of its properties to a program that counts whole words."""
    return f"thing{i}x{j}"


def plant(folder: Path, sentences: int = 6000) -> tuple[Path, Path]:
    """Write the text and all its analogies; returns both files."""
    random = np.random.default_rng(0)
    lines = []
    for _ in range(sentences):
        i, j = int(random.integers(FIRST)), int(random.integers(SECOND))
        about = [f"first{i}w{n}" for n in random.permutation(WORDS_OF_A_PROPERTY)[:2]]
        about += [f"second{j}w{n}" for n in random.permutation(WORDS_OF_A_PROPERTY)[:2]]
        about = [about[n] for n in random.permutation(4)]
        lines.append(" ".join([*about[:2], thing(i, j), *about[2:]]))
    questions = [
        f"{thing(i, j)} {thing(i, k)} {thing(m, j)} {thing(m, k)}"
        for i in range(FIRST)
        for m in range(FIRST)
        for j in range(SECOND)
        for k in range(SECOND)
        if i != m and j != k
    ]
    text, analogies = folder / "planted.txt", folder / "analogies.txt"
    text.write_text("\n".join(lines) + "\n")
    analogies.write_text(": second property\n" + "\n".join(questions) + "\n")
    return text, analogies
