"""Compiled kernels: `@kernel` is numba's njit with one cache that edits never leave stale.

Numba notices an edit of a kernel's own file, but not of a kernel that it calls from another file.
So the cache lies in a folder named after the text of all kernels: any edit starts a new one.
"""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import sys
from collections.abc import Callable
from functools import cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar, cast

Function = TypeVar("Function", bound=Callable[..., Any])

ROOT = Path(__file__).resolve().parents[2]
_FOLDERS = ("core", "envs", "networks", "search", "agents")
_KEPT_CACHES = 3


def _digest() -> str:
    """A name for the text of every file with kernels, numba's and Python's versions."""
    digest = hashlib.sha256(f"{version('numba')} {platform.python_version()}".encode())
    for folder in _FOLDERS:
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = path.read_bytes()
            if b"machine.kernels import" in text:
                digest.update(path.name.encode() + text)
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path:
    """Where compiled kernels are kept: $NUMBA_CACHE_DIR, else below the user's cache folder."""
    if chosen := os.environ.get("NUMBA_CACHE_DIR"):
        return Path(chosen)
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tengen" / "kernels" / _digest()


@cache
def _prepare_cache() -> bool:
    """Point numba at the cache folder, drop the oldest others; False where it cannot be written."""
    from numba import config

    folder = cache_folder()
    chosen = "NUMBA_CACHE_DIR" in os.environ
    try:
        folder.mkdir(parents=True, exist_ok=True)
        writable = os.access(folder, os.W_OK)
        if writable and not chosen:
            siblings = sorted(folder.parent.iterdir(), key=lambda path: path.stat().st_mtime)
            for old in [path for path in siblings if path != folder][: -_KEPT_CACHES + 1]:
                shutil.rmtree(old, ignore_errors=True)
    except OSError:
        return False
    if writable:
        # Numba reads its settings again whenever it finds the environment changed.
        os.environ["NUMBA_CACHE_DIR"] = str(folder)
        setattr(config, "CACHE_DIR", str(folder))  # noqa: B010
    return writable


def kernel(function: Function) -> Function:
    """Compile a function of numbers and arrays on its first call; it runs without Python's lock.

    Division by zero gives infinity as in NumPy; indices are not checked.
    """
    return _compile(function)


def inlined(function: Function) -> Function:
    """As `kernel`, and part of every kernel that calls it.

    Handing over a record of many arrays copies it and counts references to each array, with locked
    instructions that threads contend for: more than a short kernel takes.
    """
    return _compile(function, forceinline=True)


def kernel_of_sums(function: Function) -> Function:
    """As `kernel`, for sums of floats: they may be added in any order, which makes vectors of them.

    The result may differ in the last digits between processors.
    """
    return _compile(function, fastmath={"reassoc", "contract", "nsz"})


def _compile(function: Function, **options: Any) -> Function:
    from numba import njit

    # Nobody passes kernels to C.
    options |= {"cache": _prepare_cache(), "no_cfunc_wrapper": True}
    compile_it: Any = njit(nogil=True, error_model="numpy", **options)
    compiled = compile_it(function)
    compiled.get_call_template = partial(_of_widest_types, compiled.get_call_template)
    return cast(Function, compiled)


def _of_widest_types(get_call_template: Any, arguments: Any, keywords: Any) -> Any:
    """What numba asks for a kernel that another kernel calls, with all signed integers as int64.

    It would compile the callee, and what that calls, once for every combination of int16, int32,
    int64 and constants: a third of the time that a search takes to compile.
    """
    from numba import types

    def widest(kind: Any) -> Any:
        known: Any = types.unliteral(kind)  # type: ignore[no-untyped-call]
        return types.int64 if known in types.signed_domain else known

    wide = {name: widest(kind) for name, kind in keywords.items()}
    return get_call_template([widest(kind) for kind in arguments], wide)


@cache
def announce_compilation(what: str, function: str) -> None:
    """Say on stderr that the first call compiles, if `function` (file.name) is not in the cache."""
    if not any(cache_folder().rglob(f"{function}-*.nbc")):
        sys.stderr.write(f"compiling {what} once, which takes up to half a minute ...\n")
        sys.stderr.flush()
