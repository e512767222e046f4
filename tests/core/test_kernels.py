"""The cache of compiled kernels is named after the text of all of them; a kernel that others call
is compiled once, whatever integers it is given."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from core.machine import kernels
from core.machine.kernels import kernel


def test_an_edit_of_any_kernel_starts_a_new_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    fresh = kernels.cache_folder.__wrapped__
    ours = fresh()
    for name in kernels._FOLDERS:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(kernels.ROOT / name, tmp_path / name, ignore=ignored)
    monkeypatch.setattr(kernels, "ROOT", tmp_path)
    assert fresh() == ours
    edited = tmp_path / "envs" / "games" / "go" / "rules.py"
    edited.write_text(edited.read_text("utf-8") + "\n# edited\n", "utf-8")
    assert fresh() != ours


def test_a_kernel_is_compiled_once_for_all_widths_of_integers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A caller that an earlier run of the tests left in the cache would not compile what it calls.
    monkeypatch.setattr(kernels, "_prepare_cache", lambda: False)

    @kernel
    def plus_index(numbers: np.ndarray, index: int, unsigned: np.uint64) -> float:
        return numbers[index] + float(unsigned)

    @kernel
    def sum_of_calls(numbers: np.ndarray, narrow: np.ndarray, wide: int) -> float:
        """Call it with int16, int64 and a constant; the unsigned stays unsigned."""
        one = np.uint64(1)
        return (
            plus_index(numbers, narrow[0], one)
            + plus_index(numbers, wide, one)
            + plus_index(numbers, -1, np.uint64(64))
        )

    found = sum_of_calls(np.array([1.0, 2.0, 4.0]), np.array([1], np.int16), 0)
    assert found == (2.0 + 1.0) + (1.0 + 1.0) + (4.0 + 64.0)
    (signature,) = plus_index.signatures  # type: ignore[attr-defined]
    assert [str(kind) for kind in signature[1:]] == ["int64", "uint64"]
