"""Work of a GPU that is recorded once and then started by one call: CUDA graphs.

To ask for the hundred small kernels of an update takes a processor longer than a GPU to run them.
A recording asks once. It reads and writes the memory that it was recorded with, so what changes
between calls must change in place: weights do, inputs are copied to where the first ones lay.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

import torch
from torch import Tensor

if TYPE_CHECKING:
    from core.learner import Arithmetic

Result = TypeVar("Result")
"""A tensor, or any structure that holds the tensors of the recording."""

MOST_RECORDINGS = 8
"""Shapes of inputs that are recorded; those that come later run unrecorded."""
REHEARSALS = 3
"""Calls before the recording, in which libraries choose their kernels."""

_one_at_a_time = threading.Lock()
"""A process records one thing at a time, whatever its threads do."""


class Recorded(Generic[Result]):
    """A function of tensors: recorded on a GPU, called on a processor.

    It must be the same work every time, without a look at the values, which would wait for the
    GPU. What it returns is overwritten by the next call with inputs of the same shapes.
    """

    def __init__(
        self,
        function: Callable[..., Result],
        arithmetic: Arithmetic,
        kept: Callable[[], Iterable[Tensor]] = list,
    ) -> None:
        """Args:
        function: takes tensors on the device, as many as it is called with.
        arithmetic: device, and whether work is recorded.
        kept: what the function changes, and rehearsals must leave as it was.
        """
        self.function = function
        self.device = arithmetic.device
        self.records = arithmetic.records
        self.kept = kept
        self._recordings: dict[object, Callable[..., Result]] = {}

    def __call__(self, *inputs: Tensor) -> Result:
        """Inputs on the device or in pinned memory."""
        form = tuple((tensor.dtype, tensor.shape, tensor.stride()) for tensor in inputs)
        known = form in self._recordings
        if not self.records or (not known and len(self._recordings) == MOST_RECORDINGS):
            return self.function(*(x.to(self.device, non_blocking=True) for x in inputs))
        if not known:
            self._recordings[form] = record(self.function, inputs, self.device, [*self.kept()])
        return self._recordings[form](*inputs)


def record(
    function: Callable[..., Result], inputs: Sequence[Tensor], device: str, kept: Sequence[Tensor]
) -> Callable[..., Result]:
    """The recording of a function with inputs of these shapes and layouts. ``kept`` are as they
    were when it is made."""
    places = [torch.empty_like(tensor, device=device, pin_memory=False) for tensor in inputs]
    for place, tensor in zip(places, inputs, strict=True):
        place.copy_(tensor, non_blocking=True)
    before = [tensor.clone() for tensor in kept]
    aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    graph = torch.cuda.CUDAGraph()
    with _one_at_a_time:
        aside.wait_stream(torch.cuda.current_stream(aside.device))
        with torch.cuda.stream(aside):
            for _ in range(REHEARSALS):
                function(*places)
        torch.cuda.current_stream(aside.device).wait_stream(aside)
        # To other threads nothing is forbidden meanwhile.
        with torch.cuda.graph(graph, stream=aside, capture_error_mode="thread_local"):
            result = function(*places)
    with torch.no_grad():
        for tensor, value in zip(kept, before, strict=True):
            tensor.copy_(value)

    def replay(*given: Tensor) -> Result:
        for place, tensor in zip(places, given, strict=True):
            place.copy_(tensor, non_blocking=True)
        graph.replay()
        return result

    return replay
