"""The start-up probe: what it chooses, and what it says when a choice does not work."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import pytest

from core import probe
from core.config import RunConfig
from core.errors import UserError
from core.learner import Arithmetic
from core.probe import choose_arithmetic


def test_the_fastest_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = 0.0
    monkeypatch.setattr(probe, "time", SimpleNamespace(perf_counter=lambda: clock))

    def trial(arithmetic: Arithmetic) -> Callable[[], None]:
        fast = arithmetic.threads == 1 and not arithmetic.bf16 and arithmetic.channels_last

        def update() -> None:
            nonlocal clock
            clock += 0.001 if fast else 0.01

        return update

    result = choose_arithmetic(RunConfig(device="cpu"), trial)
    assert result.choice.threads == 1
    assert not result.choice.bf16
    assert result.choice.channels_last
    assert result.milliseconds[result.choice] == min(result.milliseconds.values())


def test_a_failing_compiler_is_one_line() -> None:
    def trial(arithmetic: Arithmetic) -> Callable[[], None]:
        def update() -> None:
            raise ImportError("file too short\nand more")

        return update

    config = RunConfig(device="cpu", precision="fp32", threads=1, compile=True)
    with pytest.raises(UserError, match="--compile does not work here: file too short; leave"):
        choose_arithmetic(config, trial)


def test_other_failures_are_not_hidden() -> None:
    def trial(arithmetic: Arithmetic) -> Callable[[], None]:
        def update() -> None:
            raise RuntimeError("a fault of ours")

        return update

    with pytest.raises(RuntimeError, match="a fault of ours"):
        choose_arithmetic(RunConfig(device="cpu"), trial)


def test_what_is_given_is_not_measured() -> None:
    config = RunConfig(device="cpu", precision="fp32", threads=2)

    def trial(arithmetic: Arithmetic) -> Callable[[], None]:
        raise AssertionError("nothing is open")

    result = choose_arithmetic(config, trial)
    assert (result.choice.threads, result.choice.bf16) == (2, False)
