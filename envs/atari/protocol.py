"""Evaluation protocols of the Atari literature, as data.

A score means nothing without its protocol: sticky actions, no-op starts, life loss, the frame
cap, the action set, and the epsilon and number of episodes of evaluation all move it. The
protocol is stored with every result, and results under different protocols are not mixed.

    dopamine     the default: the rules of Dopamine's published curves, which follow Machado et al.
                 apart from the game's own actions, 30 minutes instead of 5, and evaluation apart
                 from training with epsilon 0.001
    machado2018  all 18 actions, 5 minutes. The paper's score is the mean of the last 100 episodes
                 of training (`return/mean_100`), so an evaluation here acts as training does in the
                 end, for 100 episodes. The paper acts every 5 frames, all protocols here every 4.
    nature2015   no sticky actions; up to 30 no-ops, a lost life is terminal in training
    sb3          stable-baselines3's `AtariWrapper` and `VecFrameStack`. Left different: 0 to 30
                 no-ops, not 1 to 30; the emulator's grey, not a mean of its colours; and the steps
                 that start a life count as agent steps

Before version 2 of config files 'machado2018' meant the rules of 'dopamine', and is read so there.

Papers: Mnih et al. 2015 (doi 10.1038/nature14236), Machado et al. 2018 (arXiv 1709.06009),
Castro et al. 2018 (Dopamine, arXiv 1812.06110), Raffin et al. 2021 (stable-baselines3).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.config import free, locked, warn

FRAMES_PER_STEP = 4

ProtocolName = Literal["dopamine", "machado2018", "nature2015", "sb3"]


@dataclass(frozen=True)
class AtariProtocol:
    """How episodes start, end and are scored."""

    name: str
    sticky_probability: float
    """Chance that the emulator repeats the previous action, per emulator frame."""
    noop_max: int
    """Most no-ops, of one emulator frame each, at the start of an episode: 0 to this many, equally
    likely."""
    fire_reset: bool
    """Start every life as stable-baselines3 does: FIRE and action 2, a step each, where the game
    has FIRE, and after a lost life a no-op step before. The agent's actions are ignored meanwhile,
    and its frame stack starts anew."""
    life_loss_terminal: bool
    """In training, a lost life counts as terminal for the update; the game goes on."""
    training_frame_cap: int
    evaluation_frame_cap: int
    """Emulator frames after which an episode is truncated."""
    evaluation_epsilon: float
    evaluation_episodes: int
    full_action_space: bool = False
    """All 18 actions of the joystick instead of the game's own."""


PROTOCOLS: dict[str, AtariProtocol] = {
    "dopamine": AtariProtocol("dopamine", 0.25, 0, False, False, 108_000, 108_000, 0.001, 30),
    "machado2018": AtariProtocol(
        "machado2018", 0.25, 0, False, False, 18_000, 18_000, 0.01, 100, full_action_space=True
    ),
    "nature2015": AtariProtocol("nature2015", 0.0, 30, False, True, 108_000, 18_000, 0.05, 30),
    "sb3": AtariProtocol("sb3", 0.0, 30, True, True, 108_000, 108_000, 0.01, 30),
}


@dataclass(frozen=True)
class AtariConfig:
    """Options that only Atari games (environment ids ALE/...) use."""

    protocol: ProtocolName = locked("dopamine")
    """Sticky actions, no-op starts, life loss, frame cap and evaluation settings, by paper."""
    full_action_space: bool = locked(False)
    """Use all 18 joystick actions where the protocol has the game's own."""
    life_loss_terminal: bool = warn(False)
    """In training, a lost life counts as terminal also where the protocol plays on."""
    pixels: int = locked(84, at_least=12, at_most=210)
    """Height and width of the frames that are learned from: 84 in all papers; 42 take a quarter of
    the memory and, with `--network compact`, little more than half the arithmetic."""
    env_threads: int = free(0, at_least=0)
    """Native threads that step the emulators; 0: one per core, at most one per lane."""

    @property
    def life_ends_return(self) -> bool:
        """Whether what is learned ends with a life; the game goes on."""
        return self.life_loss_terminal or PROTOCOLS[self.protocol].life_loss_terminal

    @staticmethod
    def upgrade(tree: Mapping[str, Any], version: int) -> Mapping[str, Any]:
        """The options of an older file: its 'machado2018' was 'dopamine' under another name."""
        renamed = version < 2 and tree.get("protocol") == "machado2018"
        return {**tree, "protocol": "dopamine"} if renamed else tree
