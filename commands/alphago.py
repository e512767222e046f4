"""`tengen train alphago`: AlphaGo's stages one after the other, each a run in one folder.

    FOLDER/games     made by UCT against itself, where no --data are given
    FOLDER/policy    go-policy    the next move, learned from the games
    FOLDER/rl        go-rl        the same policy improved against its past
    FOLDER/selfplay  games of both, made by go-value
    FOLDER/value     go-value     who wins, learned from them

A stage that is finished is left alone and one that was interrupted goes on, so the same command
continues after a kill; `tengen resume FOLDER/rl` goes on with one alone.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from commands.options import parse_dataclass
from core.config import free
from core.errors import UserError
from core.files.run_folder import RunFolder
from core.report.progress import Progress


@dataclass(frozen=True)
class AlphaGoOptions:
    """AlphaGo's stages one after the other, in one folder; given again, the command goes on. The
    stages' own options are those of tengen train go-policy, go-rl, go-value."""

    preset: Literal["quick", "9x9"] = "quick"
    """Settings of every stage."""
    run_dir: str = "runs/alphago"
    """Folder for the runs of the stages."""
    data: str = ""
    """SGF file, or folder of .sgf files; else games are made by UCT against itself."""
    size: int = free(9, at_least=5, at_most=19)
    """Lines of the board."""
    games: int = free(0, at_least=0)
    """Games that UCT makes; 0: what the preset says."""
    playouts: str = ""
    """Playouts a move that each side of these games is drawn from, such as 50,100; else as the
    preset says."""
    policy: str = ""
    """More options of go-policy, in one word: "--epochs 4"."""
    rl: str = ""
    """More options of go-rl."""
    value: str = ""
    """More options of go-value."""
    seed: int = free(1, at_least=0, under=2**63)
    """Of all stages."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    threads: int = free(0, at_least=0)
    """Processor threads for the networks; 0 lets the probe choose."""
    progress: bool = True
    """Show a line of progress."""


GAMES = {"quick": (200, "50,100"), "9x9": (3_000, "1000,2000")}
"""Games that UCT makes, and of how many playouts a move."""
STAGES = ("policy", "rl", "value")


def main(argv: Sequence[str]) -> int:
    """Run the stages that are left; return the exit code."""
    options = parse_dataclass(AlphaGoOptions, argv, "tengen train alphago")
    folder = Path(options.run_dir)
    data = options.data or str(folder / "games")
    if not options.data:
        _make_games(options, folder / "games")
    made = {
        "policy": ["--data", data],
        "rl": ["--initial", str(folder / "policy")],
        "value": ["--data", str(folder / "selfplay"), "--supervised", str(folder / "policy"),
                  "--reinforced", str(folder / "rl")],
    }  # fmt: skip
    for stage in STAGES:
        if not _run_stage(stage, folder / stage, options, made[stage]):
            return 0
    where = shlex.quote(str(folder))
    Progress().note(f"all stages are finished; play it: tengen play go --agent alphago:{where}")
    return 0


def _make_games(options: AlphaGoOptions, folder: Path) -> None:
    """Games of UCT against itself, those that are missing."""
    from commands.games import main as games
    from core.machine.environment_facts import usable_cores

    wanted, playouts = GAMES[options.preset]
    wanted = options.games or wanted
    if len(list(folder.glob("*.sgf"))) >= wanted:
        return
    python = shlex.quote(sys.executable)
    # A tree for each game and not a tree for each core, so that more cores do not mean worse games.
    agent = "uct:{level},resign=0,threads=1"
    engine = f"{python} -m tengen gtp --agent {agent} --size {options.size}"
    argv = ["go", "--out", str(folder), "--games", str(wanted), "--size", str(options.size)]
    argv += ["--engine", engine, "--levels", options.playouts or playouts]
    argv += ["--seed", str(options.seed), "--parallel", str(usable_cores())]
    games(argv)


def _run_stage(stage: str, folder: Path, options: AlphaGoOptions, made: Sequence[str]) -> bool:
    """Train a stage, or go on with it; whether it is finished."""
    from commands.resume import resume
    from commands.train import train

    note = Progress().note
    if RunFolder(folder).read_status().get("state") == "finished":
        note(f"{stage}: finished before")
        return True
    if (folder / "config.toml").is_file():
        note(f"{stage}: going on")
        run: RunFolder | None = resume(folder, [])
    else:
        note(f"{stage}: begins")
        shared = ["--preset", options.preset, "--size", str(options.size), "--run-dir", str(folder)]
        shared += ["--seed", str(options.seed), "--device", options.device]
        shared += ["--threads", str(options.threads)]
        shared += [] if options.progress else ["--no-progress"]
        more = shlex.split(str(getattr(options, stage)))
        run = train(f"go-{stage}", [*shared, *made, *more])
    if run is None:
        raise UserError(f"a dry run of {stage} leaves nothing for the next stage to begin with")
    finished = run.read_status().get("state") == "finished"
    if not finished:
        note("the same command goes on with the stages")
    return finished
