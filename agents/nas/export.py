"""Out comes plain torch: a found network as a folder that needs nothing of Tengen.

model.py              the network written out, layer by layer; ``load`` reads the weights. Not of a
                      design of space zoo, which names a network of Tengen
weights.safetensors   by the names of model.py
design.json           what `--network designed:FILE.json` builds
architecture.png      a drawing
model.onnx            where the package onnx is installed (extra ``onnx``)
"""

from __future__ import annotations

import dataclasses
import json
import warnings
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from agents.nas.drawing import draw
from agents.nas.source import WRITERS, renamed, source
from core.errors import UserError
from networks.base import ImageNetwork
from networks.designed.build import build_designed, config_type
from networks.designed.reading import Part
from networks.designed.recurrent_cell import DesignedRecurrent
from networks.designed.registered import ZOO
from networks.weights import load_official

TOLERANCE = 1e-4
"""Between outputs of torch and of ONNX, relative to the largest."""
TOKENS = 16
"""Of a text with which a language model is traced."""


def export(
    folder: Path,
    design: Mapping[str, Any],
    weights: Mapping[str, Tensor],
    **sizes: Any,
) -> list[str]:
    """Write a trained design to a new folder.

    Args:
        folder: that does not exist.
        design: what `Space.design` gave.
        weights: state of the network that `build_designed` made of it.
        sizes: with which it was built, such as num_classes and image_size.

    Returns:
        A line on each file, for the user.

    Raises:
        UserError: the folder exists, weights do not fit, or ONNX computes something else.
    """
    space = Part(dict(design)).field("space").one_of((*WRITERS, ZOO))
    network = build_designed(design, **sizes)
    load_official(network, weights)
    network.eval()
    all_sizes = dataclasses.asdict(config_type(design)(**sizes))
    try:
        folder.mkdir(parents=True)
    except OSError as error:
        raise UserError(f"cannot make folder {folder}: {error.strerror}; name a new one") from error
    if space in WRITERS:
        (folder / "model.py").write_text(source(design, all_sizes), "utf-8")
        first = (
            f"{folder / 'model.py'}: the network in plain torch; load() reads weights.safetensors"
        )
    else:
        first = f"{folder / 'weights.safetensors'}: of network {design['network']} of Tengen"
    _write_weights(folder / "weights.safetensors", network, renamed if space in WRITERS else str)
    (folder / "design.json").write_text(json.dumps(design, indent=2) + "\n", "utf-8")
    draw(design, folder / "architecture.png")
    name = "designed" if isinstance(network, ImageNetwork) else "designed_rnn"
    return [
        first,
        f"{folder / 'design.json'}: for --network {name}:{folder / 'design.json'}",
        f"{folder / 'architecture.png'}: a drawing",
        write_onnx(folder / "model.onnx", network, all_sizes),
    ]


def _write_weights(path: Path, network: nn.Module, rename: Callable[[str], str]) -> None:
    from safetensors.torch import save_file

    # Copies, because safetensors refuses two names of one memory.
    state = {
        rename(name): tensor.detach().cpu().clone().contiguous()
        for name, tensor in network.state_dict().items()
    }
    save_file(state, path)


def write_onnx(path: Path, network: nn.Module, sizes: Mapping[str, Any]) -> str:
    """Write a network for batches of any size, and compare what onnxruntime makes of it.

    Images have the size given; texts are of 16 tokens, and begin with no state.

    Returns:
        A line for the user, also where a package is missing.

    Raises:
        UserError: the outputs differ.
    """
    is_image = isinstance(network, ImageNetwork)
    if not is_image and not isinstance(network, DesignedRecurrent):
        return "no ONNX file: that is for images and recurrent cells"
    if find_spec("onnx") is None:
        return "no ONNX file: that needs the package onnx (pip install 'tengen-rl[onnx]')"
    generator = torch.Generator().manual_seed(0)
    if is_image:
        shape = sizes["in_channels"], *sizes["image_size"]
        example = torch.randn(2, *shape, generator=generator)
        names = ["images"], ["logits"]
    else:
        example = torch.randint(sizes["vocabulary"], (2, TOKENS), generator=generator)
        names = ["tokens"], ["logits", "h", "c"]
    with warnings.catch_warnings():
        # Of sizes that become constants, which is meant, and of a newer exporter.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network,
            (example,),
            path,
            input_names=names[0],
            output_names=names[1],
            dynamic_axes={names[0][0]: {0: "batch"}, "logits": {0: "batch"}},
            dynamo=False,
        )
    if find_spec("onnxruntime") is None:
        return f"{path}: not compared, for lack of the package onnxruntime"
    difference = onnx_difference(path, network, example[:1])
    if not difference <= TOLERANCE:
        raise UserError(f"{path} computes something else than torch: off by {difference:.2g}")
    return f"{path}: equal to torch within {difference:.1g}"


def onnx_difference(path: Path, network: nn.Module, example: Tensor) -> float:
    """Greatest difference of logits, relative to the largest of torch's."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {session.get_inputs()[0].name: example.numpy()}
    theirs = session.run(["logits"], inputs)[0]
    with torch.no_grad():
        output = network(example)
    ours = (output[0] if isinstance(output, tuple) else output).numpy()
    return float(np.abs(theirs - ours).max() / max(1.0, np.abs(ours).max()))
