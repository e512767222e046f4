"""Grids of cells: what is kept, what is computed again, and what ends a study."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core.errors import UserError
from studies.grid import Cell, Found, Journal, key, run_grid

CELLS = [{"number": n, "power": 2} for n in range(6)]
COMPUTED: list[int] = []
ROOT = Path(__file__).resolve().parents[2]


def powers(cell: Cell) -> Found:
    COMPUTED.append(cell["number"])
    return {"value": cell["number"] ** cell["power"]}


def powers_until_killed(cell: Cell) -> Found:
    if cell["number"] == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    return powers(cell)


def powers_that_stop(cell: Cell) -> Found:
    if cell["number"] == 2:
        os.kill(os.getpid(), signal.SIGTERM)
    return powers(cell)


def values(found: dict[str, Found]) -> list[int]:
    return [found[key(cell)]["value"] for cell in CELLS]


def test_results_are_in_the_order_of_the_cells_whoever_computes_them(tmp_path: Path) -> None:
    alone = run_grid(powers, [*CELLS, CELLS[0]], tmp_path / "alone", processes=1)
    together = run_grid(powers, CELLS, tmp_path / "together", processes=2)
    assert values(alone) == values(together) == [0, 1, 4, 9, 16, 25]


def test_what_the_journal_has_is_not_computed_again(tmp_path: Path) -> None:
    run_grid(powers, CELLS[:4], tmp_path, processes=1)
    path = tmp_path / "journal.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:-1]) + lines[-1][:-9])  # the last line was cut off
    COMPUTED.clear()
    assert values(run_grid(powers, CELLS, tmp_path, processes=1)) == [0, 1, 4, 9, 16, 25]
    assert COMPUTED == [3, 4, 5]
    COMPUTED.clear()
    run_grid(powers, CELLS, tmp_path, processes=1)
    assert COMPUTED == []


def undefined(cell: Cell) -> Found:
    return {"loss": math.nan, "scores": (1, 2), "threads": torch.get_num_threads()}


def test_what_was_just_computed_is_as_it_is_read_back(tmp_path: Path) -> None:
    fresh = run_grid(undefined, CELLS[:1], tmp_path, processes=1)
    assert fresh == {key(CELLS[0]): {"loss": None, "scores": [1, 2], "threads": 1}}
    assert run_grid(undefined, CELLS[:1], tmp_path, processes=1) == fresh


def test_a_stop_keeps_what_is_finished(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="the same command goes on"):
        run_grid(powers_that_stop, CELLS, tmp_path, processes=1)
    assert len(Journal(tmp_path).found) == 3
    COMPUTED.clear()
    run_grid(powers, CELLS, tmp_path, processes=1)
    assert COMPUTED == [3, 4, 5]


def test_a_worker_that_dies_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"a process was ended.* number=4 power=2"):
        run_grid(powers_until_killed, CELLS[3:], tmp_path, processes=2)


def test_a_study_that_was_killed_goes_on(tmp_path: Path) -> None:
    program = (
        "from pathlib import Path; from tests.studies.test_grid import *; "
        f"run_grid(powers_until_killed, CELLS, Path({str(tmp_path)!r}), processes=1)"
    )
    ended = subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    COMPUTED.clear()
    assert values(run_grid(powers, CELLS, tmp_path, processes=1)) == [0, 1, 4, 9, 16, 25]
    assert COMPUTED == [4, 5]


def test_a_full_disk_is_one_line(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    journal = Journal(tmp_path)
    journal.close()
    journal._file = Path("/dev/full").open("ab")  # noqa: SIM115  buffered, as its own
    with pytest.raises(UserError, match="could not write"):
        journal.write({"cell": {}, "state": "begun"})
    journal.close()  # which tries once more to write what is buffered
