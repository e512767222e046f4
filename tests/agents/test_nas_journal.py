"""The journal of a search: what it keeps, and what it makes of a damaged file."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agents.nas.evaluator import Child, Result
from agents.nas.journal import NAME, Journal, Scored
from core.errors import UserError
from core.files import atomic

CHILDREN = [Child(n, (n, 0, 1), {"space": "tiny", "digits": [n]}) for n in range(3)]
AWKWARD = Result("ok", {"score": 0.1 + 0.2, "latency": 5e-324, "parameters": 1e17 + 2}, 1 / 3)


def written(path: Path) -> Journal:
    """Three proposals, of which two have results."""
    journal = Journal(path, lambda text: None)
    journal.propose(CHILDREN)
    failed = Result("out of memory", {}, 2.0, "why")
    journal.add(
        Scored(0, (0, 0, 1), AWKWARD), Scored(1, (1, 0, 1), failed, True, True),
        rewards=[float("nan"), 0.0],
    )  # fmt: skip
    return journal


def test_what_is_read_has_the_same_bits(tmp_path: Path) -> None:
    written(tmp_path / NAME)
    notes: list[str] = []
    journal = Journal(tmp_path / NAME, notes.append)
    assert notes == []
    assert journal.find(CHILDREN[0]) == Scored(0, (0, 0, 1), AWKWARD)
    failed = Scored(1, (1, 0, 1), Result("out of memory", {}, 2.0, "why"), True, True)
    assert journal.find(CHILDREN[1]) == failed
    assert journal.find(CHILDREN[2]) is None
    assert journal.find(Child(0, (2, 2, 2), {})) is None, "a result of another design"
    assert [scored.number for scored in journal.before(1)] == [0]
    size = (tmp_path / NAME).stat().st_size
    journal.propose(CHILDREN)
    assert (tmp_path / NAME).stat().st_size == size, "what stands there is not written again"
    journal.propose([Child(2, (0, 0, 0), {})])
    assert (tmp_path / NAME).stat().st_size > size, "another design is"


def test_every_line_is_on_the_disk_before_work_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(
        atomic, "sync", lambda descriptor: synced.append((tmp_path / NAME).stat().st_size)
    )
    written(tmp_path / NAME)
    assert len(synced) == 4 and synced[-1] == (tmp_path / NAME).stat().st_size


def test_a_torn_last_line_is_dropped_wherever_it_was_torn(tmp_path: Path) -> None:
    path = tmp_path / NAME
    written(path)
    whole = path.read_bytes()
    begins = whole[:-1].rindex(b"\n") + 1
    for end in range(begins, len(whole)):
        path.write_bytes(whole[:end])
        notes: list[str] = []
        journal = Journal(path, notes.append)
        assert journal.find(CHILDREN[0]) is not None and journal.find(CHILDREN[1]) is None
        assert len(notes) == (end > begins) and all("not whole" in note for note in notes)
        journal.add(Scored(1, (1, 0, 1), AWKWARD), rewards=[0.0])
        assert Journal(path, notes.append).find(CHILDREN[1]) == Scored(1, (1, 0, 1), AWKWARD)
        assert all(json.loads(line) for line in path.read_bytes().splitlines())


@pytest.mark.parametrize(
    "line",
    [
        b"\x00\xff garbage", b"[]", b'{"result": 0}', b'{"result": -1, "tokens": [0, 0, 1]}',
        b'{"result": 0, "tokens": [0, 0, 1], "status": "fine", "metrics": {}, "seconds": 1}',
        b'{"result": 0, "tokens": [0, 0, 1], "status": "ok", "metrics": {}, "seconds": 1}',
        b'{"result": 0, "tokens": [0, 0, 1], "status": "ok", "metrics": [], "seconds": 1}',
        b'{"result": 0, "tokens": 3, "status": "ok", "metrics": {"score": 1}, "seconds": 1}',
        b'{"result": 0, "tokens": [0, 0, 1], "status": "ok", "metrics": {"score": NaN}, '
        b'"seconds": 1}',
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_line_that_cannot_be_used_is_named_and_skipped(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / NAME
    written(path)
    lines = path.read_bytes().splitlines()
    lines[3] = line
    path.write_bytes(b"\n".join(lines) + b"\n")
    notes: list[str] = []
    journal = Journal(path, notes.append)
    assert len(notes) == 1 and notes[0].startswith(f"{path}:4: ")
    assert journal.find(CHILDREN[0]) is None and journal.find(CHILDREN[1]) is not None


def test_results_that_belong_together_are_written_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    append = atomic.append_line

    def watched(path: Path, line: bytes, *, synced: bool = False) -> None:
        append(path, line, synced=synced)
        sizes.append(len(path.read_bytes().splitlines()))

    monkeypatch.setattr(atomic, "append_line", watched)
    written(tmp_path / NAME)
    assert sizes == [1, 2, 3, 5], "proposals one by one, then two results"


def test_nothing_is_computed_where_the_journal_cannot_be_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "gone" / NAME, lambda text: None)
    with pytest.raises(UserError, match=r"could not write .*journal\.jsonl"):
        journal.propose(CHILDREN)
