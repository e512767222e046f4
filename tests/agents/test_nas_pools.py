"""Children in processes of their own: whatever one does is its result, and nothing stays behind."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from agents.nas import pools
from agents.nas.child import Job
from agents.nas.evaluator import Result
from agents.nas.pools import InProcesses, InThisProcess
from core.errors import UserError
from tests.agents.children_programs import Obedient

FACTORY = "tests.agents.children_programs:make_trainer"


@contextmanager
def pool(marks: Path | str, processes: int = 2, seconds: float = 0.0) -> Iterator[InProcesses]:
    """A pool of obedient trainers, closed in the end."""
    made = InProcesses(
        processes, {"marks": str(marks)}, seconds=seconds, megabytes=256, factory=FACTORY
    )
    try:
        yield made
    finally:
        made.close()


def all_of(made: InProcesses | InThisProcess, does: Sequence[str]) -> dict[int, Result]:
    """The results of children that do these things."""
    made.start([Job(n, {"does": what}, seed=n) for n, what in enumerate(does)])
    found: dict[int, Result] = {}
    while len(found) < len(does):
        for number, result in made.poll(0.2):
            assert number not in found
            found[number] = result
    return found


def wait_for(happened: Callable[[], bool]) -> None:
    """Until something happened."""
    while not happened():
        time.sleep(0.005)


def is_alive(process: int) -> bool:
    """Whether there is a process of this number that is no zombie."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_whatever_a_child_does_is_its_result_and_the_others_go_on(tmp_path: Path) -> None:
    does = ["fine", "exits", "fine", "is killed", "eats memory", "raises", "fine"]
    with pool(tmp_path) as made:
        found = all_of(made, does)
        assert {n: result.status for n, result in found.items()} == {
            0: "ok", 1: "failed", 2: "ok", 3: "out of memory", 4: "out of memory", 5: "failed",
            6: "ok",
        }  # fmt: skip
        assert "exit code 7" in found[1].message
        assert found[5].message == "ValueError: no network can be made of this"
        assert [found[n].metrics["score"] for n in (0, 2, 6)] == [0.0, 2.0, 6.0]
        again = all_of(made, ["fine"] * 4)
        assert {result.metrics["process"] for result in again.values()} <= {
            result.metrics["process"] for result in found.values() if result.metrics
        } | {result.metrics["process"] for result in again.values()}
        assert all(result.status == "ok" for result in again.values())


def test_a_child_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pools, "GRACE_SECONDS", 0.0)
    with pool(tmp_path, processes=1, seconds=0.3) as made:
        found = all_of(made, ["hangs", "fine"])
    assert found[0].status == "out of time" and found[1].status == "ok"
    (mark,) = tmp_path.iterdir()
    assert not is_alive(int(mark.name))


def test_closing_ends_children_in_work(tmp_path: Path) -> None:
    with pool(tmp_path) as made:
        made.start([Job(n, {"does": "hangs"}, seed=0) for n in range(3)])
        wait_for(lambda: made.poll(0.01) == [] and len(list(tmp_path.iterdir())) == 2)
    assert not any(is_alive(int(mark.name)) for mark in tmp_path.iterdir())


def test_children_end_with_the_process_that_searches(tmp_path: Path) -> None:
    script = f"""
import os, time
from agents.nas.child import Job
from agents.nas.pools import InProcesses
pool = InProcesses(1, {{"marks": {str(tmp_path)!r}}}, factory={FACTORY!r})
pool.start([Job(0, {{"does": "hangs"}}, seed=0)])
while not os.listdir({str(tmp_path)!r}):
    pool.poll(0.01)
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False, env={**os.environ})
    (mark,) = tmp_path.iterdir()
    wait_for(lambda: not is_alive(int(mark.name)))


def test_a_process_that_cannot_begin_is_no_childs_fault() -> None:
    with pool("gone") as made, pytest.raises(UserError, match="the data are gone"):
        all_of(made, ["fine"])


class Drawing(Obedient):
    """Draws random numbers."""

    def train(self, job: Job) -> Iterator[dict[str, float] | None]:
        torch.manual_seed(job.seed)
        for _ in range(3):
            yield None
        yield {"score": float(torch.rand(()))}


def test_in_this_process_a_child_may_take_many_polls_and_draws_none_of_our_numbers() -> None:
    made = InThisProcess(Drawing(""))
    torch.manual_seed(5)
    wanted = torch.rand(3)
    torch.manual_seed(5)
    made.start([Job(0, {}, seed=1)])
    polls = [made.poll(0.0), torch.rand(1), made.poll(1e-9), torch.rand(1)]
    while not (found := made.poll(1e-9)):
        pass
    ours = torch.cat([polls[1], polls[3], torch.rand(1)])  # type: ignore[list-item]
    assert torch.equal(ours, wanted)
    torch.manual_seed(1)
    assert found[0][1].metrics == {"score": float(torch.rand(()))}
