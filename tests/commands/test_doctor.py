"""`tengen doctor` outlives what it asks: a check that breaks is a finding."""

from __future__ import annotations

import pytest
import torch

from commands import doctor


def test_a_torch_that_does_not_tell_what_the_processor_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in vars(torch.cpu) if "get_capabilities" in name or "_is_" in name]:
        monkeypatch.delattr(torch.cpu, name)
    monkeypatch.setattr(doctor, "CHECKS", (doctor._processor,))
    assert doctor.main([]) == 0
    assert "bf16 arithmetic: not told" in capsys.readouterr().out
