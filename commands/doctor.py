"""`tengen doctor`: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "ale-py",
    "stable-baselines3",
    "pettingzoo",
    "tensorboard",
    "numba",
)
OUR_FOLDERS = ("agents", "commands", "core", "envs", "networks", "play", "search", "tasks")
LOW_MEMORY, LOW_DISK = 4e9, 10e9


@dataclass(frozen=True)
class Finding:
    """One line of the report."""

    verdict: str
    """'ok', 'warn' or 'FAIL'."""
    text: str


@dataclass(frozen=True)
class DoctorOptions:
    """Check the installation and this machine; exit code 1 when something cannot work."""


def main(argv: Sequence[str]) -> int:
    """Print one line per check; return 1 if any failed."""
    from commands.options import parse_dataclass

    parse_dataclass(DoctorOptions, argv, prog="tengen doctor")
    failed = False
    for check in CHECKS:
        for finding in _guarded(check):
            failed |= finding.verdict == "FAIL"
            sys.stdout.write(f"{finding.verdict:<5} {finding.text}\n")
            sys.stdout.flush()
    return int(failed)


def _guarded(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    try:
        yield from check()
    except Exception as error:  # a check that breaks is a finding, not the end of the report
        yield Finding("FAIL", f"{check.__name__.strip('_')}: {error}")


def _versions() -> Iterator[Finding]:
    yield Finding("ok", f"python {sys.version.split()[0]} on {sys.platform}")
    for name in PACKAGES:
        try:
            yield Finding("ok", f"{name} {version(name)}")
        except PackageNotFoundError:
            yield Finding("FAIL", f"{name} is not installed: pip install tengen-rl")


def _processor() -> Iterator[Finding]:
    import torch

    from core.machine.environment_facts import usable_cores
    from core.machine.probe import bf16_in_hardware

    cores = usable_cores()
    yield Finding(
        "ok",
        f"{cores} processor cores, torch uses {torch.get_num_threads()} threads "
        f"until the start-up probe chooses",
    )
    bf16 = {
        True: "in hardware",
        False: "emulated and slow on this processor, so runs take fp32",
        None: "not told by this version of torch; the probe will find out",
    }[bf16_in_hardware("cpu")]
    yield Finding("ok", f"bf16 arithmetic: {bf16}")


def _memory() -> Iterator[Finding]:
    from core.replay.plan import read_available_memory

    free = read_available_memory()
    hint = "; use --replay packed or a smaller --replay-capacity" if free < LOW_MEMORY else ""
    yield Finding("warn" if hint else "ok", f"{free / 1e9:.1f} GB of memory free{hint}")
    folder = Path("runs") if Path("runs").is_dir() else Path()
    disk = shutil.disk_usage(folder).free
    hint = "; a full replay of 1,000,000 transitions takes 8 GB" if disk < LOW_DISK else ""
    yield Finding("warn" if hint else "ok", f"{disk / 1e9:.1f} GB of disk free{hint}")
    if not os.access(folder, os.W_OK):
        yield Finding("warn", f"{folder.resolve()} cannot be written; use --runs FOLDER")


def _games() -> Iterator[Finding]:
    from ale_py import roms

    from envs.atari.protocol import AtariConfig
    from envs.make import make_lanes

    yield Finding("ok", f"{len(roms.get_all_rom_ids())} Atari ROMs")
    lanes = make_lanes("ALE/Pong-v5", 1, AtariConfig())
    lanes.reset(0)
    lanes.close()
    yield Finding("ok", "ALE/Pong-v5 opens")


def _gpu() -> Iterator[Finding]:
    import torch

    if not torch.cuda.is_available():
        yield Finding("ok", "no GPU: everything runs on the processor")
    for index in range(torch.cuda.device_count()):
        free, total = torch.cuda.mem_get_info(index)
        yield Finding(
            "ok",
            f"cuda:{index} {torch.cuda.get_device_name(index)}, "
            f"{free / 1e9:.1f} of {total / 1e9:.1f} GB free",
        )


def _video() -> Iterator[Finding]:
    import imageio_ffmpeg

    try:
        imageio_ffmpeg.get_ffmpeg_exe()
        yield Finding("ok", "ffmpeg for mp4 videos")
    except RuntimeError:
        yield Finding("warn", "no ffmpeg: videos only as gif (tengen evaluate --video-format gif)")


def _name_clashes() -> Iterator[Finding]:
    import site

    for packages in site.getsitepackages():
        for name in OUR_FOLDERS:
            if (Path(packages) / name / "__init__.py").exists():
                yield Finding(
                    "warn",
                    f"another package installs {name!r} in {packages}; the "
                    f"tengen command is safe, imports of your own may not be",
                )


CHECKS = (_versions, _processor, _memory, _games, _gpu, _video, _name_clashes)
