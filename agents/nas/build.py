"""Puts architecture search together from its options: space, searcher, evaluator, journal."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from agents.nas.agent import ArchitectureSearch
from agents.nas.config import ZOO, NASConfig, options_of
from agents.nas.evaluator import Child, Evaluator
from agents.nas.journal import NAME, Journal
from agents.nas.reward import Reward
from core.agent import Task
from core.built import Built, Note
from core.config import RunConfig
from core.errors import UserError
from core.learner import Arithmetic
from core.machine.environment_facts import usable_cores
from core.machine.probe import resolve_device
from core.seeds import derived_seed
from envs.architecture.space import Space, check
from envs.architecture.spaces import make_space
from search.architecture.evolution import RegularisedEvolution
from search.architecture.local import LocalSearch
from search.architecture.random import RandomSearch
from search.architecture.searcher import Searcher
from tasks.problem import Scored, Stop

if TYPE_CHECKING:
    from agents.nas.sharing import SharedWeights

EVALUATIONS = 10
"""Of a run that does not say how often."""
PROXY_IMAGES = 32
WORST_JACOV = -1e7
"""32 images of one and the same Jacobian score -3.1e6."""
WORST_LOSS = -100.0
"""Minus a loss, in nats a token, that is beyond every vocabulary."""


def build(
    config: NASConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """A search ready to be run.

    Args:
        config: its options.
        folder: of a replay, which lies in the run's folder.
        note: told what was chosen.
        arithmetic: of the run that is resumed; None for what the options say.

    Raises:
        UserError: an option of the space that it does not have, or data or a table are not here.
    """
    if arithmetic is None:  # a run that is resumed goes on as it was
        require_sound_rewards(config)
    run_folder = folder.parent
    arithmetic = arithmetic or arithmetic_of(config)
    torch.set_num_threads(arithmetic.threads)
    space = space_of(config)
    seed = config.run.seed
    searcher = make_searcher(config, space, derived_seed(seed, "searcher"))
    shared = share_weights(config, space, searcher, arithmetic)
    agent = ArchitectureSearch(
        space,
        searcher,
        shared or make_evaluator(config, space, arithmetic, run_folder / "children"),
        Journal(run_folder / NAME, note),
        reward_of(config),
        batch=config.batch,
        rescore=config.rescore or shared is not None,
        shared=shared,
        rival=RandomSearch(space, derived_seed(seed, "random search")) if config.compare else None,
        pictures=run_folder,
        title=config.searcher,
    )
    task = Task(config.env, "", 1, agent.evaluate, lambda score: None)
    return Built(agent, task, arithmetic, {}, _scheduled(config.run, config.batch))


def arithmetic_of(config: NASConfig) -> Arithmetic:
    """Not measured: children are many networks, and each might be fastest in its own way."""
    cores = usable_cores() // max(1, config.children.at_once)
    threads = config.run.threads or max(1, cores)
    device = resolve_device(config.run.device)
    return Arithmetic(device, threads, config.run.precision == "bf16", compile=config.run.compile)


def _scheduled(run: RunConfig, batch: int) -> RunConfig:
    """With an evaluation after every tenth of the run, unless it says how often."""
    if run.evaluate_every != RunConfig().evaluate_every:
        return run
    return dataclasses.replace(run, evaluate_every=max(batch, run.total_steps // EVALUATIONS))


def space_of(config: NASConfig) -> Space:
    """The space of the options. Raises UserError for an option that it does not have."""
    options = options_of(config.space_options, "--space-options")
    try:
        if config.space == ZOO:  # which knows networks, as no environment may
            from agents.nas.zoo import Zoo

            return Zoo(**options)
        return make_space(config.space, **options)
    except (TypeError, ValueError) as error:
        raise UserError(
            f"--space-options {config.space_options!r} do not fit space {config.space}: {error}"
        ) from error


def make_searcher(config: NASConfig, space: Space, seed: int) -> Searcher:
    """What proposes designs."""
    if config.searcher == "random":
        return RandomSearch(space, seed)
    if config.searcher == "evolution":
        return RegularisedEvolution(space, seed, config.population, config.tournament)
    if config.searcher == "local":
        return LocalSearch(space, seed)
    from agents.nas.controller import Controller

    return Controller(config.controller, space, seed)


def reward_of(config: NASConfig) -> Reward:
    """What a result is worth."""
    return Reward(
        config.reward,
        config.reward_constant,
        config.latency_target,
        config.latency_exponent,
        config.failure_reward,
    )


def require_sound_rewards(config: NASConfig) -> None:
    """Raise UserError where the worse of two children could be worth more."""
    _require_failures_at_the_bottom(config)
    if not config.latency_target:
        return
    if config.evaluator == "proxy" or (config.evaluator == "table" and config.space != "nb201"):
        source = "proxies" if config.evaluator == "proxy" else f"table {config.table}"
        raise UserError(f"--latency-target: of {source} no latency is known")
    if config.reads and config.reward == "identity":
        raise UserError(
            "--latency-target multiplies rewards, and a language model's score is minus its loss: "
            "give --reward inverse-perplexity with it"
        )


def _require_failures_at_the_bottom(config: NASConfig) -> None:
    """Raise UserError where a child that fails could be worth more than one that does not: language
    models score minus their losses, and jacov is negative, all below the 0 that a failure is worth
    by default."""
    if config.evaluator == "proxy" and config.proxy == "jacov":
        if config.failure_reward > WORST_JACOV:
            raise UserError(
                f"--proxy jacov is below 0, and a failure may not be worth more: give "
                f"--failure-reward {WORST_JACOV:g}"
            )
        return
    if config.evaluator != "train" or not config.reads:
        return
    if config.reward == "cube":
        raise UserError("--reward cube is of accuracies: a language model has a loss")
    if config.reward == "identity" and config.failure_reward > WORST_LOSS:
        raise UserError(
            f"a language model's score is minus its loss, and a failure may not be worth more: "
            f"give --failure-reward {WORST_LOSS:g}, or --reward inverse-perplexity"
        )


def make_evaluator(
    config: NASConfig, space: Space, arithmetic: Arithmetic, folder: Path
) -> Evaluator:
    """What scores designs. Raises UserError where data or a table are not here."""
    seed = derived_seed(config.run.seed, "children")
    if config.evaluator == "table":
        from agents.nas.benchmarks import load_table
        from agents.nas.table import TableEvaluator

        return TableEvaluator(load_table(config.table), seed)
    from agents.nas.training import ChildTrainer

    options = config.children
    trainer = ChildTrainer(options, config.reads, arithmetic)
    if config.evaluator == "proxy":
        from agents.nas.proxies import ProxyEvaluator

        return ProxyEvaluator(config.proxy, trainer.network, trainer.images(PROXY_IMAGES), seed)
    from agents.nas.children import TrainingEvaluator
    from agents.nas.pools import InProcesses, InThisProcess, Pool

    pool: Pool = InThisProcess(trainer)
    if options.at_once:
        arguments = {
            "options": dataclasses.asdict(options),
            "language": config.reads,
            "arithmetic": arithmetic.state_dict(),
        }
        pool = InProcesses(
            options.at_once,
            arguments,
            seconds=options.child_seconds,
            megabytes=options.child_memory,
        )
    return TrainingEvaluator(pool, trainer, options, seed, folder)


def share_weights(
    config: NASConfig, space: Space, searcher: Searcher, arithmetic: Arithmetic
) -> SharedWeights | None:
    """What scores designs by weights that they share; None where they do not. Raises UserError
    where the data are not here."""
    if config.evaluator != "shared":
        return None
    from agents.nas.children import TrainingEvaluator
    from agents.nas.controller import Controller
    from agents.nas.sharing import SharedWeights

    assert isinstance(searcher, Controller | RandomSearch)
    alone = make_evaluator(config, space, arithmetic, Path(os.devnull))
    assert isinstance(alone, TrainingEvaluator)
    seed = derived_seed(config.run.seed, "shared")
    return SharedWeights(
        alone.trainer, space, searcher, alone, config.children, shared_updates(config), seed
    )


def describe(config: NASConfig) -> list[str]:
    """What a dry run says: how many decisions a design is made of."""
    require_sound_rewards(config)
    space = space_of(config)
    lines = [
        f"space {space.name}: designs of {' or '.join(map(str, space.lengths))} tokens",
        f"{config.run.total_steps:,} designs in batches of {config.batch}"
        + (", and as many of random search" if config.compare else ""),
    ]
    if config.evaluator == "shared":
        lines.append(f"{shared_updates(config):,} minibatches for the weights that they share")
    return lines


def shared_updates(config: NASConfig) -> int:
    """Minibatches that shared weights learn from in a whole search."""
    return -(-config.run.total_steps // config.batch) * config.children.shared_updates


def score(config: NASConfig, state: Mapping[str, Any], device: str, stop: Stop) -> Scored | None:
    """Test the best design: trained from scratch with several seeds, or from the table.

    Args:
        config: the options of the run.
        state: the part 'network' of a checkpoint: the best design.
        device: where it is trained.
        stop: asked after each update.

    Returns:
        None where it was stopped.

    Raises:
        UserError: nothing was found yet, the checkpoint is of another space, or the data are gone.
    """
    child = best_child(config, state)
    config = retrained(config, device)
    space = space_of(config)
    evaluator = make_evaluator(config, space, arithmetic_of(config), Path(os.devnull))
    found = evaluator.test(child, config.test_seeds, stop)
    if found is None:
        return None
    scores = {name: value for name, value in found.items() if isinstance(value, int | float)}
    lines = [f"{name.replace('_', ' ')}: {value:.6g}" for name, value in scores.items()]
    return Scored(
        {name: float(value) for name, value in scores.items()},
        [f"child {child.number}, found after {child.number} others", *lines],
        {"design": child.design, "found": dict(found)},
    )


def best_child(config: NASConfig, state: Mapping[str, Any]) -> Child:
    """The best design of a checkpoint.

    Raises:
        UserError: nothing was found yet, or the checkpoint is of another space.
    """
    best = state["network"].get("best")
    if best is None:
        raise UserError(
            "no design has a score: all failed, as journal.jsonl of the run says, or none was "
            "scored yet; then go on with the run first"
        )
    space = space_of(config)
    tokens, number = tuple(best["tokens"]), int(best["number"])
    try:
        check(space, tokens)
    except ValueError as error:
        raise UserError(
            f"the checkpoint's best design is not of this run's space: {error}"
        ) from error
    return Child(number, tokens, space.design(tokens))


def retrained(config: NASConfig, device: str, epochs: float = 0.0) -> NASConfig:
    """The options of a run for trainings from scratch, which are longer than in the search.

    Args:
        config: of the run.
        device: where they are made.
        epochs: that they take; 0 for what the run says.
    """
    children = config.children
    epochs = epochs or children.retrain_epochs or children.child_epochs
    children = dataclasses.replace(children, child_epochs=epochs, at_once=0)
    return dataclasses.replace(
        config, children=children, run=dataclasses.replace(config.run, device=device)
    )
