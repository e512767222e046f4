"""Any GTP engine as a supervised child process: it may hang, crash or talk nonsense.

Go Text Protocol 2, draft 2 (Farnebaeck 2002).
"""

from __future__ import annotations

import contextlib
import queue
import shlex
import subprocess
import threading
from collections.abc import Sequence

from core.errors import UserError
from play.lines import read_lines

_LONGEST_ANSWER = 1 << 20
_CLOSING_SECONDS = 2.0


class EngineError(UserError):
    """The engine is gone, too slow or answers nonsense; the message says which and what it said."""


class EngineRefusal(UserError):
    """The engine answered `?`: it is well, but will not do this."""


def words_of(command: str) -> list[str]:
    """The words of a command as a shell reads them; UserError if a quotation is left open."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise UserError(f"the command {command!r} cannot be read: {error}") from error


class Engine:
    """A GTP engine that is running; use as a context manager, or close it."""

    def __init__(self, command: str | Sequence[str], seconds: float = 60.0) -> None:
        """Start it; `seconds` is how long an answer may take.

        Raises:
            UserError: the command cannot be run.
        """
        self.command = words_of(command) if isinstance(command, str) else list(command)
        self.seconds = seconds
        self.transcript: list[str] = []
        """The last commands and answers, for error messages and records."""
        self.is_lost = False
        """Whether it failed for good: it is gone, or was ended because it hung."""
        self._answers: queue.Queue[str | None] = queue.Queue()
        if not self.command:
            raise UserError("the command of the GTP engine is empty")
        try:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
        except OSError as error:
            raise UserError(
                f"the GTP engine {self.command[0]!r} cannot be started ({error.strerror}); "
                f"is it installed?"
            ) from error
        self._reader = threading.Thread(target=self._read_answers, daemon=True)
        self._reader.start()

    def __enter__(self) -> Engine:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _read_answers(self) -> None:
        """Collect lines up to the empty line that ends an answer; None when the engine is gone."""
        assert self._process.stdout is not None
        lines: list[str] = []
        size = 0
        try:
            for line in read_lines(self._process.stdout, _LONGEST_ANSWER):
                size += len(line.text)
                if size > _LONGEST_ANSWER or not line.whole:
                    break
                if line.text:
                    lines.append(line.text)
                elif lines:
                    self._answers.put("\n".join(lines))
                    lines, size = [], 0
        finally:
            self._answers.put(None)

    def send(self, command: str, seconds: float | None = None) -> str:
        """Send one command; return the text of its answer.

        Raises:
            EngineRefusal: the engine answered `?`.
            EngineError: it is gone, did not answer in time, or the answer is no GTP.
        """
        if "\n" in command or "\r" in command:
            raise ValueError(f"a GTP command is one line, not {command!r}")
        self._note(f"> {command}")
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(command.encode() + b"\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise self._failure("is gone") from error
        limit = self.seconds if seconds is None else seconds
        while True:
            try:
                answer = self._answers.get(timeout=limit)
            except queue.Empty:
                self._kill()
                raise self._failure(f"did not answer {command!r} in {limit:g} s") from None
            if answer is None:
                raise self._failure(f"ended at {command!r}")
            self._note(answer)
            # Some engines print banners before the first answer.
            lines = answer.split("\n")
            while lines and lines[0][:1] not in ("=", "?"):
                lines.pop(0)
            if lines:
                break
        text = "\n".join([lines[0][1:].lstrip("0123456789").strip(), *lines[1:]])
        if lines[0][0] == "?":
            raise EngineRefusal(f"{self.command[0]} refuses {command!r}: {text}")
        return text

    @property
    def is_alive(self) -> bool:
        """Whether the process is still there."""
        return self._process.poll() is None

    def close(self) -> None:
        """Ask it to quit, then make it."""
        if self.is_alive:
            with contextlib.suppress(OSError, ValueError):
                assert self._process.stdin is not None
                self._process.stdin.write(b"quit\n")
                self._process.stdin.close()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(_CLOSING_SECONDS)
        self._kill()

    def _kill(self) -> None:
        with contextlib.suppress(OSError):
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_CLOSING_SECONDS)
        with contextlib.suppress(OSError, ValueError):
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _note(self, line: str) -> None:
        self.transcript.append(line)
        del self.transcript[:-200]

    def _failure(self, what: str) -> EngineError:
        self.is_lost = True
        code = self._process.poll()
        end = "" if code is None else f" (exit code {code})"
        return EngineError(f"the GTP engine {self.command[0]!r} {what}{end}")
