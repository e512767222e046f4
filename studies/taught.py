"""A language model that a study needs: `tengen train lm`, or its run that goes on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from core.errors import UserError

if TYPE_CHECKING:
    from networks.base import LanguageModel
    from tasks.lm.task import LanguageModelling


def learn(folder: Path, arguments: Sequence[str], epochs: float, threads: int) -> None:
    """Train a run to its end, or let it go on.

    Args:
        folder: of the run.
        arguments: of tengen train lm, for a new run.
        epochs: that the run must have.
        threads: of the processor.

    Raises:
        UserError: it was stopped, or reads the text more or less often than `epochs`.
    """
    from commands.resume import resume
    from commands.train import train
    from core.config import from_toml
    from core.files.run_folder import RunFolder
    from tasks.lm.config import LanguageModelConfig

    own = ["--threads", str(threads)]
    if (folder / "checkpoints").exists():
        saved = from_toml(LanguageModelConfig, RunFolder.open(folder).read_config(), str(folder))
        if saved.training.epochs != epochs:
            raise UserError(
                f"{folder} was begun for {saved.training.epochs:g} epochs, not {epochs:g}: choose "
                f"another --out"
            )
        resume(folder, own)
    else:
        train("lm", [*arguments, "--epochs", str(epochs), "--run-dir", str(folder), *own])
    if RunFolder.open(folder).read_status().get("state") != "finished":
        raise UserError(f"the training of {folder} was stopped: the same command goes on")


def load_networks(run: Path) -> tuple[LanguageModelling, LanguageModel, LanguageModel]:
    """A run's task, its network as it was made, and as it is; both in evaluation mode.

    Raises:
        UserError: the run or its data are damaged or gone.
    """
    import torch

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
    networks = []
    for _ in range(2):
        torch.manual_seed(config.run.seed)
        network = problem.build_network()
        assert isinstance(network, LanguageModel)
        networks.append(network.eval())
    untrained, trained = networks
    load_weights(trained, checkpoint.load(folder.checkpoints).state["network"])
    return problem, untrained, trained
