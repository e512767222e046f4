"""Stored games of boards of several sizes, and batches that hold them all (Wu 2019, appendix A.1).

    .  .  .  .  .     a 3x3 board in the planes of a 5x5 one: it stands in the upper left corner,
    .  .  .  .  .     what is beyond it is 0 in planes, policy and ownership, and `on_board` says
    .  .  .  .  .     where it ends. Policies keep the pass last.

Legend: B batch, C planes, H W largest board, h w own board, A actions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np

from agents.zero.playing import board_name
from agents.zero.store import GameRecord, GameStore, Rows


class MixedStore:
    """The stores of several boards as one window of rows."""

    def __init__(self, stores: Sequence[GameStore]) -> None:
        """`stores`: of one game, the largest board last."""
        self.stores = stores

    @property
    def games(self) -> list[GameRecord]:
        """All games of the windows."""
        return list(chain.from_iterable(store.games for store in self.stores))

    @property
    def window_rows(self) -> int:
        """Rows that can be drawn."""
        return sum(store.window_rows for store in self.stores)

    @property
    def total_rows(self) -> int:
        """Rows there ever were."""
        return sum(store.total_rows for store in self.stores)

    @property
    def total_games(self) -> int:
        """Games there ever were."""
        return sum(store.total_games for store in self.stores)

    def trim(self, rows: int) -> None:
        """Keep the newest so many rows, of each board its share of all that there ever were."""
        total = max(1, self.total_rows)
        for store in self.stores:
            store.trim(round(rows * store.total_rows / total))

    def sample(self, batch: int, rng: np.random.Generator, turn: bool) -> Rows:
        """Draw rows of all boards alike, with replacement, as `GameStore.sample` does."""
        held = np.array([store.window_rows for store in self.stores])
        counts = rng.multinomial(batch, held / held.sum()).tolist()
        parts = [
            store.sample(count, rng, turn)
            for store, count in zip(self.stores, counts, strict=True)
            if count
        ]
        return padded_together(parts, self.stores[-1].options.shape)

    def checkpoint(self) -> dict[str, Any]:
        """What `GameStore.checkpoint` says, by the names of the boards."""
        return {board_name(store.options): store.checkpoint() for store in self.stores}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Read the games that a checkpoint lists."""
        for store in self.stores:
            store.restore(state[board_name(store.options)])


def padded_together(parts: Sequence[Rows], shape: tuple[int, int]) -> Rows:
    """One batch of rows of boards of several sizes, each padded to [H, W]."""
    padded = [_padded(rows, shape) for rows in parts]
    return Rows(
        *(
            np.concatenate([getattr(rows, name) for rows in padded])
            for name in Rows.__dataclass_fields__
        )
    )


def _padded(rows: Rows, shape: tuple[int, int]) -> Rows:
    batch, _, height, width = rows.planes.shape
    cells = height * width

    def padded(boards: np.ndarray) -> np.ndarray:
        """[B, ..., h, w] to [B, ..., H, W]"""
        larger = np.zeros((*boards.shape[:-2], *shape), boards.dtype)
        larger[..., :height, :width] = boards
        return larger

    def padded_cells(boards: np.ndarray) -> np.ndarray:
        """[B, h w] to [B, H W]"""
        return padded(boards.reshape(batch, height, width)).reshape(batch, -1)

    policy = [padded_cells(rows.policy[:, :cells]), rows.policy[:, cells:]]
    return replace(
        rows,
        planes=padded(rows.planes),
        policy=np.concatenate(policy, axis=1),
        ownership=padded_cells(rows.ownership),
        on_board=padded(np.ones((batch, height, width), np.uint8)),
    )
