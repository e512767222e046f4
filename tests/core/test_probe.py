"""The start-up probe: what it chooses, and what it says when a choice does not work."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from core.config import RunConfig
from core.errors import UserError
from core.learner import Arithmetic
from core.machine import probe
from core.machine.probe import (
    Trial,
    choose_arithmetic,
    is_asked_for,
    resolve_device,
    what_is_missing,
)


def trial_of(milliseconds: dict[tuple[int, bool], float], monkeypatch: pytest.MonkeyPatch) -> Trial:
    """Updates that take so long by the probe's clock, by (threads, bf16)."""
    clock = 0.0
    monkeypatch.setattr(probe, "time", SimpleNamespace(perf_counter=lambda: clock))

    def trial(arithmetic: Arithmetic) -> Callable[[], None]:
        def update() -> None:
            nonlocal clock
            clock += milliseconds[arithmetic.threads, arithmetic.bf16] / 1000

        return update

    return trial


@pytest.mark.parametrize("hardware", [True, False, None])
def test_the_fastest_is_chosen_and_bf16_where_it_pays(
    monkeypatch: pytest.MonkeyPatch, hardware: bool | None
) -> None:
    monkeypatch.setattr(probe, "usable_cores", lambda: 2)
    monkeypatch.setattr(probe, "bf16_in_hardware", lambda device: hardware)
    for bf16_milliseconds, pays in ((5.0, hardware is not False), (9.0, False)):
        milliseconds = {
            (1, False): 10.0, (2, False): 12.0, (1, True): bf16_milliseconds, (2, True): 30.0,
        }  # fmt: skip
        result = choose_arithmetic(RunConfig(device="cpu"), trial_of(milliseconds, monkeypatch))
        assert (result.choice.threads, result.choice.bf16) == (1, pays)
        assert hardware is not False or not any(tried.bf16 for tried in result.milliseconds)
        precision = "bf16" if pays else "fp32"
        assert f"--device cpu --threads 1 --precision {precision} (" in str(result)


@pytest.mark.parametrize(("cores", "tried"), [(4, {1, 3}), (2, {1}), (1, {1})])
def test_threads_leave_cores_to_what_runs_beside(
    monkeypatch: pytest.MonkeyPatch, cores: int, tried: set[int]
) -> None:
    monkeypatch.setattr(probe, "usable_cores", lambda: cores)
    milliseconds = {(threads, False): 6.0 - threads for threads in range(1, 5)}
    asked = RunConfig(device="cpu", precision="fp32")
    result = choose_arithmetic(asked, trial_of(milliseconds, monkeypatch), busy_cores=1)
    assert result.choice.threads == max(tried)
    assert {arithmetic.threads for arithmetic in result.milliseconds} <= tried


def test_what_another_machine_chose_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe, "usable_cores", lambda: 2)
    monkeypatch.setattr(probe, "bf16_in_hardware", lambda device: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    for chosen, missing in (
        (Arithmetic("cpu", 2), ""),
        (Arithmetic("cpu", 8), "2 processor cores"),
        (Arithmetic("cpu", 2, bf16=True), "bf16"),
        (Arithmetic("cuda", 1), "no cuda"),
    ):
        stored = Arithmetic.from_state(chosen.state_dict())
        found = what_is_missing(stored, RunConfig())
        assert missing in found and bool(missing) == bool(found)
        if chosen.device == "cpu":
            precision: Any = "bf16" if chosen.bf16 else "fp32"
            asked = RunConfig(device="cpu", threads=chosen.threads, precision=precision)
            assert not what_is_missing(stored, asked), "the user's own choice is no other machine's"
            assert is_asked_for(stored, asked) and is_asked_for(stored, RunConfig())
            assert not is_asked_for(stored, RunConfig(threads=chosen.threads + 1))
            assert not is_asked_for(stored, RunConfig(precision="fp32" if chosen.bf16 else "bf16"))
    for damaged in ({}, {**Arithmetic().state_dict(), "threads": "2"}):
        with pytest.raises(UserError, match="arithmetic cannot be read"):
            Arithmetic.from_state(damaged)


def test_a_device_is_called_by_one_name() -> None:
    assert resolve_device("cpu:0") == "cpu"


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
