"""What a result depends on besides its configuration: versions, source revision, machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from pathlib import Path
from typing import Any

from core.machine import ranks

_PACKAGES = ("tengen-rl", "torch", "numpy", "gymnasium", "ale-py", "stable-baselines3")
_GIT_SECONDS = 5.0


def environment_facts() -> dict[str, Any]:
    """Return versions (None: not installed), git revision, platform, processor and argv as JSON.

    Imports none of the packages and leaves out the host's name.
    """
    return {
        "versions": {"python": platform.python_version(), **_versions()},
        "git": _git_facts(Path(__file__).resolve().parents[2]),
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "argv": list(sys.argv),
    }


def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def _git_facts(root: Path) -> dict[str, Any] | None:
    """Return the revision of the checkout `root` and whether files differ; None if it is none."""
    if not (root / ".git").exists():
        return None
    revision = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"revision": revision or None, "dirty": None if changes is None else bool(changes)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        result = subprocess.run(
            ["git", "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return result.stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def usable_cores() -> int:
    """Return how many cores this process may use, which a container can limit, and which it
    shares with others that train the same network."""
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // ranks.on_this_machine())
