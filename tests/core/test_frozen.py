"""A frozen copy follows its network at boundaries only."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from core.errors import UserError
from core.frozen import FrozenCopy


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def learn(source: nn.Module) -> None:
    """Move every weight by 1, and count a batch."""
    with torch.no_grad():
        for value in source.state_dict().values():
            value += 1


def test_it_changes_at_a_refresh_and_cannot_learn() -> None:
    source = network()
    frozen = FrozenCopy(source)
    before = {name: value.clone() for name, value in frozen.state_dict().items()}
    assert not any(p.requires_grad for p in frozen.network.parameters())
    assert all(p.requires_grad for p in source.parameters())
    learn(source)
    assert all(value.equal(before[name]) for name, value in frozen.state_dict().items())
    frozen.refresh()
    assert all(
        value.equal(source.state_dict()[name]) for name, value in frozen.state_dict().items()
    )


def test_an_average_keeps_its_share_of_the_past() -> None:
    source = network()
    frozen = FrozenCopy(source)
    first = source[0].weight.detach().clone()
    learn(source)
    frozen.average(0.75)
    torch.testing.assert_close(frozen.network[0].weight, first + 0.25)
    assert int(frozen.state_dict()["1.num_batches_tracked"]) == 1
    frozen.average(0.0)
    torch.testing.assert_close(frozen.network[0].weight, first + 1)


def test_it_is_saved_apart_from_its_source() -> None:
    source = network()
    frozen = FrozenCopy(source)
    learn(source)
    other = FrozenCopy(network())
    learn(other.network)
    other.load_state_dict(frozen.state_dict())
    assert all(v.equal(frozen.state_dict()[name]) for name, v in other.state_dict().items())
    with pytest.raises(UserError, match="another network"):
        other.load_state_dict(nn.Linear(3, 2).state_dict())
