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
from networks.registry import build_torso


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


@pytest.mark.parametrize("shape", [(6, 5), (6, 5, 3)])
def test_images_are_normalised_pixel_by_pixel(shape: tuple[int, ...]) -> None:
    """All frames of a stack by the same statistics, in whatever order they lie in memory."""
    rng = np.random.default_rng(0)
    seen = rng.integers(80, 120, (40, *shape), dtype=np.uint8)
    seen[:, 0] = 87  # stands still
    normaliser = ObservationNormaliser(ObservationSpec(shape, "uint8", 4))
    busy = np.arange(20) >= 17  # frames that are no experience
    normaliser.update(seen[:20], busy)
    normaliser.update(seen[20:])
    counted = seen[[i for i in range(40) if not 17 <= i < 20]].astype(np.float64)
    stacks = rng.integers(80, 120, (3, 4, *shape), dtype=np.uint8)
    stacks[:, :, 0] = 87
    stacks[0, 1, 0, 0] = 255
    expected = (stacks - counted.mean(0)) / np.sqrt(counted.var(0) + 25.0)
    frames_innermost = torch.as_tensor(np.moveaxis(stacks, 1, -1).copy()).movedim(-1, 1)
    for observation in (torch.as_tensor(stacks), frames_innermost):
        before = observation.clone()
        normalised = normaliser(observation)
        assert normalised.dtype == torch.float32 and torch.equal(observation, before)
        np.testing.assert_allclose(normalised.numpy(), expected.clip(-10, 10), atol=1e-5)
    assert (normalised[1, :, 0] == 0).all() and normalised[0, 1, 0].max() == 10


@pytest.mark.parametrize("torso", ["compact", "dqn2013", "impala", "transformer", "resnet20"])
def test_torsos_take_normalised_images_as_they_are(torso: str) -> None:
    spec = ObservationSpec((42, 42), "uint8", 4)
    built = build_torso(torso, spec).eval()
    plain = torch.randint(0, 256, (2, 4, 42, 42), dtype=torch.uint8)
    torch.testing.assert_close(built(plain / 255.0), built(plain))


def test_bytes_are_scaled_once() -> None:
    """Bytes of vectors to 0..1 where nothing else scales them."""
    spec = ObservationSpec((5,), "uint8")
    bytes_of = torch.tensor([[0, 51, 102, 255, 7]], dtype=torch.uint8)
    for torso in (build_torso("mlp", spec), build_torso("transformer", spec)):
        torch.testing.assert_close(torso(bytes_of), torso(bytes_of / 255.0))


def test_numbered_states_are_refused() -> None:
    with pytest.raises(UserError, match="--normalise-observations is for vectors and images"):
        ObservationNormaliser(ObservationSpec((1,), "int64", categories=16))
