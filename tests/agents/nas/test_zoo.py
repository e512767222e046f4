"""The registered networks as a space: what may be chosen, and that every choice learns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.nas.zoo import NETWORKS, Zoo
from core.errors import UserError
from envs.architecture.space import check, repaired, sample
from networks.base import ImageNetwork
from networks.designed.build import build_designed
from networks.registry import build_network


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_sampled_design_learns(kind: str) -> None:
    space, random = Zoo(kind), np.random.default_rng(0)
    seen = set()
    for _ in range(24):
        tokens = sample(space, random)
        check(space, tokens)
        assert space.canonical(tokens) == tokens
        design = json.loads(json.dumps(space.design(tokens)))
        seen.add(design["network"])
        network = build_designed(
            design, **({"in_channels": 2, "image_size": (8, 8), "num_classes": 3}
                       if kind == "image" else {"vocabulary": 7, "context_length": 4})
        )  # fmt: skip
        parameters = list(network.parameters())
        assert sum(parameter.numel() for parameter in parameters) < 10_000_000
        if isinstance(network, ImageNetwork):
            output = network(torch.randn(2, 2, 8, 8))
            assert output.shape == (2, 3)
        else:
            output = network(torch.randint(7, (2, 4)))[0]
            assert output.shape == (2, 4, 7)
        output.logsumexp(-1).sum().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in parameters)
    assert seen == set(NETWORKS[kind])


def test_a_design_has_the_options_of_its_network_alone() -> None:
    space, random = Zoo("image"), np.random.default_rng(1)
    for _ in range(50):
        design = space.design(sample(space, random))
        names = {"lenet5": {"connections", "pooling", "activation"},
                 "resnet20": {"blocks", "widths", "shortcuts", "activation", "normalisation"},
                 "highway": {"depth", "width", "gates", "gate_bias", "activation"}}  # fmt: skip
        assert set(design["options"]) == names[design["network"]]


def test_heads_divide_the_width() -> None:
    space = Zoo("language")
    width = 1 + space.fields.index("width")
    heads = space.stages[1 + space.fields.index("heads")]
    tokens = [0] * (1 + space.fields.index("heads"))
    tokens[0], tokens[width] = 1, space.stages[width].options.index(64)
    legal = space.legal(tokens)
    assert [n for n, ok in zip(heads.options, legal, strict=True) if ok] == [2, 4, 8]
    tokens[width] = space.stages[width].options.index(200)  # an LSTM's
    tokens[0] = 0
    assert space.legal(tokens).tolist() == [True, False, False, False]


def test_another_network_keeps_what_it_can_of_a_design() -> None:
    space, random = Zoo("language"), np.random.default_rng(2)
    tokens = list(sample(space, random))
    for number in range(3):
        tokens[0] = number
        mended = repaired(space, tokens, random)
        check(space, mended)
        assert mended[0] == number


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"network": "designed"}, "design.network must be one of"),
        ({"network": "bert_base"}, "design.network must be one of"),
        ({"network": "resnet20"}, "design has no field 'options'"),
        ({"network": "resnet20", "options": []}, "design.options must be an object"),
        ({"network": "resnet20", "options": {"num_classes": 5}}, "resnet20 has no choice 'num_cl"),
        ({"network": "resnet20", "options": {"x\n" * 99: 5}}, "has no choice"),
        ({"network": "resnet20", "options": {"blocks": 4}}, "options.blocks must be one of 1, 2"),
        ({"network": "resnet20", "options": {"blocks": True}}, "got True"),
        ({"network": "gpt", "options": {"width": 64, "heads": 12}}, "64"),
    ],
)
def test_what_is_no_design_is_refused_with_a_line(design: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        build_designed({"space": "zoo"} | design)
    assert "\n" not in str(error.value)


def test_a_design_of_the_zoo_is_a_network_of_the_registry(tmp_path: Path) -> None:
    path = tmp_path / "found.json"
    found = {"space": "zoo", "network": "highway", "options": {"depth": 10, "width": 32}}
    path.write_text(json.dumps(found), "utf-8")
    network = build_network(f"designed:{path}", num_classes=4, image_size=(6, 5), in_channels=1)
    expected = build_network("highway", depth=10, width=32, num_classes=4, image_size=(6, 5))
    shapes = [parameter.shape for parameter in network.parameters()]
    assert shapes == [parameter.shape for parameter in expected.parameters()]
    with pytest.raises(UserError, match="is of space zoo: not for designed_rnn"):
        build_network(f"designed_rnn:{path}")


def test_other_kinds_are_refused() -> None:
    with pytest.raises(UserError, match="must be image or language, got 'masked'"):
        Zoo("masked")
