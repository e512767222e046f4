"""AlphaGo as a player: search with a policy, a value network and rollouts, any of them left out.

    prior of a move    the supervised policy's; equal for all sensible moves without it
    value of a leaf    (1 - lambda) v + lambda z: v the value network's, z a rollout's outcome

Without both the policy plays its likeliest move, and nothing is searched.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from agents.alphago.evaluator import PolicyAndValue
from agents.alphago.game import ALPHAGO_GO
from agents.alphago.runs import VALUES, load_policy_network, load_value_network
from core.errors import UserError
from core.files.run_folder import RunFolder
from core.files.tensor_file import digest
from core.learner import Arithmetic
from core.machine.environment_facts import usable_cores
from core.machine.probe import resolve_device
from envs.games.game import Game
from envs.games.go.rollout import SHIPPED, another_thread, load_policy
from envs.games.session import Session
from search.config import SearchConfig
from search.player import Judgement, Limits, Watcher
from search.rollouts import RolloutOptions
from search.tree_player import LEAVES, TreePlayer, TreePlayerOptions
from search.tree_search import TreeSearch

PARTS = ("policy", "value", "rollouts")


@dataclass(frozen=True)
class AlphaGoOptions(TreePlayerOptions):
    """How it plays."""

    use: tuple[str, ...] = PARTS
    """Which of PARTS; a value network that was not learned is left out."""
    mixing: float = 0.5
    """lambda: share of the rollouts in a leaf's value."""
    expand_after: int = 1
    """Visits of a move before the search goes on below it."""
    exploration: float = 1.1
    """c of PUCT."""
    virtual_loss: float = 1.0
    """Value that an awaited visit counts as lost."""
    device: str = "cpu"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.use or set(self.use) - set(PARTS):
            raise UserError(f"use takes some of {'+'.join(PARTS)}, got {'+'.join(self.use)}")
        if not 0 <= self.mixing <= 1 or self.expand_after < 1:
            raise UserError("lambda must be from 0 to 1, and expand_after at least 1")


@dataclass(frozen=True)
class Parts:
    """Where its parts are."""

    policy: Path | None = None
    """Run of go-policy or go-rl."""
    value: Path | None = None
    """Run of go-value."""
    rollout: Path = SHIPPED
    """Weights of the rollout policy."""

    @classmethod
    def in_folder(cls, folder: Path) -> Parts:
        """A run of one part, or a folder with runs named policy and value.

        Raises:
            UserError: there is nothing of the kind.
        """
        if (folder / "config.toml").is_file():
            agent = RunFolder.open(folder).read_meta().get("agent")
            if agent in VALUES:
                return cls(value=folder)
            return cls(policy=folder)
        found = {part: folder / part for part in ("policy", "value") if (folder / part).is_dir()}
        if not found:
            raise UserError(f"{folder} has no run of AlphaGo: no folder policy, no folder value")
        return cls(**found)


class AlphaGoPlayer(TreePlayer):
    """Plays Go with the networks of runs, and rollouts."""

    options: AlphaGoOptions

    def __init__(self, parts: Parts, options: AlphaGoOptions, seed: int = 0, threads: int = 0):
        """Raises UserError if a run is missing or of another agent, or sizes differ."""
        super().__init__(options, seed)
        threads = threads or usable_cores()
        torch.set_num_threads(threads)
        self._arithmetic = Arithmetic(resolve_device(options.device), threads)
        self.size = 0
        use = options.use
        self.policy = self.value = None
        if "policy" in use and parts.policy is not None:
            self.policy = self._loaded(load_policy_network, parts.policy)
        if "value" in use and parts.value is not None:
            self.value = self._loaded(load_value_network, parts.value)
        self.rollouts = load_policy(parts.rollout) if "rollouts" in use else None
        if self.policy is None and self.value is None and self.rollouts is None:
            raise UserError("nothing is left of AlphaGo to play with: see use=")

    def _loaded(self, load: Callable[[Path], tuple[nn.Module, int]], run: Path) -> nn.Module:
        network, size = load(run)
        if self.size not in (0, size):
            raise UserError(f"{run} is of {size} lines, another part of {self.size}")
        self.size = size
        return network

    @property
    def searches(self) -> bool:
        """Whether there is anything that judges positions."""
        return self.value is not None or self.rollouts is not None

    @property
    def name(self) -> str:
        """What to call it in game records."""
        limit = f"{self.options.seconds:g} s" if self.options.seconds else self.options.visits
        parts = zip(PARTS, (self.policy, self.value, self.rollouts), strict=True)
        used = "+".join(name for name, part in parts if part is not None)
        return f"AlphaGo {used} {limit}" if self.searches else f"AlphaGo {used}"

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        """Search the position, or ask the policy alone."""
        if self.searches:
            return super().judge(session, limits, watch)
        judgement = super().judge(session, replace(limits or Limits(), playouts=1, seconds=None))
        assert judgement.priors is not None
        action = int(judgement.priors.argmax())
        visits = (np.arange(len(judgement.priors)) == action).astype(np.int64)
        return replace(judgement, action=action, value=0.0, visits=visits, variation=(action,))

    def make_search(
        self, game: Game, options: Any, simulations: int, games: int = 1, leaves: int = LEAVES,
        threads: int = 1,
    ) -> TreeSearch:  # fmt: skip
        """The search with these parts."""
        if game.name != "go" or self.size not in (0, options.size):
            raise UserError(f"these networks play Go on {self.size} lines, not this game")
        o, guide = self.options, self.rollouts
        rollouts = None
        if guide is not None:
            weight = o.mixing if self.value is not None else 1.0
            rollouts = RolloutOptions(weight, lambda: another_thread(guide))
        config = SearchConfig(root="puct", forced_playouts=0.0, exploration=o.exploration,
                              virtual_loss=o.virtual_loss)  # fmt: skip
        return TreeSearch(
            ALPHAGO_GO, options, games, config,
            PolicyAndValue(self.policy, self.value, self._arithmetic),
            max_simulations=simulations, leaves=leaves, threads=threads, seed=self.seed,
            rollouts=rollouts, expand_after=o.expand_after,
        )  # fmt: skip

    def digests(self) -> list[str]:
        """Of the networks and of the rollout policy."""
        networks = [part.state_dict() for part in (self.policy, self.value) if part is not None]
        rollouts = self.rollouts
        factors = [] if rollouts is None else [{"factors": torch.from_numpy(rollouts.factors)}]
        return [digest(weights) for weights in [*networks, *factors]]
