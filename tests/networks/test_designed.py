"""Designs to networks: rules by hand-drawn cases, published sizes, and a slow version of cells."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from core.errors import UserError
from core.lanes import ObservationSpec
from envs.architecture.space import sample
from envs.architecture.spaces import make_space
from networks.adapters import build_trunk
from networks.base import ImageNetwork
from networks.designed.build import CELL_EXAMPLE, RECURRENT_EXAMPLE, build_designed
from networks.designed.cell201 import EDGES, OPERATIONS
from networks.designed.convolutional import DesignedConvolutional, compile_design, padded
from networks.designed.macro import BLOCKS
from networks.designed.recurrent_cell import DesignedRecurrent
from networks.registry import build_network, build_torso

HAND_DRAWN = {
    "space": "cnn",
    "layers": [
        {"height": 3, "width": 3, "filters": 4, "stride": [1, 1], "inputs": []},
        {"height": 1, "width": 5, "filters": 5, "stride": [2, 2], "inputs": [1]},
        {"height": 3, "width": 1, "filters": 6, "stride": [2, 1], "inputs": []},
        {"height": 3, "width": 3, "filters": 7, "stride": [1, 1], "inputs": [1, 2]},
        {"height": 1, "width": 1, "filters": 8, "stride": [1, 1], "inputs": [2, 3]},
    ],
}
"""On images of 2 x 8 x 8:

    image 2x8x8 -> 1: 4x8x8 -> 2: 5x4x4          1 and 2 -> 4: 7x8x8 -> classifier
    image 2x8x8 -> 3: 6x4x8                      2 and 3 -> 5: 8x4x8 -> classifier
"""


def count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def nb201(code: str) -> dict[str, Any]:
    chosen = [OPERATIONS[int(digit)] for digit in code]
    return {"space": "nb201", "edges": dict(zip(EDGES, chosen, strict=True))}


def macro(code: str) -> dict[str, Any]:
    names = list(BLOCKS)
    return {"space": "macro", "blocks": [names[int(digit)] for digit in code]}


def test_rules_give_each_layer_its_inputs() -> None:
    plan = compile_design(HAND_DRAWN, in_channels=2)
    assert [layer.inputs for layer in plan.layers] == [(0,), (1,), (0,), (1, 2), (2, 3)]
    assert [layer.channels for layer in plan.layers] == [2, 4, 2, 4 + 5, 5 + 6]
    assert plan.loose == (4, 5)
    assert plan.num_features == 7 + 8


def test_a_hand_drawn_network_computes_what_the_drawing_says() -> None:
    network = build_designed(HAND_DRAWN, in_channels=2, num_classes=3).train()
    assert isinstance(network, DesignedConvolutional)
    images = torch.randn(2, 2, 8, 8)

    def layer(number: int, x: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> Tensor:
        weight = network.get_parameter(f"layers.{number - 1}.conv.weight")
        y = F.conv2d(x, weight, None, stride, padding)
        mean = y.mean((0, 2, 3), keepdim=True)
        variance = y.var((0, 2, 3), keepdim=True, unbiased=False)
        return ((y - mean) / (variance + 1e-5).sqrt()).clamp(min=0)

    one = layer(1, images, (1, 1), (1, 1))
    two = layer(2, one, (2, 2), (0, 2))
    three = layer(3, images, (2, 1), (1, 0))
    assert [x.shape[1:] for x in (one, two, three)] == [(4, 8, 8), (5, 4, 4), (6, 4, 8)]
    wide = torch.zeros(2, 5, 8, 8)
    wide[:, :, 2:6, 2:6] = two
    four = layer(4, torch.cat((one, wide), 1), (1, 1), (1, 1))
    broad = torch.zeros(2, 5, 4, 8)
    broad[:, :, :, 2:6] = two
    five = layer(5, torch.cat((broad, three), 1), (1, 1), (0, 0))
    features = torch.cat((four.mean((2, 3)), five.mean((2, 3))), 1)
    torch.testing.assert_close(network.forward_features(images), features)
    torch.testing.assert_close(network(images), network.fc(features))


def test_the_odd_zero_is_below_and_to_the_right() -> None:
    x = torch.tensor([[[[1.0, 2.0]]]])
    assert padded(x, 2, 5)[0, 0].tolist() == [[0, 1, 2, 0, 0], [0, 0, 0, 0, 0]]


@pytest.mark.parametrize(
    ("code", "millions"),
    [("333123", 1.073466), ("333133", 1.288506), ("000000", 0.073306), ("333333", 1.531546),
     ("121212", 0.157306), ("424242", 0.157306)],
)  # fmt: skip
def test_sizes_of_nas_bench_201(code: str, millions: float) -> None:
    """The benchmark's own parameters, in millions, for ten classes."""
    assert count(build_designed(nb201(code))) == round(millions * 1e6)


