"""Start a run, or go on with one: from options to a trainer in a run folder."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agents.registry import AgentEntry, load_object
from commands.options import ResumeOptions
from commands.saved import located, saved_config
from core.config import RunConfig, resume_changes, to_toml
from core.errors import UserError
from core.files.json_files import flatten
from core.files.run_folder import OthersFolder, RunFolder, environment_facts
from core.machine import ranks
from core.report.progress import Callback, Progress
from core.report.tracking import require_wandb, tracked

if TYPE_CHECKING:
    from core.built import Built
    from core.files.checkpoint import Checkpoint
    from core.learner import Arithmetic
    from core.trainer import Trainer

Parse = Callable[[AgentEntry, Any], tuple[Any, ResumeOptions]]


def show_training(entry: AgentEntry, config: Any) -> None:
    """Print what would be trained: the options, the network's size and the replay's memory."""
    config = _canonical(config)
    if not ranks.leads():
        return
    sys.stdout.write(to_toml(config) + "\n")
    for line in load_object(entry.build_module).describe(config):
        sys.stdout.write(f"# {line}\n")


def start_training(
    entry: AgentEntry,
    config: Any,
    preset: str,
    argv: Sequence[str],
    callback: Callback | None = None,
) -> RunFolder:
    """Train from step 0 in a new run folder, and return it.

    Args:
        entry: the agent.
        config: its options.
        preset: which of them stood for the others.
        argv: the command, kept in the folder.
        callback: told how it goes.

    Raises:
        UserError: what the user asked for cannot be done.
    """
    config = _canonical(config)
    run_dir = Path(config.run.run_dir) if config.run.run_dir else None
    _require_ranks(entry, config.run)
    folder = _led_folder(
        lambda: RunFolder.create(
            Path(config.run.runs), entry.name, config.env, config.run.seed, run_dir
        )
    )
    with _locked(folder):
        folder.write_config(to_toml(config))
        folder.write_meta(
            {
                "agent": entry.name,
                "environment": config.env,
                "seed": config.run.seed,
                "preset": preset,
                **environment_facts(),
                "argv": list(argv),
            }
        )
        try:
            _train(entry, config, folder, None, callback)
        except (Exception, KeyboardInterrupt):
            folder.discard_unsaved()
            raise
    return folder


def _led_folder(find: Callable[[], RunFolder]) -> RunFolder:
    """The folder that the first process makes or opens; the others only read in it."""
    found: list[RunFolder] = []

    def path() -> Path:
        found.append(find())
        return found[0].path

    led = ranks.led(path)
    return found[0] if found else OthersFolder(led)


def _require_ranks(entry: AgentEntry, run: RunConfig) -> None:
    """Raise UserError where several processes were started that cannot train together."""
    if ranks.count() == 1:
        return
    if not entry.processes:
        raise UserError(f"{entry.name} is trained by one process: start it without torchrun")
    from core.machine.probe import resolve_device

    device = resolve_device(run.device)
    if ":" in device:
        raise UserError(f"--device {device} is one GPU for all processes: use --device cuda")
    if device == "cuda":
        import torch

        if ranks.on_this_machine() > (gpus := torch.cuda.device_count()):
            raise UserError(
                f"{ranks.on_this_machine()} processes for {gpus} GPUs: start one process a GPU, "
                f"or use --device cpu"
            )


def _canonical(config: Any) -> Any:
    if any(field.name == "network" for field in dataclasses.fields(config)):
        from networks.registry import with_design

        config = dataclasses.replace(config, network=with_design(config.network))
    if not hasattr(config, "atari"):
        return config
    from envs.names import canonical_id

    return dataclasses.replace(config, env=canonical_id(config.env, Progress().note))


def resume_training(path: Path, parse: Parse, callback: Callback | None = None) -> RunFolder:
    """Go on with the run in ``path``, and return its folder.

    Args:
        path: a run folder.
        parse: from (agent entry, saved config) to the config with the user's changes, and the
            options of the resume.
        callback: told how it goes.

    Raises:
        UserError: no run there, a locked option changed, or the checkpoint is damaged.
    """
    folder = _led_folder(lambda: RunFolder.open(path))
    entry, saved = saved_config(folder)
    config, options = parse(entry, saved)
    _require_ranks(entry, config.run)
    with _locked(folder):
        for change in resume_changes(saved, config):
            Progress().note(f"changed on resume: {change}")
        _train(entry, config, folder, options, callback)
    return folder


@contextmanager
def _locked(folder: RunFolder) -> Iterator[None]:
    """Two trainers in one folder would spoil each other's files."""
    ranks.led(folder.lock)  # before anybody opens a file in it
    try:
        yield
    finally:
        folder.unlock()


