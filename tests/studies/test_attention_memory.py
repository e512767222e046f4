"""Memory by length: a process of its own, the table, the picture."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from core.errors import UserError
from studies import attention_memory
from studies.attention_memory import compute, draw, page, run


def cell(kind: str, tokens: int) -> dict[str, Any]:
    """A text."""
    return {"attention": kind, "tokens": tokens, "layers": 1, "hashes": 1}


def test_full_attention_holds_every_pair() -> None:
    """T x T scores of two heads in float32, kept for the way back, where hashes keep a tenth."""
    full, hashed = (compute(cell(kind, 1024))["megabytes"] for kind in ("full", "hashed"))
    assert full > 2 * 4 * 1024**2 / 1e6 and full > 2 * hashed > 0


def killed(of: dict[str, Any]) -> None:
    """What the system does to a process that takes too much."""
    os.kill(os.getpid(), signal.SIGKILL)


def refused(of: dict[str, Any]) -> None:
    """What torch does where the system refuses memory."""
    raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate ...")


def wrong(of: dict[str, Any]) -> None:
    """Another end, which says nothing of memory."""
    os._exit(3)


@pytest.mark.parametrize("end", [killed, refused])
def test_what_does_not_fit_is_said(end: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_memory, "measure", end)
    assert compute(cell("full", 1024)) == {"megabytes": None, "processor_seconds": None}


def test_another_end_is_no_result(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attention_memory, "measure", wrong)
    with pytest.raises(UserError, match="the process of 1,024 tokens ended with code 3"):
        compute(cell("full", 1024))


def test_lengths_double_up_to_what_was_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def counted(of: dict[str, Any]) -> dict[str, Any]:
        fits = of["tokens"] < 4096 or of["attention"] == "hashed"
        return {"megabytes": of["tokens"] if fits else None, "processor_seconds": 1.5}

    monkeypatch.setattr(attention_memory, "compute", counted)
    options = attention_memory.Options(longest=9000, longest_full=4096, out=str(tmp_path))
    results = run(options)
    lines = page(results)
    assert lines[0] == "| tokens | 1,024 | 2,048 | 4,096 | 8,192 |"
    assert "| hashed, MB | 1,024 | 2,048 | 4,096 | 8,192 |" in lines
    assert "| full, MB | 1,024 | 2,048 | did not fit |  |" in lines
    draw(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 3000
