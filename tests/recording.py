"""What a GPU's recording does, done on a processor: rehearsals, and fixed places for inputs and
results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from core import recorded
from core.learner import Arithmetic


def record(
    function: Callable[..., Any], inputs: Sequence[Tensor], device: str, kept: Sequence[Tensor]
) -> Any:
    places = [tensor.clone() for tensor in inputs]
    before = [tensor.clone() for tensor in kept]
    for _ in range(recorded.REHEARSALS):
        function(*places)
    with torch.no_grad():
        for tensor, value in zip(kept, before, strict=True):
            tensor.copy_(value)
    held: list[Any] = []

    def replay(*given: Tensor) -> Any:
        for place, tensor in zip(places, given, strict=True):
            place.copy_(tensor)
        result = function(*places)
        if not held:
            held.append(pytree.tree_map_only(Tensor, lambda x: x.detach().clone(), result))
        with torch.no_grad():
            old, new = pytree.tree_leaves(held[0]), pytree.tree_leaves(result)
            for place, value in zip(old, new, strict=True):
                if value is not None:
                    place.copy_(value)
                    # A replay runs no Python: nobody comes to know what is made anew here.
                    value.detach().zero_()
        return held[0]

    return replay


def record_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let all work be recorded that a GPU would record."""
    monkeypatch.setattr(recorded, "record", record)
    monkeypatch.setattr(Arithmetic, "records", True)
