"""What an update of Q-learning minimises, whatever its switches: which networks see what, and how
the parts of `losses`, `c51`, `quantile`, `iqn` and `munchausen` go together.

Legend: B batch, A actions, Z numbers that describe a return, M those of the target.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from agents.dqn import munchausen
from agents.dqn.c51 import categorical_loss, project
from agents.dqn.config import DQNConfig
from agents.dqn.losses import td_loss, td_target
from agents.dqn.network import NO_DRAWS, Draws, QNetwork
from agents.dqn.quantile import quantile_huber_loss
from core.legal import legal_only


@dataclass(frozen=True)
class Batch:
    """Transitions as tensors, see `core.replay.sampling.Transitions`."""

    observation_tm1: Tensor
    action_tm1: Tensor
    n_step_return: Tensor
    bootstrap_discount: Tensor
    observation_t: Tensor
    legal_tm1: Tensor | None = None
    legal_t: Tensor | None = None
    weight: Tensor | None = None

    @property
    def given(self) -> dict[str, Tensor]:
        """What is not None."""
        return {name: column for name, column in vars(self).items() if column is not None}

    def parts(self, size: int) -> Iterator[Batch]:
        """The same in batches of a size that divides it."""
        names = self.given
        for columns in zip(*(torch.split(column, size) for column in names.values()), strict=True):
            yield Batch(**dict(zip(names, columns, strict=True)))


@dataclass(frozen=True)
class Judged:
    """What became of a batch."""

    loss: Tensor
    """Scalar."""
    q_tm1: Tensor
    """Action values where the actions were taken, detached, float [B, A]."""
    errors: Tensor
    """Target minus Q(s, a), or minus their means, detached, float [B]."""
    priorities: Tensor
    """By how much a transition surprises, detached, float [B]: the absolute error, the divergence
    of a categorical distribution (Hessel et al. 2018), or the loss of quantiles (Dopamine)."""


Draw = Callable[[int], Draws]
"""From a number of fractions to the random numbers of one forward on the batch."""


def no_draws(fractions: int) -> Draws:
    """For networks that take no random numbers."""
    return NO_DRAWS


class Objective:
    """The loss of a batch."""

    def __init__(self, config: DQNConfig, online: QNetwork, target: QNetwork) -> None:
        """``target`` may be ``online`` itself, where there is no target network."""
        self.config = config
        self.online = online
        self.target = target

    def __call__(self, batch: Batch, draw: Draw = no_draws) -> Judged:
        """Judge a batch. ``draw`` is called once for each forward, always in the same order."""
        if self.config.distribution == "none":
            return self._mean(batch, draw)
        if self.config.distribution == "c51":
            return self._categorical(batch, draw)
        return self._quantiles(batch, draw)

    # ---------------------------------------------------------------- one for each description

    def _mean(self, batch: Batch, draw: Draw) -> Judged:
        config = self.config
        with torch.no_grad():
            q_online_t = None
            if config.double:
                q_online_t = self.online(batch.observation_t, draw(0)).float()
            q_target_t = self.target(batch.observation_t, draw(0)).float()
            if config.munchausen:
                n_step_return, log_policy_t = self._munchausen(batch, q_target_t, draw)
                soft = munchausen.soft_values(
                    q_target_t, log_policy_t, config.munchausen_temperature
                )
                target = n_step_return + batch.bootstrap_discount * soft
            else:
                target = td_target(
                    batch.n_step_return,
                    batch.bootstrap_discount,
                    q_target_t,
                    q_online_t,
                    batch.legal_t,
                )
        q_tm1 = self.online(batch.observation_tm1, draw(0)).float()
        loss, errors = td_loss(q_tm1, batch.action_tm1, target, config.loss, batch.weight)
        return Judged(loss, q_tm1.detach(), errors, errors.abs())

    def _categorical(self, batch: Batch, draw: Draw) -> Judged:
        atoms = self.online.points
        with torch.no_grad():
            logits_t = self.target(batch.observation_t, draw(0), whole=True).float()
            chooser = self.target.mean(logits_t)
            if self.config.double:
                chooser = self.online(batch.observation_t, draw(0)).float()
            target = project(
                batch.n_step_return,
                batch.bootstrap_discount,
                _of_best(logits_t, chooser, batch.legal_t).softmax(dim=1),
                atoms,
            )
        logits_tm1 = self.online(batch.observation_tm1, draw(0), whole=True).float()
        taken = _of_action(logits_tm1, batch.action_tm1)
        losses, divergence = categorical_loss(taken, target)
        with torch.no_grad():
            q_tm1 = self.online.mean(logits_tm1)
            # No product of matrices, which autocast would round to bf16.
            errors = ((target - taken.softmax(dim=1)) * atoms).sum(dim=1)
        return Judged(_weighted(losses, batch.weight), q_tm1, errors, divergence)

    def _quantiles(self, batch: Batch, draw: Draw) -> Judged:
        config = self.config
        with torch.no_grad():
            draws_t = draw(config.target_fractions)
            quantiles_t = self.target(batch.observation_t, draws_t, whole=True).float()
            target = self._target_quantiles(batch, quantiles_t, draw)  # [B, M]
        draws_tm1 = draw(config.fractions)
        quantiles_tm1 = self.online(batch.observation_tm1, draws_tm1, whole=True).float()
        fractions = draws_tm1.fractions
        if fractions is None:
            fractions = self.online.points.unsqueeze(0)
        taken = _of_action(quantiles_tm1, batch.action_tm1)
        losses = quantile_huber_loss(taken, fractions, target)
        errors = (target.mean(dim=1) - taken.mean(dim=1)).detach()
        q_tm1 = quantiles_tm1.detach().mean(dim=2)
        return Judged(_weighted(losses, batch.weight), q_tm1, errors, losses.detach())

    # ---------------------------------------------------------------- parts

    def _target_quantiles(self, batch: Batch, quantiles_t: Tensor, draw: Draw) -> Tensor:
        """Quantiles of the return by the target network, float [B, M], from those of the
        bootstrap state, float [B, A, M]."""
        config = self.config
        chooser = self.target.mean(quantiles_t)
        if config.double or config.distribution == "iqn":  # K fractions of its own choose
            network = self.online if config.double else self.target
            chooser = network(batch.observation_t, draw(config.policy_fractions)).float()
        if config.munchausen:
            n_step_return, log_policy_t = self._munchausen(batch, chooser, draw)
            following = munchausen.soft_values(
                quantiles_t, log_policy_t, config.munchausen_temperature
            )
        else:
            n_step_return = batch.n_step_return
            following = _of_best(quantiles_t, chooser, batch.legal_t)
        return n_step_return.unsqueeze(1) + batch.bootstrap_discount.unsqueeze(1) * following

    def _munchausen(self, batch: Batch, q_t: Tensor, draw: Draw) -> tuple[Tensor, Tensor]:
        """The return with the bonus, float [B], and tau ln pi in the bootstrap state, float
        [B, A]."""
        config = self.config
        q_tm1 = self.target(batch.observation_tm1, draw(config.policy_fractions)).float()
        temperature = config.munchausen_temperature
        n_step_return = munchausen.munchausen_return(
            batch.n_step_return,
            munchausen.log_policy(q_tm1, temperature, batch.legal_tm1),
            batch.action_tm1,
            config.munchausen_scale,
            config.munchausen_least,
        )
        return n_step_return, munchausen.log_policy(q_t, temperature, batch.legal_t)


def _of_action(outputs: Tensor, action: Tensor) -> Tensor:
    """What describes the return of each row's action, float [B, Z], of all, [B, A, Z]."""
    index = action[:, None, None].expand(-1, 1, outputs.shape[2])
    return outputs.gather(1, index).squeeze(1)


def _of_best(outputs: Tensor, chooser: Tensor, legal: Tensor | None) -> Tensor:
    """The same of the action whose value, float [B, A], is highest."""
    return _of_action(outputs, legal_only(chooser, legal).argmax(dim=1))


def _weighted(losses: Tensor, weight: Tensor | None) -> Tensor:
    return losses.mean() if weight is None else (weight * losses).mean()
