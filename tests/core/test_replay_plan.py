"""What a replay memory will take, and what is said where the machine has not got it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import UserError
from core.replay.plan import read_available_memory
from core.replay.ring import ReplaySpec, check_fits, plan_replay

ATARI = ReplaySpec(1_000_000, 1, (84, 84), "uint8", 4, 1, "ram", 128_000)


def test_plans_of_a_million_frames() -> None:
    assert plan_replay(ATARI).memory_bytes <= 7.1e9
    assert plan_replay(replace(ATARI, lanes=8)).memory_bytes <= 7.1e9
    mapped = plan_replay(replace(ATARI, storage="mmap"))
    assert mapped.memory_bytes < 20e6 and 7.9e9 < mapped.disk_bytes <= 8.0e9
    packed = plan_replay(replace(ATARI, storage="packed"))
    assert packed.memory_bytes <= 2e9 and packed.disk_bytes <= 2e9
    text = plan_replay(ATARI).text
    assert "ram, 1,000,000 transitions, 7.07 GB of memory, 7.96 GB of disk" in text
    assert plan_replay(replace(ATARI, durable=False)).disk_bytes == 0
    assert plan_replay(replace(ATARI, durable=False, storage="mmap")).disk_bytes > 7.9e9


def test_what_does_not_fit_is_refused_with_advice(tmp_path: Path) -> None:
    plan = plan_replay(ATARI)
    check_fits(plan, tmp_path / "new", available_memory=8 << 30, free_disk=8 << 30)
    with pytest.raises(UserError) as caught:
        check_fits(plan, tmp_path, available_memory=4 << 30, free_disk=8 << 30)
    text = str(caught.value)
    assert "\n" not in text and "needs 7.07 GB of memory, 3.76 GB can be used" in text
    assert text.endswith("try --replay-capacity 530000 or --replay mmap or --replay packed")
    check_fits(plan_replay(replace(ATARI, capacity=530_000)), tmp_path, 4 << 30, 8 << 30)
    with pytest.raises(
        UserError, match=r"disk space.*try --replay-capacity \d+ or --replay packed"
    ):
        check_fits(plan, tmp_path, available_memory=16 << 30, free_disk=2 << 30)
    with pytest.raises(UserError, match="free some memory"):
        check_fits(plan, tmp_path, available_memory=1 << 10, free_disk=1 << 40)
    with pytest.raises(UserError, match="at least 16"):
        plan_replay(replace(ATARI, capacity=10, lanes=8))
    with pytest.raises(UserError, match="ram, mmap, packed"):
        plan_replay(replace(ATARI, storage="disk"))


@pytest.mark.parametrize("version", [1, 2])
def test_memory_limits_of_control_groups_count(tmp_path: Path, version: int) -> None:
    root = tmp_path / "memory" if version == 1 else tmp_path
    inner = root / "outer" / "inner"
    inner.mkdir(parents=True)
    limit, usage, cache = (
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        if version == 1
        else ("memory.max", "memory.current", "inactive_file")
    )
    for group, size, used, cached in (
        (inner, str(1 << 62), 5, 0),
        (root / "outer", "9000", 4000, 7),
    ):
        (group / limit).write_text(f"{size}\n")
        (group / usage).write_text(f"{used}\n")
        (group / "memory.stat").write_text(f"anon 1\n{cache} {cached}\n")
    membership = tmp_path / "cgroup"
    membership.write_text(
        "2:cpu:/\n1:memory:/outer/inner\n" if version == 1 else "0::/outer/inner\n"
    )
    assert read_available_memory(membership, tmp_path) == 5007
    (root / "outer" / limit).write_text("max\n")
    assert read_available_memory(membership, tmp_path) > 1 << 20
    assert read_available_memory(tmp_path / "absent", tmp_path) > 1 << 20
