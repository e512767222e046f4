"""What was proposed and what came of it, a line of JSON each, on the disk before work goes on.

    {"proposal": 12, "tokens": [2, 0, 1], "design": {...}}
    {"result": 12, "tokens": [2, 0, 1], "status": "ok", "metrics": {...}, "reward": 0.5, ...}

A search that is killed asks again for the designs since its last checkpoint, and finds here what
became of them. Numbers are written so that reading gives the same bits.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from agents.nas.evaluator import Child, Result, Status
from core.files import atomic
from core.files.json_files import disk_errors, json_text, parsed, whole_lines
from envs.architecture.space import Tokens

NAME = "journal.jsonl"
"""In a run's folder."""


@dataclass(frozen=True)
class Scored:
    """A child whose result is known."""

    number: int
    tokens: Tokens
    result: Result
    cached: bool = False
    """The result is that of an earlier child of the same design: nothing was computed."""
    rival: bool = False
    """Random search asked for it, not the searcher whose run it is."""


class Journal:
    """The file, and what it holds by the children's numbers."""

    def __init__(self, path: Path, note: Callable[[str], None]) -> None:
        """Read what is there.

        Args:
            path: of the file; made when the first line is written.
            note: told of lines that cannot be used. A last line without an end is what a kill
                leaves, and is dropped.

        Raises:
            UserError: the disk fails.
        """
        self.path = path
        self._proposals: dict[int, Tokens] = {}
        self._results: dict[int, Scored] = {}
        with disk_errors("read", path):
            for number, line in enumerate(whole_lines(path), start=1):
                if not self._read(parsed(line)):
                    note(f"{path}:{number}: cannot be used and is skipped: {line[:60]!r}")
            if path.exists() and not _ends_with_a_line(path):
                note(f"{path}: the last line is not whole and is dropped")

    def _read(self, record: Mapping[str, Any] | None) -> bool:
        """Take in a line; False for one that is not ours."""
        try:
            if record is None:
                return False
            tokens = tuple(_whole(token) for token in record["tokens"])
            if "proposal" in record:
                self._proposals[_whole(record["proposal"])] = tokens
            else:
                number = _whole(record["result"])
                marks = (record.get(mark) is True for mark in ("cached", "rival"))
                self._results[number] = Scored(number, tokens, _result(record), *marks)
        except (KeyError, TypeError, ValueError):
            return False
        return True

    def propose(self, children: Sequence[Child]) -> None:
        """Write down what is to be scored; what stands there already is not written again.

        Raises:
            UserError: the disk fails; nothing may be computed then.
        """
        for child in children:
            if self._proposals.get(child.number) != child.tokens:
                self._append(
                    {"proposal": child.number, "tokens": child.tokens, "design": child.design}
                )
                self._proposals[child.number] = child.tokens

    def add(self, *results: Scored, rewards: Sequence[float]) -> None:
        """Write down what came of children, in one write: where a batch is halved they belong
        together. What each was worth is for whoever reads the file.

        Raises:
            UserError: the disk fails.
        """
        lines = [
            {"result": scored.number, "tokens": scored.tokens, **asdict(scored.result),
             "cached": scored.cached, "rival": scored.rival, "reward": reward}
            for scored, reward in zip(results, rewards, strict=True)
        ]  # fmt: skip
        self._append(*lines)
        self._results |= {scored.number: scored for scored in results}

    def find(self, child: Child) -> Scored | None:
        """What came of a child, if that is known and it was of this design."""
        scored = self._results.get(child.number)
        return scored if scored is not None and scored.tokens == child.tokens else None

    def before(self, number: float = math.inf) -> list[Scored]:
        """All children with lower numbers whose results are known, in order."""
        return [self._results[n] for n in sorted(self._results) if n < number]

    def _append(self, *records: dict[str, Any]) -> None:
        if not records:
            return
        lines = b"".join(json_text(record, indent=None) for record in records)
        with disk_errors("write", self.path):
            atomic.append_line(self.path, lines.rstrip(), synced=True)


def _result(record: Mapping[str, Any]) -> Result:
    """From a line. Raises KeyError, TypeError or ValueError for one that is none."""
    status, metrics = record["status"], record["metrics"]
    if status not in get_args(Status) or not isinstance(metrics, dict):
        raise ValueError
    known = {name: float(value) for name, value in metrics.items() if value is not None}
    if status == "ok" and not math.isfinite(known["score"]):
        raise ValueError
    return Result(status, known, float(record["seconds"]), str(record.get("message", "")))


def _whole(value: Any) -> int:
    if type(value) is not int or value < 0:
        raise ValueError
    return value


def _ends_with_a_line(path: Path) -> bool:
    with atomic.open_regular(path) as file:
        file.seek(0, 2)
        if file.tell() == 0:
            return True
        file.seek(-1, 2)
        return file.read(1) == b"\n"
