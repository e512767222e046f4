"""Stop on SIGINT or SIGTERM: the first asks, a second SIGINT leaves at once.

Under torchrun a second one only repeats the first: it passes on what the terminal sent already.

Signals reach the main thread only; in another thread nothing is changed, and nothing asks.
"""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from core.machine import ranks


class Interrupt:
    """While active, turns the first SIGINT or SIGTERM into a flag read between ticks."""

    def __init__(self) -> None:
        self.requested = False
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is not threading.main_thread():
            return self
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._handle)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.requested and number == signal.SIGINT and ranks.count() == 1:
            # Leave without unwinding: whatever was being written is a temporary file.
            os._exit(130)
        self.requested = True

    def __call__(self) -> bool:
        """True once a stop was asked for."""
        return self.requested
