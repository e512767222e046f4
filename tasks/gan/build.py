"""Puts generative adversarial training together from its options."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from core.agent import Task
from core.built import Built, Note
from core.config import RunConfig
from core.errors import UserError
from core.learner import Arithmetic, load_weights
from core.machine.probe import Trial, choose_arithmetic, resolve_device
from networks.base import Critic, Generator, Growth
from networks.generators.stylegan import StyleGANGenerator
from networks.registry import network_config
from tasks.building import parameter_count
from tasks.gan.agent import AdversarialLearning, part, saved_growth
from tasks.gan.config import POINTS, GANConfig
from tasks.gan.images import Pictures
from tasks.gan.mixing import mixing_table
from tasks.gan.points import Points
from tasks.gan.target import Maker, Target
from tasks.network_options import build_fitted, require_kind
from tasks.problem import Scored, Stop
from tasks.supervised import require_same_data

SCORING_SEED = 1
"""Of the noise that a saved generator is scored with."""


def build(
    config: GANConfig, folder: Path, note: Note, arithmetic: Arithmetic | None = None
) -> Built:
    """An agent ready to be trained.

    Args:
        config: its options.
        folder: not used: nothing is kept in files.
        note: told what was chosen.
        arithmetic: of the run that is resumed; None to choose by measuring.

    Raises:
        UserError: the data are not here or damaged, or the model does not fit them or the
            objective.
    """
    target = load_target(config)
    for line in target.describe():
        note(line)
    generator, critic = build_pair(config, target)
    if arithmetic is None:
        probe = choose_arithmetic(_full_precision(config.run), _trial(config, target))
        note(str(probe))
        arithmetic = probe.choice
    torch.set_num_threads(arithmetic.threads)
    torch.manual_seed(config.run.seed)
    generator, critic = build_pair(config, target)
    arithmetic.place(generator)
    arithmetic.place(critic)
    agent = AdversarialLearning(config, target, generator, critic, arithmetic)
    task = Task(config.env, "", 1, agent.evaluate, lambda score: None)
    facts = {"parameters": parameter_count(generator),
             "critic_parameters": parameter_count(critic)}  # fmt: skip
    return Built(agent, task, arithmetic, facts)


def _full_precision(run: RunConfig) -> RunConfig:
    """The options as far as they can be had: a penalty's second derivatives are neither rounded to
    16 bits nor compiled."""
    if run.precision == "bf16" or run.compile:
        raise UserError(
            "generators are trained in full precision: leave out --precision, --compile"
        )
    return replace(run, precision="fp32")


def load_target(config: GANConfig) -> Target:
    """The data. Raises UserError when they are not here or damaged."""
    if config.data in POINTS:
        return Points(config)
    require_kind(config.model, "generator")
    return Pictures(config, network_config(config.model).side_made)


def build_pair(config: GANConfig, target: Target) -> tuple[Generator, Critic]:
    """A generator and its critic for the data.

    Raises:
        UserError: no such model, or it does not fit the data or the objective.
    """
    generator = build_fitted(
        config.model, "generator", config.network_options, {"sample_shape": target.shape}
    )
    assert isinstance(generator, Generator)
    critic = generator.build_critic()
    mixing = any(isinstance(module, nn.BatchNorm2d) for module in critic.modules())
    if mixing and (config.objective == "wgan_gp" or config.r1):
        raise UserError(
            "a gradient penalty is of each sample alone, and batch normalisation in the critic "
            "mixes them: use --network-options critic_normalisation=none (or layer)"
        )
    return generator, critic


def _trial(config: GANConfig, target: Target) -> Trial:
    """One real update, for the start-up probe."""

    def trial(arithmetic: Arithmetic) -> Callable[[], object]:
        generator, critic = build_pair(config, target)
        arithmetic.place(generator)
        arithmetic.place(critic)
        agent = AdversarialLearning(config, target, generator, critic, arithmetic)
        last = config.run.total_steps  # networks that grow are fully grown then
        return lambda: agent.advance(last)

    return trial


def describe(config: GANConfig) -> list[str]:
    """What a dry run says: the data, how long, and both sizes."""
    target = load_target(config)
    generator, critic = build_pair(config, target)
    return [
        *target.describe(),
        f"{config.run.total_steps:,} updates of {config.critic_updates} + 1 batches of "
        f"{config.batch_size}",
        f"critic: {parameter_count(critic):,} parameters",
        f"generator: {parameter_count(generator):,} parameters",
    ]


def score(config: GANConfig, state: Mapping[str, Any], device: str, stop: Stop) -> Scored | None:
    """Score a saved generator beside the test part of its data; None where it was stopped.

    Args:
        config: the options of its run.
        state: the parts 'network' and 'problem' of a checkpoint.
        device: where it runs.
        stop: asked between batches.

    Raises:
        UserError: the weights belong to another network, or the data are others now.
    """
    config = replace(config, run=replace(config.run, video=True))
    target = load_target(config)
    require_same_data(target, state["problem"])
    arithmetic = Arithmetic(resolve_device(device), torch.get_num_threads())
    generator, _ = build_pair(config, target)
    load_weights(generator, part("generator.", state["network"]))
    target.load_weights(part("judge.", state["network"]))
    arithmetic.place(generator)
    growth = saved_growth(state["network"], generator.levels)
    maker = Maker(generator, arithmetic, growth, config.truncation, SCORING_SEED)
    judged = target.judge(maker, arithmetic, "test", stop)
    if judged is None:
        return None
    pictures = dict(judged.pictures)
    if isinstance(generator, StyleGANGenerator):
        grown = growth or Growth(generator.levels - 1)
        for level in range(1, grown.level + 1):
            pictures[f"mixing-from-{4 << level}px"] = mixing_table(
                generator, grown, 2 * level, config.truncation, SCORING_SEED
            )
    return Scored(judged.scores, [judged.line], pictures=pictures, film=judged.film)