@pytest.mark.parametrize(
    ("code", "parameters"),
    [("00000000", 387_882), ("11111111", 1_588_874), ("22222222", 2_932_586),
     ("02012100", 890_666), ("11111221", 2_181_386), ("22212202", 1_985_514)],
)  # fmt: skip
def test_sizes_of_nas_bench_macro(code: str, parameters: int) -> None:
    """The benchmark's own counts."""
    assert count(build_designed(macro(code))) == parameters


def test_a_cell_sums_what_its_edges_bring() -> None:
    """Without convolutions a cell is arithmetic: y = (x + avg(x)) + avg(x) = x + 2 avg(x)."""
    network = build_designed(nb201("104014"), channels=2, cells=1).eval()
    x = torch.randn(1, 2, 5, 5)
    pooled = F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)
    # Nodes: 1 = x; 2 = avg(1); 3 = 1 + avg(2).
    expected = x + F.avg_pool2d(pooled, 3, 1, 1, count_include_pad=False)
    cell = network.get_submodule("cells.0")
    torch.testing.assert_close(cell(x), expected)
    nothing = build_designed(nb201("333000"), channels=2, cells=1).get_submodule("cells.0")
    assert torch.equal(nothing(x), torch.zeros_like(x))


SPACES: list[tuple[str, dict[str, Any], dict[str, Any], int]] = [
    ("cnn", {"layers": 5, "filters": (2, 3), "strides": (1, 2, 3)}, {}, 80),
    ("cnn", {"layers": 3, "filters": (2, 3), "skips": False}, {}, 20),
    ("rnn", {"leaves": 8}, {"vocabulary": 5, "width": 3}, 40),
    ("rnn", {"leaves": 2}, {"vocabulary": 5, "width": 3, "tied": True}, 40),
]


@pytest.mark.parametrize(("name", "options", "sizes", "designs"), SPACES)
def test_every_sampled_design_learns(
    name: str, options: dict[str, Any], sizes: dict[str, Any], designs: int
) -> None:
    space, random = make_space(name, **options), np.random.default_rng(0)
    for _ in range(designs):
        requires_learning(space.design(sample(space, random)), **sizes)


def test_every_design_of_the_benchmarks_learns() -> None:
    random = np.random.default_rng(0)
    for _ in range(40):
        code = "".join(map(str, random.integers(5, size=6)))
        requires_learning(nb201(code), channels=2, cells=1)
    for _ in range(10):
        code = "".join(map(str, random.integers(3, size=8)))
        requires_learning(macro(code), channels=2)


def requires_learning(design: dict[str, Any], **sizes: Any) -> None:
    """A design makes one and the same network each time, and weights that have finite gradients."""
    outputs = []
    for _ in range(2):
        torch.manual_seed(0)
        network = build_designed(json.loads(json.dumps(design)), **sizes)
        if isinstance(network, ImageNetwork):
            out = network(torch.randn(2, 3, 9, 7))
            assert out.shape == (2, 10)
        else:
            out, (h, c) = network(torch.randint(5, (2, 3)))
            assert out.shape == (2, 3, 5)
            assert h.shape == c.shape == (2, 2, 3)
        outputs.append(out)
    assert torch.equal(*outputs)
    out.logsumexp(-1).sum().backward()
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    first = next(network.parameters()).grad
    assert first is not None


def test_the_papers_worked_example() -> None:
    """Figure 5 and the equations beside it, number by number, over three steps."""
    network = recurrent(RECURRENT_EXAMPLE, width=2, layers=1)
    w1, w3 = network.get_parameter("cells.0.inputs.weight").chunk(2)
    w2, w4 = network.get_parameter("cells.0.hidden.weight").chunk(2)
    h, c = [0.3, -0.2], [0.5, 0.7]
    state = (torch.tensor([[h]], dtype=torch.float64), torch.tensor([[c]], dtype=torch.float64))
    logits, (last_h, last_c) = network(torch.tensor([[1, 4, 2]]), state)

    def times(matrix: Tensor, vector: list[float]) -> list[float]:
        return [sum(matrix[i, j].item() * vector[j] for j in range(2)) for i in range(2)]

    for token in (1, 4, 2):
        x = network.embedding.weight[token].tolist()
        first = [math.tanh(a + b) for a, b in zip(times(w1, x), times(w2, h), strict=True)]
        product = [a * b for a, b in zip(times(w3, x), times(w4, h), strict=True)]
        second = [max(0.0, a) for a in product]
        first = [max(0.0, a + b) for a, b in zip(first, c, strict=True)]
        h = [1 / (1 + math.exp(-a * b)) for a, b in zip(first, second, strict=True)]
        c = product
    assert last_h[0, 0].tolist() == pytest.approx(h, abs=1e-12)
    assert last_c[0, 0].tolist() == pytest.approx(c, abs=1e-12)
    torch.testing.assert_close(logits[0, -1], network.output(torch.tensor(h).double()))


