"""Official weights into our networks: names translated, nothing left over, nothing missing.

Weights are safetensors; nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from torch import Tensor, nn

from core.errors import UserError

SHOWN = 5
"""Differences named in an error."""

Rename = Callable[[str], str | None]
"""From a name in the file to the name in our network; None to leave the tensor out."""


def read_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file.

    Raises:
        UserError: there is no such file, or it is of another kind.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise UserError(f"cannot read weights from {path}: {error}") from error


def load_official(
    network: nn.Module,
    weights: Mapping[str, Tensor],
    rename: Rename = str,
    transposed: Collection[str] = (),
) -> None:
    """Copy weights of a reference implementation into our network.

    Args:
        network: ours.
        weights: theirs, by their names.
        rename: their name to ours.
        transposed: endings of their names whose matrices are stored the other way round.

    Raises:
        UserError: the weights do not fit; names the first five differences.
    """
    ours = network.state_dict()
    theirs: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        target = rename(name)
        if target is not None:
            turned = any(name.endswith(ending) for ending in transposed)
            theirs[target] = tensor.t() if turned and tensor.ndim == 2 else tensor
    differences = [f"{name} is missing" for name in ours if name not in theirs]
    differences += [f"{name} is unknown" for name in theirs if name not in ours]
    differences += [
        f"{name} has shape {tuple(theirs[name].shape)}, expected {tuple(ours[name].shape)}"
        for name in ours
        if name in theirs and theirs[name].shape != ours[name].shape
    ]
    if differences:
        more = f" and {len(differences) - SHOWN} more" if len(differences) > SHOWN else ""
        raise UserError(f"the weights do not fit: {'; '.join(differences[:SHOWN])}{more}")
    network.load_state_dict(theirs)
