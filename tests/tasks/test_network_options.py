"""Networks fitted to data with options in text, and weights from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from core.errors import UserError
from networks.registry import FAMILIES, Family
from tasks.network_options import build_fitted, load_weights_file, parse_options


@dataclass(frozen=True)
class Options:
    """Every kind of field."""

    width: int = 4
    dropout: float = 0.1
    tied: bool = False
    cell: str = "lstm"
    size: tuple[int, int] = (1, 2)
    widths: tuple[int, ...] = (1,)
    limit: int | None = None
    norm: Literal["batch", "group"] = "batch"
    inner: Options | None = None


def test_options_are_read_by_the_types_of_their_fields() -> None:
    text = "width=32 dropout=1e-2  tied=true cell=gru size=3,4 widths=5,6,7 limit=9 norm=group"
    assert parse_options("net", Options(), text) == {
        "width": 32, "dropout": 0.01, "tied": True, "cell": "gru", "size": (3, 4),
        "widths": (5, 6, 7), "limit": 9, "norm": "group",
    }  # fmt: skip
    assert parse_options("net", Options(), "limit=none") == {"limit": None}
    assert parse_options("net", Options(), "") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("width", "name=value with blanks between them, got 'width'"),
        ("width=", "name=value"),
        ("=3", "name=value"),
        ("widht=3", "network net has no option 'widht'; did you mean 'width'"),
        ("width=3 width=4", "has width twice"),
        ("width=3.5", "width must be a whole number, got '3.5'"),
        ("dropout=much", "dropout must be a number"),
        ("tied=yes", "tied must be true or false"),
        ("size=3", "size needs 2 values"),
        ("size=3,x", "size must be a whole number"),
        ("norm=layer", "norm must be one of batch, group"),
        ("limit=many", "limit must be a whole number"),
        ("inner=3", "cannot set inner"),
    ],
)
def test_options_that_cannot_be_read_are_one_line(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        parse_options("net", Options(), text)


def test_the_data_decide_what_they_must() -> None:
    facts = {"num_classes": 7, "in_channels": 1, "image_size": (20, 20)}
    network = build_fitted("resnet20", "image", "blocks=1", facts)
    assert network(torch.zeros(2, 1, 20, 20)).shape == (2, 7)  # it has no image_size
    with pytest.raises(UserError, match="cannot set num_classes: the data decide it"):
        build_fitted("resnet20", "image", "num_classes=3", facts)
    with pytest.raises(UserError, match="is of kind language, this task needs one of kind image"):
        build_fitted("lstm_small", "image", "", facts)
    with pytest.raises(UserError, match="did you mean 'lenet5'"):
        build_fitted("lenet6", "image", "", facts)


def test_weights_of_ours_and_of_the_reference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "width=8 layers=1 heads=2"
    facts: dict[str, Any] = {"vocabulary": 11, "context_length": 6}
    ours, other = (build_fitted("gpt2_tiny", "language", options, facts) for _ in range(2))
    weights = {name: tensor.clone() for name, tensor in ours.state_dict().items()}
    save_file(weights, tmp_path / "ours.safetensors")
    load_weights_file("gpt2_tiny", other, str(tmp_path / "ours.safetensors"))
    tokens = torch.arange(6)[None]
    assert torch.equal(ours.eval()(tokens)[0], other.eval()(tokens)[0])

    # A reference with names of its own and one matrix the other way round.
    turned = "blocks.0.feed_forward.0.weight"
    assert turned in weights
    theirs = {f"theirs.{name}": t.t() if name == turned else t for name, t in weights.items()}
    save_file({n: t.contiguous() for n, t in theirs.items()}, tmp_path / "theirs.safetensors")
    with pytest.raises(UserError, match="the weights do not fit: "):
        load_weights_file("gpt2_tiny", other, str(tmp_path / "theirs.safetensors"))
    monkeypatch.setattr("networks.language.gpt2.rename", lambda name: name.removeprefix("theirs."))
    monkeypatch.setattr("networks.language.gpt2.TRANSPOSED", ("feed_forward.0.weight",))
    other = build_fitted("gpt2_tiny", "language", options, facts)
    load_weights_file("gpt2_tiny", other, str(tmp_path / "theirs.safetensors"))
    assert torch.equal(ours(tokens)[0], other.eval()(tokens)[0])

    larger = build_fitted("gpt2_tiny", "language", options, {**facts, "vocabulary": 12})
    with pytest.raises(UserError, match=r"the weights do not fit: .* has shape"):
        load_weights_file("gpt2_tiny", larger, str(tmp_path / "ours.safetensors"))
    with pytest.raises(UserError, match="cannot read weights from"):
        load_weights_file("gpt2_tiny", other, str(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("network", "kind", "options", "message"),
    [
        ("bert_tiny", "masked", "dropout=1.5", "cannot be built with 'dropout=1.5': dropout prob"),
        ("gpt2_tiny", "language", "dropout=-0.1", "dropout must be 0 or more, got -0.1"),
        ("gpt2_tiny", "language", "layers=-1", "layers must be over 0, got -1"),
        ("transformer_small", "translation", "layers=0", "layers must be over 0, got 0"),
        ("resnet20", "image", "widths=-1,2,3", r"widths must be over 0, got \(-1, 2, 3\)"),
        ("odenet", "image", "solver=rk4 step_size=0", "step_size must be over 0, got 0.0"),
        ("odenet", "image", "tolerance=nan", "tolerance must be over 0, got nan"),
    ],
)
def test_values_that_no_network_can_have_are_one_line(
    network: str, kind: Any, options: str, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_fitted(network, kind, options, {})


def test_values_of_either_sign_and_zeros_are_kept() -> None:
    build_fitted("highway", "image", "gate_bias=-4 depth=2", {})
    build_fitted("odenet", "image", "residual_blocks=0 width=8", {})
    build_fitted("bert_tiny", "masked", "dropout=0 layers=1 width=8 heads=2", {})


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.title)
@pytest.mark.parametrize(
    "name",
    [
        "x",
        "8",
        "conv1.weight",
        "7.x",
        "h.0.weight",
        "h..",
        "encoder.layer.3",
        "h.0.attn.c_attn.weight",
    ],
)
def test_weights_of_something_else_are_one_line(family: Family, name: str, tmp_path: Path) -> None:
    path = tmp_path / "other.safetensors"
    save_file({name: torch.zeros(2, 3, 4)}, path)
    with pytest.raises(UserError, match="the weights do not fit"):
        load_weights_file(next(iter(family.presets)), nn.Linear(1, 1), str(path))
