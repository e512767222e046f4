"""The study of shared weights: what is compared with what, and which designs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from core.errors import UserError
from core.files.run_folder import RunFolder
from envs.architecture.spaces import make_space
from studies.nas_sharing import correlations, different, load


def test_orders_are_compared_with_the_mean_of_two_trainings() -> None:
    # Means of the trainings: 0.2, 0.4, 0.3, 0.5; their own orders are 0 2 1 3 and 1 0 2 3.
    scores = np.array([
        [0.6, 9.0, 0.1, 0.3],
        [0.8, 7.0, 0.6, 0.2],
        [0.7, 8.0, 0.2, 0.4],
        [0.9, 6.0, 0.3, 0.7],
    ])  # fmt: skip
    found = correlations(scores)
    assert found["shared weights"] == pytest.approx((1.0, 1.0))
    assert found["number of parameters"] == pytest.approx((-1.0, -1.0))
    # Ranks 0 3 1 2 against 1 0 2 3: rho = 1 - 6 (1 + 9 + 1 + 1) / 60; pairs 3 alike, 3 not.
    assert found["a training and another"] == pytest.approx((-0.2, 0.0))


def test_designs_are_different_networks() -> None:
    space = make_space("macro")
    found = list(different(space, 300, seed=1))
    assert len({space.canonical(tokens) for tokens in found}) == 300
    assert found == list(different(space, 300, seed=1)) != list(different(space, 300, seed=2))


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not the folder of a run"):
        load(tmp_path)
    assert not RunFolder(tmp_path).checkpoints.exists()
