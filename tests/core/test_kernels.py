"""The cache of compiled kernels is named after the text of all of them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from core.machine import kernels


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
