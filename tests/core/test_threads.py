"""Threads: every share is done once, errors come back, nothing is left running."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

from core.machine.threads import Threads, shares_of


def test_every_item_is_done_once_whatever_the_number_of_threads() -> None:
    for threads in (1, 2, 5):
        team, done = Threads(threads), np.zeros((threads, 13), int)

        def work(first: int, last: int, thread: int, done: np.ndarray = done) -> None:
            done[thread, first:last] += 1

        for _ in range(50):
            team.run(work, shares_of(0, 13, threads))
        assert (done.sum(axis=0) == 50).all()
        assert done.any(axis=1).all()
        team.close()


def test_shares_are_never_empty() -> None:
    assert shares_of(3, 5, 7) == [(3, 4), (4, 5)]
    assert shares_of(0, 10, 3) == [(0, 3), (3, 6), (6, 10)]


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_comes_back_when_all_are_done(failing: int) -> None:
    team, done = Threads(3), np.zeros(3, int)

    def work(first: int, last: int, thread: int) -> None:
        done[first:last] = 1
        if thread == failing:
            raise RuntimeError(f"share {thread}")

    with pytest.raises(RuntimeError, match=f"share {failing}"):
        team.run(work, shares_of(0, 3, 3))
    assert done.all()
    team.run(lambda first, last, thread: None, shares_of(0, 3, 3))
    with pytest.raises(ValueError, match="4 shares"):
        team.run(work, shares_of(0, 4, 4))
    team.close()
    with pytest.raises(ValueError, match="closed"):
        team.run(work, shares_of(0, 3, 3))


def test_an_interrupted_wait_still_waits_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    team, done = Threads(2), np.zeros(2, int)
    answers, interrupted = team._done, threading.Event()

    class Interrupted:
        """The first wait ends with Ctrl-C."""

        def put(self, answer: BaseException | None) -> None:
            answers.put(answer)

        def get(self) -> BaseException | None:
            if not interrupted.is_set():
                interrupted.set()
                raise KeyboardInterrupt
            return answers.get()

    monkeypatch.setattr(team, "_done", Interrupted())

    def work(first: int, last: int, thread: int) -> None:
        if thread:
            assert interrupted.wait(300)
        done[first:last] += 1

    with pytest.raises(KeyboardInterrupt):
        team.run(work, [(0, 1), (1, 2)])
    assert done.tolist() == [1, 1]
    team.run(work, [(0, 1), (1, 2)])
    assert done.tolist() == [2, 2]


def test_a_forgotten_team_leaves_no_thread() -> None:
    before = set(threading.enumerate())

    class Owner:
        def __init__(self) -> None:
            self.team = Threads(4)
            self.team.run(self.work, [(0, 1), (1, 2), (2, 3), (3, 4)])

        def work(self, first: int, last: int, thread: int) -> None:
            pass

    owner = Owner()
    helpers = set(threading.enumerate()) - before
    assert len(helpers) == 3
    del owner
    gc.collect()
    for helper in helpers:
        helper.join(300)
        assert not helper.is_alive()
