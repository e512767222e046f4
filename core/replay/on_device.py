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


def fits_on(device: str, spec: ReplaySpec) -> bool:
    """Whether the device is a GPU with room for the frames."""
    if torch.device(device).type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return DeviceFrames.bytes_of(spec) <= MOST_OF_FREE_MEMORY * free


class DeviceFrames:
    """A ring of the newest rows; see `core.replay.storage.FrameStore`."""

    def __init__(self, spec: ReplaySpec, device: str) -> None:
        self.spec = spec
        self.device = device
        self.rows = spec.retained_rows
        dtype = getattr(torch, spec.frame_dtype)
        places = self.rows * spec.lanes
        # One more, which stays blank, for what lies before an episode's first frame.
        self._frames = torch.zeros((places + 1, spec.frame_items), dtype=dtype, device=device)
        self._blank = places

    @staticmethod
    def bytes_of(spec: ReplaySpec) -> int:
        """What it takes."""
        return (spec.retained_rows * spec.lanes + 1) * spec.frame_bytes

    def put(self, row: int, frames: np.ndarray) -> None:
        """Store one row, [L, ...]."""
        first = row % self.rows * self.spec.lanes
        given = torch.from_numpy(np.ascontiguousarray(frames, self.spec.frame_dtype))
        if torch.device(self.device).type == "cuda":
            given = given.pin_memory()  # and is not waited for
        place = self._frames[first : first + self.spec.lanes]
        place.copy_(given.view(place.shape), non_blocking=True)

    def stacks(self, numbers: np.ndarray) -> Tensor:
        """Observations [..., K, *shape], or [..., *shape], of frames (row * L + lane), int64
        [..., K]; -1 for a blank."""
        spec = self.spec
        places = np.where(numbers < 0, self._blank, numbers % (self.rows * spec.lanes))
        index = torch.from_numpy(places.reshape(-1))
        if torch.device(self.device).type == "cuda":
            index = index.pin_memory().to(self.device, non_blocking=True)
        drawn = self._frames.index_select(0, index).view(*numbers.shape, *spec.frame_shape)
        return drawn if spec.is_stacked else drawn.select(numbers.ndim - 1, 0)
