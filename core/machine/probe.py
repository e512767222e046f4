"""A few seconds at the start of a run that find the fastest arithmetic of this machine.

The best choice cannot be guessed: bf16 halves the time of an update of some networks on a processor
with bf16 instructions, and is thirty times slower on one without. Two machines, or one machine at
two times, may choose differently, and then the same seed gives another run: `Arithmetic.options`
says the choice in words that leave nothing open.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from core.config import RunConfig
from core.errors import UserError
from core.learner import Arithmetic
from core.machine import ranks
from core.machine.environment_facts import usable_cores

TRIALS = 7
BF16_MARGIN = 1.25
"""Rounding in bf16 must buy at least this much speed."""
HOPELESS = 2.0
"""A candidate whose first runs take this many times the best so far is dropped at once."""

Trial = Callable[[Arithmetic], Callable[[], object]]
"""Builds one real update on made-up data for an arithmetic, and returns it to be called."""


@dataclass(frozen=True)
class ProbeResult:
    """The arithmetic to use, and milliseconds per update of everything tried."""

    choice: Arithmetic
    milliseconds: dict[Arithmetic, float]

    def __str__(self) -> str:
        if len(self.milliseconds) < 2:
            return f"arithmetic: {self.choice.options}"
        best = self.milliseconds[self.choice]
        rest = sorted(ms for a, ms in self.milliseconds.items() if a != self.choice)
        return (
            f"arithmetic: {self.choice.options} ({best:.1f} ms per update; "
            f"{len(rest)} others took {rest[0]:.1f} to {rest[-1]:.1f})"
        )


def resolve_device(name: str) -> str:
    """'auto' to a device of this machine. Raises UserError when the named one is not there."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UserError(
            f"--device {name!r} is not a device; use auto, cpu, cuda or cuda:N"
        ) from error
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise UserError(
            f"--device {name} is not on this machine "
            f"({torch.cuda.device_count()} GPUs); use --device cpu"
        )
    if device.type not in ("cpu", "cuda"):
        raise UserError(f"--device {name} is not supported; use auto, cpu, cuda or cuda:N")
    return "cpu" if device.type == "cpu" else name


def choose_arithmetic(config: RunConfig, trial: Trial, busy_cores: int = 0) -> ProbeResult:
    """Measure what ``config`` leaves open. With everything given nothing is measured. Of several
    processes one measures for all.

    Args:
        config: what the user asked for.
        trial: what is timed.
        busy_cores: these will be at work on something else meanwhile; one is left in any case.

    Raises:
        UserError: the device is not there, or --compile does not work here.
    """
    result = ranks.led(lambda: _choose(config, trial, max(1, usable_cores() - busy_cores)))
    _apply(result.choice)
    return result


def _choose(config: RunConfig, trial: Trial, cores: int) -> ProbeResult:
    device = resolve_device(config.device)
    candidates = list(_candidates(config, device, cores))
    if len(candidates) == 1 and not config.compile:
        return ProbeResult(candidates[0], {})
    measured: dict[Arithmetic, float] = {}
    for arithmetic in candidates:
        best = min(measured.values(), default=float("inf"))
        seconds = _measure(arithmetic, trial, best / 1000)
        measured[arithmetic] = 1000 * seconds
    margin = {True: BF16_MARGIN, False: 1.0}
    if torch.device(device).type == "cuda":
        gc.collect()  # the agents that were tried hold memory of the GPU, and refer to themselves
        torch.cuda.empty_cache()
    choice = min(measured, key=lambda a: measured[a] * margin[a.bf16])
    return ProbeResult(choice, measured)


def _candidates(config: RunConfig, device: str, cores: int) -> Iterator[Arithmetic]:
    threads = [config.threads] if config.threads else sorted({1, cores}, reverse=True)
    if torch.device(device).type != "cpu":
        threads = [config.threads or 1]
    auto = [False, True] if bf16_in_hardware(device) is not False else [False]
    for bf16 in {"auto": auto, "fp32": [False], "bf16": [True]}[config.precision]:
        for count in threads:
            yield Arithmetic(device, count, bf16, channels_last=True, compile=config.compile)


def bf16_in_hardware(device: str) -> bool | None:
    """Whether the device has instructions for bf16; None where torch does not tell."""
    if torch.device(device).type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Not in every version of torch that we run with.
    features: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    if not features:
        return None
    return any(features.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))


def is_asked_for(arithmetic: Arithmetic, config: RunConfig) -> bool:
    """Whether the options leave room for an arithmetic. Raises UserError for an absent device."""
    device = config.device if config.device == "auto" else resolve_device(config.device)
    precision = "bf16" if arithmetic.bf16 else "fp32"
    return (
        device in ("auto", arithmetic.device)
        and config.precision in ("auto", precision)
        and config.threads in (0, arithmetic.threads)
        and config.compile == arithmetic.compile
    )


def what_is_missing(arithmetic: Arithmetic, config: RunConfig) -> str:
    """What this machine lacks for an arithmetic that another one chose; '' where all is here.

    What the options ask for themselves was not chosen.
    """
    try:
        resolve_device(arithmetic.device)
    except UserError:
        return f"there is no {arithmetic.device} here"
    if (
        config.precision == "auto"
        and arithmetic.bf16
        and bf16_in_hardware(arithmetic.device) is False
    ):
        return f"{arithmetic.device} has no bf16 instructions here"
    if not config.threads and arithmetic.threads > usable_cores():
        return f"there are {usable_cores()} processor cores here"
    return ""


def _apply(arithmetic: Arithmetic) -> None:
    torch.set_num_threads(arithmetic.threads)


def _measure(arithmetic: Arithmetic, trial: Trial, best_seconds: float) -> float:
    """Median seconds of one update."""
    _apply(arithmetic)
    update = trial(arithmetic)
    seconds: list[float] = []
    try:
        update()  # the first allocates, picks kernels, and compiles
    except Exception as error:  # the compiler may fail in any way
        if not arithmetic.compile:
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise UserError(
            f"--compile does not work here: {reason[:200]}; leave it out, or, if it worked before, "
            "delete the compiler's cache (torchinductor_... among the temporary files)"
        ) from error
    for _ in range(TRIALS):
        started = time.perf_counter()
        update()
        if arithmetic.device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - started)
        if len(seconds) == 2 and min(seconds) > HOPELESS * best_seconds:
            break
    return sorted(seconds)[len(seconds) // 2]
