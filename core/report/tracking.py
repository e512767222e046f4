"""A run on Weights & Biases: the points of its curves and its evaluations.

Its own reading of TensorBoard events looks for a writer and for names of files that are not ours.

wandb is no dependency of ours: who wants it installs it.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from core.errors import UserError
from core.files.run_folder import RunFolder
from core.report.progress import Progress, Report

_log = logging.getLogger(__name__)

PROJECT = "tengen"
STEPS = "agent_steps"
"""What everything is drawn over; wandb's own count of steps cannot go back, as a resume may."""
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
def tracked(
    folder: RunFolder, progress: Progress, hyperparameters: Mapping[str, Any]
) -> Iterator[None]:
    """While active, what ``progress`` is told appears on Weights & Biases.

    Args:
        folder: the run's; wandb keeps its files inside.
        progress: of the run.
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
        )
        run.define_metric(STEPS)
        run.define_metric("*", step_metric=STEPS)
    except Exception as error:  # not logged in, no network, or whatever else it raises
        raise UserError(
            f"wandb cannot start: {' '.join(str(error).split())}; try `wandb login` or "
            f"WANDB_MODE=offline, or give --no-track"
        ) from error
    failed = True
    try:
        folder.write_meta(meta | {RUN_ID: run.id})
        progress.add_listener(_Sender(run))
        yield
        failed = False
    finally:
        _finish(run, exit_code=int(failed))


class _Sender:
    """Sends reports until that fails: training goes on."""

    def __init__(self, run: Any) -> None:
        self._run = run

    def __call__(self, report: Report) -> None:
        if self._run is None:
            return
        try:
            self._run.log({**report.scalars, STEPS: report.agent_steps})
        except Exception as error:
            self._run = None
            _log.warning("wandb takes nothing any more (%s); training goes on", error)


def _finish(run: Any, exit_code: int) -> None:
    try:
        run.finish(exit_code=exit_code)
    except Exception as error:  # the run itself is safe in its folder
        _log.warning("wandb did not finish (%s)", error)
