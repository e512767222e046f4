"""Lanes of examples: a batch is one tick of as many lanes as it has examples.

Every lane shows the number of an example. All lanes together deal out a shuffled epoch after the
other, without a gap, so that each example comes once an epoch, and a batch may lie across the end
of one. No episode ever ends.

Legend: L lanes, N examples.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from core.errors import UserError
from core.lanes import ObservationSpec, Step, check_actions, first_step


class ExampleLanes:
    """L lanes over N examples; the only action is 0."""

    num_actions = 1
    observation_spec = ObservationSpec((), "int64")
    restorable = True
    overlaps = False

    def __init__(self, num_lanes: int, num_examples: int) -> None:
        """Raises UserError when there are fewer examples than lanes."""
        if not 1 <= num_lanes <= num_examples:
            raise UserError(
                f"there are {num_examples:,} examples to learn from, fewer than one batch: "
                f"--batch-size must be 1 to {num_examples}, got {num_lanes}"
            )
        self.num_lanes = num_lanes
        self.num_examples = num_examples
        self._seed = 0
        self._dealt = 0
        self._epoch = -1
        self._order = np.empty(0, np.int64)

    def reset(self, seed: int) -> Step:
        """Begin the first epoch of this seed."""
        self._seed, self._dealt, self._epoch = seed, 0, -1
        return first_step(self._deal())

    def send(self, actions: np.ndarray) -> None:
        """Nothing happens: examples do not answer. Raises ValueError for an action other than 0."""
        check_actions(actions, self.num_lanes, self.num_actions)

    def receive(self) -> Step:
        """The next batch: observation int64 [L]."""
        none = np.zeros(self.num_lanes, dtype=bool)
        return Step(self._deal(), np.zeros(self.num_lanes), none, none, none, ~none, none)

    def _deal(self) -> np.ndarray:
        """The numbers of the next L examples."""
        places = np.arange(self._dealt, self._dealt + self.num_lanes)
        self._dealt += self.num_lanes
        numbers = np.empty(self.num_lanes, np.int64)
        for epoch in np.unique(places // self.num_examples):
            here = places // self.num_examples == epoch
            numbers[here] = self._shuffled(int(epoch))[places[here] % self.num_examples]
        return numbers

    def _shuffled(self, epoch: int) -> np.ndarray:
        """The order of one epoch, which depends on the seed and its number alone."""
        if epoch != self._epoch:
            random = np.random.default_rng([self._seed, epoch])
            self._order, self._epoch = random.permutation(self.num_examples), epoch
        return self._order

    def state_dict(self) -> dict[str, Any]:
        """The seed and how many examples were dealt out."""
        return {"seed": self._seed, "dealt": self._dealt, "examples": self.num_examples}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from ``state_dict``. Raises UserError when the data have another size."""
        if state["examples"] != self.num_examples:
            raise UserError(
                f"this run was trained on {state['examples']:,} examples, the data have "
                f"{self.num_examples:,} now"
            )
        self._seed, self._dealt, self._epoch = int(state["seed"]), int(state["dealt"]), -1

    def close(self) -> None:
        """Nothing is held."""
