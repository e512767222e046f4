"""A language model that a study needs: `tengen train lm`, or its run that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError

if TYPE_CHECKING:
    from networks.base import LanguageModel
    from tasks.lm.task import LanguageModelling


def learn(folder: Path, arguments: Sequence[str], threads: int) -> None:
    """Train a run to its end, or let it go on.

    Args:
        folder: of the run.
        arguments: of tengen train lm.
        threads: of the processor.

    Raises:
        UserError: it was stopped, or the folder has a run of other options.
    """
    from agents.registry import AGENTS
    from commands.options import parse_training
    from commands.resume import resume
    from commands.train import train
    from core.config import from_toml
    from core.files.run_folder import RunFolder
    from tasks.lm.config import LanguageModelConfig

    if (folder / "checkpoints").exists():
        run = RunFolder.open(folder)
        wanted, _ = parse_training(AGENTS["lm"], arguments)
        saved = from_toml(LanguageModelConfig, run.read_config(), f"{folder}/config.toml")
        if replace(saved, run=wanted.run) != wanted:
            raise UserError(f"{folder} was begun with other options: choose another --out")
        resume(folder, ["--threads", str(threads)])
    else:
        train("lm", [*arguments, "--threads", str(threads), "--run-dir", str(folder)])
    if RunFolder.open(folder).read_status().get("state") != "finished":
        raise UserError(f"the training of {folder} was stopped: the same command goes on")


def load_network(run: Path) -> tuple[LanguageModelling, LanguageModel]:
    """A run's task, and its network in evaluation mode.

    Raises:
        UserError: the run or its data are damaged or gone.
    """
    from core.config import from_toml
    from core.files import checkpoint
    from core.files.run_folder import RunFolder
    from core.learner import load_weights
    from networks.base import LanguageModel
    from tasks.lm.config import LanguageModelConfig
    from tasks.lm.task import LanguageModelling

    folder = RunFolder.open(run)
    config = from_toml(LanguageModelConfig, folder.read_config(), f"{run}/config.toml")
    problem = LanguageModelling(config)
    network = problem.build_network()
    assert isinstance(network, LanguageModel)
    load_weights(network, checkpoint.load(folder.checkpoints).state["network"])
    return problem, network.eval()