def _train(
    entry: AgentEntry,
    config: Any,
    folder: RunFolder,
    resume: ResumeOptions | None,
    callback: Callback | None,
) -> None:
    """``resume`` is None where the run starts anew."""
    progress = Progress(config.run.progress, callback=callback)
    if config.run.track and ranks.leads():
        require_wandb()
    if entry.start is not None:
        _start_own_loop(entry, config, folder, progress, resume)
        return
    try:
        trainer = _build_trainer(entry, config, folder, progress, resume)
    except Exception:
        # A run that ended well is not worse for a resume that was mistyped.
        if folder.read_status().get("state") in ("created", "running"):
            folder.set_status("failed")
        raise
    folder.write_config(f"# computed with {trainer.arithmetic.options}\n{to_toml(config)}")
    progress.note(f"run folder: {folder.path}   watch it: tengen watch {folder.quoted}")
    try:
        with _tracked(folder, config, progress):
            state = trainer.run()
    finally:
        trainer.agent.close()
    if state == "stopped":
        progress.note(
            f"stopped and saved at {trainer.agent_steps:,} steps; "
            f"go on with: {ranks.command(f'resume {folder.quoted}', ranks.count())}"
        )
    else:
        advice = entry.advice(folder.path, config.env)
        progress.note(f"finished {trainer.agent_steps:,} steps; score it with: {advice}")


def _tracked(folder: RunFolder, config: Any, progress: Progress) -> AbstractContextManager[object]:
    if not config.run.track or not ranks.leads():
        return nullcontext()
    return tracked(folder, progress, flatten(dataclasses.asdict(config)))


def _start_own_loop(
    entry: AgentEntry,
    config: Any,
    folder: RunFolder,
    progress: Progress,
    resume: ResumeOptions | None,
) -> None:
    """Train an agent whose loop is not ours."""
    if resume is not None and (resume.checkpoint or resume.fresh_replay):
        raise UserError(
            f"a run of {entry.name} keeps one model.zip and no replay memory; leave "
            f"--checkpoint and --fresh-replay out"
        )
    if config.run.initial:
        raise UserError(f"{entry.name} cannot begin with the weights of another run")
    assert entry.start is not None
    start = load_object(entry.start)
    progress.note(f"run folder: {folder.path}   watch it: tengen watch {folder.quoted}")
    trust = resume is not None and resume.trust
    with _tracked(folder, config, progress):
        start(config, folder, progress, resume=resume is not None, trust=trust)
    folder.write_config(to_toml(config))


def _build_trainer(
    entry: AgentEntry,
    config: Any,
    folder: RunFolder,
    progress: Progress,
    resume: ResumeOptions | None,
) -> Trainer:
    from core.machine.memory import keep_freed_memory
    from core.trainer import Trainer

    keep_freed_memory()

    loaded, arithmetic = None, None
    if resume is not None and (loaded := _load(folder, resume.checkpoint)):
        _require_same_run(loaded, entry, config)
        if "trainer" not in loaded.state:
            raise UserError(f"{folder.path} was exported: it has weights only, and no resume")
        arithmetic = _arithmetic_of(loaded, config.run, progress)
    built: Built = load_object(entry.build_module).build(
        config, ranks.own_folder(folder.replay), progress.note, arithmetic
    )
    folder.write_meta(folder.read_meta() | built.facts)
    trainer = Trainer(
        built.agent,
        built.task,
        built.run or config.run,
        folder,
        identity={"agent": entry.name, "environment": config.env},
        hyperparameters=flatten(dataclasses.asdict(config)),
        progress=progress,
        arithmetic=built.arithmetic,
    )
    if loaded is not None and resume is not None:
        trainer.restore(loaded.state, fresh_replay=resume.fresh_replay)
        progress.note(f"resuming at {trainer.agent_steps:,} steps from {loaded.path.name}")
    elif resume is not None:
        progress.note("nothing was saved in this run yet: it starts at step 0")
    if loaded is None and config.run.initial:
        _start_from(config.run.initial, built, progress)
    return trainer


def _start_from(path: str, built: Built, progress: Progress) -> None:
    """Give a new run the weights of another."""
    from core.files.checkpoint import load

    found = load(located(path), keys=["network"] if built.begin is None else None)
    if "network" not in found.state:
        raise UserError(f"{found.path} holds no network to begin with")
    try:
        if built.begin is not None:
            built.begin(found)
        else:
            built.agent.start_from(found.state["network"])
    except UserError as error:
        raise UserError(f"cannot begin with {found.path}: {error}") from error
    progress.note(f"beginning with the weights of {found.path}")


def _arithmetic_of(loaded: Checkpoint, run: RunConfig, progress: Progress) -> Arithmetic | None:
    """That of the run so far; None where the user wants another or this machine has it not."""
    from core.learner import Arithmetic
    from core.machine.probe import is_asked_for, what_is_missing

    arithmetic = Arithmetic.from_state(loaded.state["arithmetic"])
    if not is_asked_for(arithmetic, run):
        return None
    missing = what_is_missing(arithmetic, run)
    if not missing:
        return arithmetic
    progress.note(f"the run was computed with {arithmetic.options}, but {missing}: choosing anew")
    return None


def _load(folder: RunFolder, name: str) -> Checkpoint | None:
    """The checkpoint to go on from; None where the run ended before its first one."""
    from core.files import checkpoint

    if not name and folder.ended_unsaved():
        return None
    return checkpoint.load(folder.checkpoints / name if name else folder.checkpoints)


def _require_same_run(loaded: Checkpoint, entry: AgentEntry, config: Any) -> None:
    wanted = {"agent": entry.name, "environment": config.env}
    for key, value in wanted.items():
        if loaded.identity.get(key) != value:
            raise UserError(
                f"{loaded.path} belongs to {key} {loaded.identity.get(key)!r}, this "
                f"run is {value!r}; use the checkpoint's own run folder"
            )
