"""`tengen <command>`: which module a command is in."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

from core.errors import UserError, did_you_mean, is_out_of_memory

COMMANDS: dict[str, str] = {
    "train": "train an agent in a new run folder",
    "resume": "go on with a run from its folder",
    "evaluate": "score runs, compare with published scores, film an episode",
    "compare": "tables and learning curves of several runs",
    "watch": "TensorBoard on this machine",
    "export": "copy a run's weights and options, to share them",
    "play": "play Go or another board game in the terminal",
    "match": "play games between two players, with the difference in Elo",
    "games": "make games of Go between levels of an engine, to learn from",
    "gtp": "a Go engine for graphical clients (GTP 2)",
    "analysis": "a Go engine for KaTrain (KataGo's JSON analysis)",
    "study": "try a phenomenon of training: double descent, the lottery ticket",
    "networks": "list the networks: paper, year, number of parameters",
    "doctor": "check the installation and this machine",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code. User errors are one line and exit code 2."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        try:
            _require_platform()
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except UserError as error:
        if not error.told:
            sys.stderr.write(f"tengen: error: {' '.join(str(error).split())}\n")
        return 2
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        sys.stderr.write(f"tengen: error: {_memory_is_full(error)}\n")
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # The reader of our output is gone; give the interpreter nothing left to flush to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _memory_is_full(error: BaseException) -> str:
    said = " ".join(str(error).split()).split(". ")[0] or type(error).__name__
    return f"out of memory: {said}. Smaller replays, batches, networks or fewer lanes take less"


def _require_platform() -> None:
    if sys.platform == "win32":
        raise UserError(
            "Linux and macOS are supported; on Windows, install it in WSL "
            "(https://learn.microsoft.com/windows/wsl/install)"
        )


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        from commands.options import print_tables

        print_tables({"commands": COMMANDS}, "tengen COMMAND [options]")
        sys.stdout.write("\ntengen COMMAND --help says more. Start with: tengen train dqn\n")
        return 0
    if arguments[0] == "--version":
        from importlib.metadata import PackageNotFoundError, version

        try:
            sys.stdout.write(f"tengen {version('tengen-rl')}\n")
        except PackageNotFoundError:
            sys.stdout.write("tengen (not installed, run from a checkout)\n")
        return 0
    command, rest = arguments[0], arguments[1:]
    if command not in COMMANDS:
        raise UserError(
            f"there is no command {command!r}{did_you_mean(command, COMMANDS)} (see: tengen --help)"
        )
    for argument in rest:
        if not argument.isprintable():
            raise UserError(f"{argument!r} holds characters that cannot be read")
    code: int = importlib.import_module(f"commands.{command}").main(rest)
    return code
