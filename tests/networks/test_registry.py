"""Every network of the registry: published sizes, by count on the meta device."""

from __future__ import annotations

import pytest
import torch

from core.errors import UserError
from networks.registry import FAMILIES, build_network, network_config

COUNTS = [
    (name, count)
    for family in FAMILIES
    for name, count in family.presets.items()
    if count is not None
]


@pytest.mark.parametrize(("name", "count"), COUNTS)
def test_published_parameter_counts(name: str, count: int) -> None:
    with torch.device("meta"):
        network = build_network(name)
    assert sum(parameter.numel() for parameter in network.parameters()) == count


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(UserError, match="did you mean 'resnet18'"):
        network_config("resnet17")
    with pytest.raises(UserError, match="did you mean 'num_classes'"):
        network_config("resnet18", num_clases=10)
