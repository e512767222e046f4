"""`tengen export`: a trained agent without its training, small enough to share.

What comes out is a run folder with one checkpoint that holds the weights only, so `tengen
evaluate` scores it like any other run. It cannot be resumed.

Of an architecture search it is the best network, trained from scratch, as a module of plain torch.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands.options import parse_dataclass, positional
from core.config import free
from core.errors import UserError

if TYPE_CHECKING:
    from agents.registry import AgentEntry
    from core.files.run_folder import RunFolder


@dataclass(frozen=True)
class ExportOptions:
    """Copy the weights and options of a run, and nothing else, into a new folder. Of an
    architecture search: train the best design from scratch and write it as plain torch."""

    run: str = positional("")
    """Run folder."""
    out: str = positional("")
    """New folder."""
    checkpoint: str = ""
    """Name of a checkpoint, 'best' or 'newest'; default: best where one is marked."""
    half: bool = False
    """Keep weights as float16: half the size, three digits of each."""
    best: bool = False
    """Of an architecture search: the best design, which is what is written anyway."""
    epochs: float = free(0.0, at_least=0)
    """Of an architecture search: how long the design is trained; 0: as the run says
    (--retrain-epochs)."""
    device: str = "cpu"
    """Of an architecture search: where it is trained."""


def main(argv: Sequence[str]) -> int:
    """Export one run; return the exit code."""
    options = parse_dataclass(ExportOptions, argv, prog="tengen export")
    if not options.out:
        raise UserError("name a run and a new folder: tengen export RUN OUT")
    from commands.saved import checkpoint_path, open_run, saved_config
    from core.config import to_toml
    from core.files import checkpoint
    from core.files.run_folder import RunFolder

    source = open_run(options.run)
    entry, config = saved_config(source)
    if entry.exports and options.half:
        raise UserError(f"--half is for weights alone; {options.run} is an architecture search")
    if entry.exports:
        return _export_design(source, entry, config, options)
    for name in ("best", "epochs", "device"):
        if getattr(options, name) != getattr(ExportOptions(), name):
            hint = "; use --checkpoint best" if name == "best" else ""
            raise UserError(f"--{name} is for architecture searches, {options.run} is none{hint}")
    loaded = checkpoint.load(checkpoint_path(source, options.checkpoint), keys=entry.scored_parts)
    state = _halved(loaded.state, "") if options.half else loaded.state
    target = RunFolder.create(Path(), entry.name, "", 0, Path(options.out))
    # Where the run lay is nobody else's business.
    target.write_config(to_toml(replace(config, run=replace(config.run, run_dir=""))))
    meta = source.read_meta()
    kept = ("agent", "environment", "seed", "preset", "versions", "parameters")
    target.write_meta(
        {name: meta[name] for name in kept if name in meta}
        | {"exported_at_agent_steps": loaded.step}
    )
    checkpoint.save(target.checkpoints, loaded.step, state, identity=loaded.identity)
    target.set_status("finished", agent_steps=loaded.step)
    sys.stdout.write(
        f"{options.out}: the weights at {loaded.step:,} agent steps; score them with: "
        f"{entry.advice(options.out, config.env)}\n"
    )
    return 0


def _halved(state: Any, name: str) -> Any:
    """The same with float16 in place of float32. Raises UserError where that is too small."""
    import torch

    if isinstance(state, Mapping):
        return {key: _halved(value, f"{name}.{key}".lstrip(".")) for key, value in state.items()}
    if not isinstance(state, torch.Tensor) or state.dtype != torch.float32:
        return state
    half = state.half()
    if not bool(torch.isfinite(half).all()):
        largest = float(state.abs().max())
        raise UserError(f"{name} holds {largest:g}, too much for --half (at most 65504)")
    return half


def _export_design(
    source: RunFolder, entry: AgentEntry, config: Any, options: ExportOptions
) -> int:
    """Raises KeyboardInterrupt where the training was stopped."""
    from agents.registry import load_object
    from commands.saved import checkpoint_path
    from core.files import checkpoint
    from core.machine.interrupt import Interrupt
    from core.machine.probe import resolve_device

    device = resolve_device(options.device)
    # All checkpoints know the best design of their search: the newest knows most.
    path = checkpoint_path(source, options.checkpoint or "newest")
    loaded = checkpoint.load(path, keys=entry.scored_parts)
    with Interrupt() as interrupt:
        lines = load_object(entry.exports)(
            config, loaded.state, Path(options.out), options.epochs, device, interrupt
        )
    if lines is None:
        raise KeyboardInterrupt
    sys.stdout.write("\n".join(lines) + "\n")
    return 0
