"""A run on Weights & Biases, by its own reading of the TensorBoard events that we write.

wandb is no dependency of ours: who wants it installs it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from core.errors import UserError
from core.run_folder import RunFolder

_log = logging.getLogger(__name__)

PROJECT = "tengen"
RUN_ID = "wandb_id"
"""In meta.json: a resumed run goes on there, too."""


def require_wandb() -> Any:
    """The module. Raises UserError where it is not installed, or busy with another run."""
    try:
        import wandb
    except ImportError:
        wandb = None
    if not hasattr(wandb, "init"):  # wandb's own folders are called wandb, too, and can be imported
        raise UserError("--track needs wandb: pip install wandb; or give --no-track")
    if getattr(wandb, "run", None) is not None:
        raise UserError("--track: this process has a run on wandb already; finish that one first")
    return wandb


@contextmanager
def tracked(folder: RunFolder, hyperparameters: Mapping[str, Any]) -> Iterator[None]:
    """While active, what is written to TensorBoard appears on Weights & Biases.

    To be entered before the file of events is opened.

    Args:
        folder: the run's; wandb keeps its files inside.
        hyperparameters: flat values.

    Raises:
        UserError: wandb is missing, or refuses to start.
    """
    wandb = require_wandb()
    meta = folder.read_meta()
    try:
        run = wandb.init(
            project=os.environ.get("WANDB_PROJECT", PROJECT),
            name=folder.path.name,
            id=meta.get(RUN_ID),
            resume="allow",
            config=dict(hyperparameters),
            dir=str(folder.path),
            sync_tensorboard=True,
        )
    except Exception as error:  # not logged in, no network, or whatever else it raises
        raise UserError(
            f"wandb cannot start: {' '.join(str(error).split())}; try `wandb login` or "
            f"WANDB_MODE=offline, or give --no-track"
        ) from error
    failed = True
    try:
        folder.write_meta(meta | {RUN_ID: run.id})
        yield
        failed = False
    finally:
        _finish(run, exit_code=int(failed))


def _finish(run: Any, exit_code: int) -> None:
    try:
        run.finish(exit_code=exit_code)
    except Exception as error:  # the run itself is safe in its folder
        _log.warning("wandb did not finish (%s)", error)