def recurrent(design: dict[str, Any], **sizes: Any) -> DesignedRecurrent:
    """A model in float64, with weights large enough to matter."""
    torch.manual_seed(0)
    network = build_designed(design, vocabulary=7, initial_range=0.8, **sizes)
    assert isinstance(network, DesignedRecurrent)
    return network.double()


def slow_step(
    design: dict[str, Any], w: Tensor, u: Tensor, x: Tensor, h: Tensor, c: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of a cell from the top down: each node asks those below it."""
    width = len(h)
    combine = {"add": lambda a, b: a + b, "multiply": lambda a, b: a * b}
    activate = {
        "identity": lambda a: a,
        "tanh": lambda a: 2 / (1 + (-2 * a).exp()) - 1,
        "sigmoid": lambda a: 1 / (1 + (-a).exp()),
        "relu": lambda a: a * (a > 0),
    }
    inject = design["inject"]

    def before(number: int) -> Tensor:
        node = design["nodes"][number]
        if node["inputs"] == ["x", "h"]:
            rows = slice(number * width, (number + 1) * width)
            return combine[node["combination"]](w[rows] @ x, u[rows] @ h)
        left, right = (after(i) for i in node["inputs"])
        return combine[node["combination"]](left, right)

    def after(number: int) -> Tensor:
        value = activate[design["nodes"][number]["activation"]](before(number))
        if number == inject["node"]:
            value = activate[inject["activation"]](combine[inject["combination"]](value, c))
        return value

    return after(len(design["nodes"]) - 1), before(design["cell"])


def test_cells_of_base_eight_against_a_slow_version() -> None:
    space, random = make_space("rnn"), np.random.default_rng(3)
    tokens = torch.tensor([[1, 5, 3], [0, 0, 6]])
    for _ in range(12):
        design = space.design(sample(space, random))
        network = recurrent(design, width=3, layers=2)
        logits, state = network(tokens)
        for row in range(2):
            h = [torch.zeros(3).double() for _ in range(2)]
            c = list(h)
            for token in tokens[row]:
                x = network.embedding.weight[token]
                for n in range(2):
                    w = network.get_parameter(f"cells.{n}.inputs.weight")
                    u = network.get_parameter(f"cells.{n}.hidden.weight")
                    h[n], c[n] = slow_step(design, w, u, x, h[n], c[n])
                    x = h[n]
            torch.testing.assert_close(logits[row, -1], network.output(x))
            torch.testing.assert_close(state[0][:, row], torch.stack(h))
            torch.testing.assert_close(state[1][:, row], torch.stack(c))


def test_a_text_in_pieces_is_the_text_at_once() -> None:
    network = recurrent(RECURRENT_EXAMPLE, width=4, layers=2)
    tokens = torch.tensor([[1, 5, 3, 6], [0, 0, 4, 2]])
    whole, last = network(tokens)
    first, state = network(tokens[:, :1])
    rest, state = network(tokens[:, 1:], state)
    torch.testing.assert_close(torch.cat((first, rest), dim=1), whole)
    torch.testing.assert_close(state, last)
    network.dropout.p = 1.0
    assert torch.equal(network(tokens)[0], network.output.bias.expand_as(whole))


def test_memory_stays_exact_in_mixed_precision() -> None:
    network = recurrent(RECURRENT_EXAMPLE, width=4, layers=1).float()
    tokens = torch.tensor([[1, 5, 3, 6]])
    with torch.autocast("cpu", torch.bfloat16):
        _, state = network(tokens)
    torch.testing.assert_close(state, network(tokens)[1], rtol=0, atol=0)


@pytest.fixture
def found(tmp_path: Path) -> str:
    """A design in a file."""
    path = tmp_path / "found.json"
    path.write_text(json.dumps(HAND_DRAWN), "utf-8")
    return str(path)


def test_a_found_network_is_a_network_of_the_registry(found: str) -> None:
    network = build_network(f"designed:{found}", num_classes=4, in_channels=1)
    assert network(torch.zeros(2, 1, 6, 6)).shape == (2, 4)
    same = build_network("designed", design=found, num_classes=4, in_channels=1)
    assert [p.shape for p in same.parameters()] == [p.shape for p in network.parameters()]
    assert count(build_network("designed")) == count(build_designed(CELL_EXAMPLE)) == 1_073_466
    assert isinstance(build_network("designed_rnn"), DesignedRecurrent)


def test_a_found_network_looks_at_environments(found: str) -> None:
    torso = build_torso(f"designed:{found}", ObservationSpec((12, 12), "uint8", 4))
    assert torso(torch.zeros(2, 4, 12, 12, dtype=torch.uint8)).shape == (2, 15)
    trunk = build_trunk(f"designed:{found}", planes=3, height=9, width=9, channels=4, blocks=1)
    assert trunk(torch.zeros(2, 3, 9, 9)).shape == (2, 4, 9, 9)


def layer_with(**changes: Any) -> dict[str, Any]:
    layer = {"height": 3, "width": 3, "filters": 4, "stride": [1, 1], "inputs": []} | changes
    return {"space": "cnn", "layers": [layer]}


def cell_with(**changes: Any) -> dict[str, Any]:
    return RECURRENT_EXAMPLE | changes


LEAF = {"combination": "add", "activation": "tanh", "inputs": ["x", "h"]}


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({}, "design has no field 'space'"),
        ({"space": "nb2001"}, "design.space must be one of .*nb201.* did you mean 'nb201'"),
        ({"space": ["cnn"]}, "design.space must be one of"),
        ({"space": "cnn", "layers": []}, r"design.layers must be a list of 1 to 200, got \[\]"),
        ({"space": "cnn", "layers": {"a": 1}}, "design.layers must be a list"),
        ({"space": "cnn", "layers": [7]}, r"design.layers\[0\] must be an object, got 7"),
        (layer_with(height=4), r"design.layers\[0\].height must be odd, got 4"),
        (layer_with(width=True), "width must be a whole number from 1 to 31, got True"),
        (layer_with(filters=10**30), "filters must be a whole number from 1 to 4096"),
        (layer_with(filters="9" * 999), "got '9999999999999999999999999999999999999.*[.]{3}$"),
        (layer_with(stride=[0, 1]), r"stride\[0\] must be a whole number from 1 to 16, got 0"),
        (layer_with(inputs=[1]), r"inputs must be a list of 0, got \[1\]"),
        ({"space": "nb201", "edges": {"0>1": "conv3x3"}}, "design.edges has no field '0>2'"),
        (nb201("333333") | {"edges": {e: "conv" for e in EDGES}}, "0>1 must be one of none"),
        ({"space": "macro", "blocks": ["identity"] * 7}, "design.blocks must be a list of 8"),
        (cell_with(cell=3), "design.cell must be a whole number from 0 to 2, got 3"),
        (cell_with(nodes=[LEAF] * 3), "must be one tree"),
        (cell_with(nodes=[LEAF, LEAF, LEAF | {"inputs": [0, 0]}]), "that no other node takes"),
        (cell_with(nodes=[LEAF, LEAF | {"inputs": [0, 1]}, LEAF]), "from 0 to 0, got 1"),
        (cell_with(inject={"combination": "add", "activation": "sin", "node": 0}), "inject.activ"),
    ],
)
def test_what_is_no_design_is_refused_with_a_line(design: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message) as error:
        build_designed(design)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250


def test_designs_that_would_fill_the_memory_are_refused() -> None:
    layers = [
        {"height": 31, "width": 31, "filters": 4096, "stride": [1, 1], "inputs": [*range(1, n + 1)]}
        for n in range(100)
    ]
    with pytest.raises(UserError, match="parameters, more than 300,000,000"):
        build_designed({"space": "cnn", "layers": layers})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is no design: no JSON"),
        ("[" * 100_000, "is no design: no JSON"),
        ("[1]", "is no design: it must be a JSON object"),
        ('{"space": ' + "9" * 5000 + "}", "is no design: no JSON"),
        ("\udcff", "is no design: no JSON"),
        (
            '{"space": "cnn"}' + " " * (1 << 20),
            "cannot read a design from .*: larger than 1048576 bytes",
        ),
        (json.dumps(RECURRENT_EXAMPLE), "is of space rnn: not for designed, but for designed_rnn"),
    ],
)
def test_files_that_hold_no_design_are_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UserError, match=message):
        build_network(f"designed:{path}")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"cannot read a design from .*none.json: No such file"):
        build_network(f"designed:{tmp_path / 'none.json'}")
