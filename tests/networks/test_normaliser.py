"""Running statistics against those of everything seen at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.dqn.network import QNetwork
from agents.reinforce.network import PolicyAndBaseline
from core.errors import UserError
from core.lanes import ObservationSpec
from networks.normaliser import ObservationNormaliser


def test_equals_the_mean_and_deviation_of_all_that_was_seen() -> None:
    rng = np.random.default_rng(0)
    seen = rng.normal([1e4, -3.0, 7.0], [2.0, 1e-3, 0.0], (500, 3)).astype(np.float32)
    normaliser = ObservationNormaliser(ObservationSpec((3,), "float32"))
    untouched = torch.tensor([[0.5, -0.5, 0.0]])
    torch.testing.assert_close(normaliser(untouched), untouched)
    for part in np.split(seen, [1, 8, 16, 300]):
        normaliser.update(part)
    exact = seen.astype(np.float64)
    expected = (exact - exact.mean(0)) / np.sqrt(exact.var(0) + 1e-8)
    normalised = normaliser(torch.as_tensor(seen))
    assert normalised.dtype == torch.float32
    np.testing.assert_allclose(normalised.numpy(), expected.clip(-10, 10), atol=1e-4)
    assert normaliser(torch.tensor([[1e9, 0.0, 7.0]])).tolist() == [[10.0, 10.0, 0.0]]


def test_statistics_travel_with_the_weights() -> None:
    spec = ObservationSpec((2,), "float32")
    first, second = ObservationNormaliser(spec), ObservationNormaliser(spec)
    first.update(np.array([[1.0, 2.0], [3.0, 8.0]], dtype=np.float32))
    second.load_state_dict(first.state_dict())
    x = torch.tensor([[2.0, 3.0]])
    torch.testing.assert_close(first(x), second(x), rtol=0, atol=0)


def test_a_network_without_one_sees_observations_as_they_are() -> None:
    spec = ObservationSpec((3,), "float32")
    networks = [
        QNetwork("mlp", spec, 2, dueling=True),
        PolicyAndBaseline("mlp", spec, 2, separate_baseline=True),
    ]
    for network in networks:
        network.normaliser.update(np.ones((4, 3), dtype=np.float32))
        x = torch.tensor([[2.0, 3.0, 1e9]])
        assert network.normaliser(x) is x
        assert not [name for name in network.state_dict() if "normaliser" in name]


def test_what_needs_no_scale_is_refused() -> None:
    for spec in (
        ObservationSpec((84, 84), "uint8", 4),
        ObservationSpec((1,), "int64", categories=16),
    ):
        with pytest.raises(UserError, match="--normalise-observations is for vectors"):
            ObservationNormaliser(spec)
