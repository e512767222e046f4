"""What is exported is plain torch: loaded in a process that has no Tengen, with equal outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from agents.nas.drawing import drawing
from agents.nas.export import export
from core.errors import UserError
from envs.architecture.space import sample
from envs.architecture.spaces import make_space
from networks.base import ImageNetwork
from networks.designed.build import CELL_EXAMPLE, RECURRENT_EXAMPLE, build_designed
from networks.registry import build_network
from networks.weights import load_official, read_weights

LOADER = """
import sys
from pathlib import Path

OURS = ("core", "envs", "networks", "search", "tasks", "agents", "play", "commands", "tengen")
sys.modules.update(dict.fromkeys(OURS))  # an import of these fails
import torch
from importlib.util import module_from_spec, spec_from_file_location
from safetensors.torch import load_file, save_file

for folder in map(Path, sys.argv[1:]):
    spec = spec_from_file_location(folder.name, folder / "model.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    network = module.load(folder / "weights.safetensors")
    with torch.no_grad():
        output = network(load_file(folder / "input.safetensors")["x"])
    output = output[0] if isinstance(output, tuple) else output
    save_file({"output": output.contiguous()}, folder / "output.safetensors")
"""


def sampled(name: str, seed: int, **options: Any) -> dict[str, Any]:
    space = make_space(name, **options)
    return space.design(sample(space, np.random.default_rng(seed)))


CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "skips": (sampled("cnn", 1, layers=6, filters=(3, 5)), {"in_channels": 1}),
    "strides": (sampled("cnn", 2, layers=7, filters=(3, 5), strides=(1, 2, 3)), {"num_classes": 4}),
    "chain": (sampled("cnn", 3, layers=3, filters=(3, 5), skips=False), {}),
    "cell": (CELL_EXAMPLE, {"channels": 4, "cells": 2}),
    "nothing": (
        {"space": "nb201", "edges": {**CELL_EXAMPLE["edges"], "0>1": "none", "0>2": "none",
                                     "1>2": "avgpool3x3", "1>3": "none"}},  # type: ignore[dict-item]
        {"channels": 2, "cells": 1},
    ),
    "blocks": (
        {"space": "macro", "blocks": ["identity", "mb3_k3", "mb6_k5", "identity", *["mb3_k3"] * 4]},
        {"channels": 2, "num_classes": 3},
    ),
    "recurrent": (sampled("rnn", 4), {"vocabulary": 9, "width": 5}),
    "tied": (RECURRENT_EXAMPLE, {"vocabulary": 9, "width": 5, "layers": 1, "tied": True}),
}  # fmt: skip


def test_the_source_is_the_network_without_tengen(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    expected = {}
    for name, (design, sizes) in CASES.items():
        torch.manual_seed(0)
        network = build_designed(design, **sizes)
        image = torch.randn(2, sizes.get("in_channels", 3), 11, 9)
        x = image if isinstance(network, ImageNetwork) else torch.randint(9, (2, 6))
        for _ in range(2):
            network(x)  # so that normalisations have statistics of their own
        lines = export(tmp_path / name, design, network.state_dict(), **sizes)
        assert len(lines) == 4
        assert "model.onnx: equal to torch within" in lines[-1]  # by onnxruntime
        save_file({"x": x}, tmp_path / name / "input.safetensors")
        with torch.no_grad():
            output = network.eval()(x)
        expected[name] = output if isinstance(output, torch.Tensor) else output[0]
    subprocess.run(
        [sys.executable, "-I", "-c", LOADER, *(str(tmp_path / name) for name in CASES)],
        cwd=tmp_path, check=True, timeout=540,
    )  # fmt: skip
    for name, output in expected.items():
        theirs = load_file(tmp_path / name / "output.safetensors")["output"]
        torch.testing.assert_close(theirs, output, rtol=0, atol=1e-5)
        assert output.std() > 0
        with Image.open(tmp_path / name / "architecture.png") as picture:
            assert len(picture.convert("L").getcolors() or []) > 10
    folder = tmp_path / "strides"
    again = build_network(f"designed:{folder / 'design.json'}", num_classes=4)
    names = {key: value.shape for key, value in again.state_dict().items()}
    design, sizes = CASES["strides"]
    built = build_designed(design, **sizes).state_dict()
    assert names == {key: value.shape for key, value in built.items()}


def test_a_drawing_has_the_layers_and_connections_of_the_design() -> None:
    design = {
        "space": "cnn",
        "layers": [
            {"height": 3, "width": 1, "filters": 4, "stride": [2, 1], "inputs": []},
            {"height": 1, "width": 1, "filters": 5, "stride": [1, 1], "inputs": []},
            {"height": 5, "width": 5, "filters": 6, "stride": [1, 1], "inputs": [1]},
        ],
    }
    plan = drawing(design)
    assert [text for _, _, text, _ in plan.boxes.values()] == [
        "image", "1: 3x1, 4 filters, stride 2, 1", "2: 1x1, 5 filters", "3: 5x5, 6 filters",
        "average, linear layer",
    ]  # fmt: skip
    arrows = {(start, end) for start, end, _, _ in plan.arrows}
    assert arrows == {("0", "1"), ("0", "2"), ("1", "3"), ("2", "4"), ("3", "4")}
    edges = {(start, end): text for start, end, text, _ in drawing(CELL_EXAMPLE).arrows}
    assert edges["0", "3"] == "skip"
    assert edges["1", "3"] == "conv1x1"


def test_what_cannot_be_exported_is_refused(tmp_path: Path) -> None:
    design, sizes = CASES["chain"]
    weights = build_designed(design, **sizes).state_dict()
    with pytest.raises(UserError, match=r"cannot make folder .*File exists; name a new one"):
        export(tmp_path, design, weights, **sizes)
    with pytest.raises(UserError, match=r"layers\.0\.conv\.weight"):
        export(tmp_path / "new", design, {}, **sizes)
    with pytest.raises(UserError, match=r"design\.space must be one of"):
        export(tmp_path / "new", {"space": "nosuch"}, weights, **sizes)
    assert not (tmp_path / "new").exists()


def test_no_text_of_a_design_gets_into_the_source(tmp_path: Path) -> None:
    hostile = json.loads(json.dumps(CASES["chain"][0]))
    hostile["title"] = hostile["layers"][0]["name"] = '"""\nimport os'
    weights = build_designed(hostile).state_dict()
    export(tmp_path / "out", hostile, weights)
    assert "import os" not in (tmp_path / "out" / "model.py").read_text("utf-8")


def test_a_design_of_the_zoo_is_exported_for_tengen(tmp_path: Path) -> None:
    design = {"space": "zoo", "network": "highway", "options": {"depth": 10, "width": 32}}
    sizes: dict[str, Any] = {"num_classes": 4, "image_size": (6, 5), "in_channels": 1}
    network = build_designed(design, **sizes)
    lines = export(tmp_path / "out", design, network.state_dict(), **sizes)
    assert "of network highway of Tengen" in lines[0]
    assert not (tmp_path / "out" / "model.py").exists()
    again = build_network(f"designed:{tmp_path / 'out' / 'design.json'}", **sizes)
    load_official(again, read_weights(tmp_path / "out" / "weights.safetensors"))
    image = torch.randn(2, 1, 6, 5)
    assert torch.equal(again.eval()(image), network.eval()(image))
    texts = [text for _, _, text, _ in drawing(design).boxes.values()]
    assert "highway\ndepth: 10\nwidth: 32" in texts
