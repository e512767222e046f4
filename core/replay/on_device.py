"""The replay memory's frames once more on a GPU, where batches are then put together.

What goes over the bus is each new frame once, where a frame is drawn dozens of times.

Legend: R rows, L lanes, F numbers in a frame, K frames stacked.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from core.replay.plan import ReplaySpec

MOST_OF_FREE_MEMORY = 0.6
"""The rest is for networks, batches, and whoever else uses the GPU."""


def bytes_of(spec: ReplaySpec) -> int:
    """What the frames take."""
    return (spec.retained_rows * spec.lanes + 1) * spec.frame_bytes


def fits_on(device: str, spec: ReplaySpec) -> bool:
    """Whether the device is a GPU with room for the frames."""
    if torch.device(device).type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return bytes_of(spec) <= MOST_OF_FREE_MEMORY * free


class DeviceFrames:
    """A ring of the newest rows; see `core.replay.storage.FrameStore`."""

    def __init__(self, spec: ReplaySpec, device: str) -> None:
        self.spec = spec
        self.device = torch.device(device)
        self.rows = spec.retained_rows
        places = self.rows * spec.lanes
        self._frames = torch.zeros(
            # One more, which stays blank, for what lies before an episode's first frame.
            (places + 1, spec.frame_items),
            dtype=getattr(torch, spec.frame_dtype),
            device=self.device,
        )
        self._blank = places

    def put(self, row: int, frames: np.ndarray) -> None:
        """Store rows from this one on, [N, L, ...]."""
        lanes, place = self.spec.lanes, row % self.rows
        given = self._send(np.ascontiguousarray(frames, self.spec.frame_dtype))
        given = given.view(len(frames), lanes, self.spec.frame_items)
        while len(given):
            piece = given[: self.rows - place]
            end = place + len(piece)
            self._frames[place * lanes : end * lanes] = piece.flatten(0, 1)
            given, place = given[len(piece) :], 0

    def stacks(self, numbers: np.ndarray) -> Tensor:
        """Observations [..., K, *shape], or [..., *shape], of frames (row * L + lane), int64
        [..., K]; -1 for a blank."""
        spec = self.spec
        places = np.where(numbers < 0, self._blank, numbers % self._blank)
        drawn = self._frames.index_select(0, self._send(places.reshape(-1)))
        drawn = drawn.view(*numbers.shape, *spec.frame_shape)
        return drawn if spec.is_stacked else drawn.select(numbers.ndim - 1, 0)

    def _send(self, array: np.ndarray) -> Tensor:
        tensor = torch.from_numpy(array)
        if self.device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)  # and is not waited for
