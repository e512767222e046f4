"""The GTP engine: reads commands, answers them, analyses until the next line comes."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Container, Mapping
from typing import BinaryIO, TextIO

from core.errors import UserError
from envs.games.options import GoOptions
from play.gtp.board import GtpBoard
from play.gtp.clock import Clock
from play.gtp.protocol import MAX_LINE, Command, answer, parse_line
from play.lines import Line, read_lines
from search.player import Limits, Player

Handler = Callable[["GtpServer", Command], str]
FOREVER = 1e9
"""Seconds of a search that only the client's next line ends."""


class GtpServer:
    """One client, one position, one player. Commands are looked up in `handlers`."""

    def __init__(
        self,
        player: Player,
        options: GoOptions,
        handlers: Mapping[str, Handler],
        streaming: Container[str],
        source: BinaryIO,
        sink: TextIO,
        *,
        ponder: bool = False,
    ) -> None:
        self.player = player
        self.ponder = ponder
        """Think in the opponent's time; worth it for players that keep their tree."""
        self.board = GtpBoard(options)
        self.clock = Clock()
        self.limits = Limits()
        """What the client asked for besides the clock; nothing: as the player likes."""
        self.handlers = dict(handlers)
        self.streaming = streaming
        """Commands that write their own answer."""
        self.command = Command("", "", ())
        self.stop = False
        self._begun = False
        self._sink = sink
        self._lines: queue.Queue[Line | None] = queue.Queue()
        self._failure: BaseException | None = None
        self._reader = threading.Thread(target=self._read, args=(source,), daemon=True)

    def _read(self, source: BinaryIO) -> None:
        """Collect lines while others are answered; an interrupt stops an analysis at once."""
        try:
            for line in read_lines(source, MAX_LINE):
                self._lines.put(line)
        except BaseException as failure:
            self._failure = failure
        finally:
            self._lines.put(None)

    @property
    def input_waits(self) -> bool:
        """Whether the client has sent something that was not read yet."""
        return not self._lines.empty()

    def wait_for_input(self) -> None:
        """Return when the client has sent a line or is gone; the line is read later."""
        line = self._lines.get()
        self._lines.queue.appendleft(line)

    def write(self, text: str) -> None:
        """Send text to the client at once."""
        self._sink.write(text)
        self._sink.flush()

    def run(self) -> None:
        """Serve until `quit` or the end of the input; raise what ended the reading of it."""
        self._reader.start()
        while not self.stop:
            line = self._lines.get()
            if line is None:
                if self._failure is not None:
                    raise self._failure
                return
            command = parse_line(line.text)
            if command is not None and not line.whole:
                self.write(answer(command, f"the line is longer than {MAX_LINE} bytes", False))
            elif command is not None:
                self.write(self.respond(command))
                if self.ponder and "genmove" in command.name and not self.stop:
                    self._think_on()

    def _think_on(self) -> None:
        """Search the position that the opponent sees until the client sends anything."""
        session = self.board.session
        if not session.is_over:
            # What fails here is answered when the next command meets it.
            with contextlib.suppress(UserError):
                self.player.judge(
                    session, Limits(seconds=FOREVER), lambda _: not (self.input_waits or self.stop)
                )

    def begin_answer(self) -> None:
        """Write the first line of an answer that goes on."""
        self.write(f"={self.command.id}\n")
        self._begun = True

    def respond(self, command: Command) -> str:
        """Carry out one command; return the whole answer, empty if it was written already."""
        self.command, self._begun = command, False
        handler = self.handlers.get(command.name)
        if handler is None:
            return answer(command, "unknown command", False)
        try:
            text = handler(self, command)
            return "" if command.name in self.streaming else answer(command, text)
        except UserError as error:
            fault = " ".join(str(error).split())
            # An answer that has begun can only be ended; its last line then says why.
            return f"{fault}\n\n" if self._begun else answer(command, fault, False)
