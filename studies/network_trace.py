"""What the modules of a network do for one example: shapes, parameters, multiply-accumulates.

Found by calling the network once with hooks on all of its modules. On the meta device, where torch
computes shapes and no numbers, that takes no memory and little time.

Legend: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


@dataclass
class Part:
    """A module, with all that is inside it."""

    path: str
    """Its name in the network."""
    kind: str
    """The name of its class."""
    shape: tuple[int, ...]
    """Of its output, without the batch; empty where that is not one tensor."""
    parameters: int
    operations: int
    """Multiply-accumulates."""


@dataclass
class Trace:
    """What one call has shown."""

    network: nn.Module
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    """Outputs of modules, without the batch, in the order in which they came."""
    own_operations: dict[str, int] = field(default_factory=dict)
    """Multiply-accumulates of modules, those of modules inside them left out."""

    def part(self, path: str = "") -> Part:
        """A module by its name; '' is the network itself."""
        module = self.network.get_submodule(path)
        inside = f"{path}." if path else ""
        operations = sum(
            count for name, count in self.own_operations.items() if f"{name}.".startswith(inside)
        )
        parameters = sum(parameter.numel() for parameter in module.parameters())
        shape = self.shapes.get(path, ())
        return Part(path, type(module).__name__, shape, parameters, operations)


def trace(network: nn.Module, inputs: Sequence[Tensor]) -> Trace:
    """Call a network in evaluation, and note what its modules do.

    Args:
        network: hooks stay on it.
        inputs: a batch of one.
    """
    found = Trace(network.eval().requires_grad_(False))
    counter = FlopCounterMode(display=False)
    started, nested = [0], [0]  # of the calls that are going on, the outermost first

    def enter(module: nn.Module, inputs: Any) -> None:
        started.append(counter.get_total_flops())
        nested.append(0)

    def leave(path: str, module: nn.Module, inputs: Any, output: Any) -> None:
        total = counter.get_total_flops() - started.pop()
        own = (total - nested.pop()) // 2  # a multiplication and an addition count as one
        nested[-1] += total
        found.own_operations[path] = found.own_operations.get(path, 0) + own
        if isinstance(output, Tensor):
            found.shapes.setdefault(path, tuple(output.shape[1:]))

    for path, module in network.named_modules():
        module.register_forward_pre_hook(enter)
        module.register_forward_hook(partial(leave, path))
    with counter:
        network(*inputs)
    return found
