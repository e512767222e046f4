"""The supervised policy: symmetries, the paper's tower, learning, resuming, scoring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.alphago.policy import MovePrediction, symmetries
from agents.alphago.policy_build import score
from agents.alphago.policy_config import PRESETS, GoPolicyConfig
from core.config import check, resolve
from core.errors import UserError
from core.trainer import Trainer
from envs.games.go.alphago_planes import observe
from envs.games.go.game import GO
from envs.games.go.ladders import ladder_boards
from envs.games.go.rules import legal
from envs.games.options import GoOptions
from networks.control.alphago import PolicyTower
from tasks.options import TrainingConfig
from tests.agents.go_games import write_games

MakeTrainer = Callable[..., Trainer]


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GoPolicyConfig:
    """Games by a rule that is quickly learned, compiled into a cache of the test's own."""
    from core.machine.kernels import cache_folder

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache_folder()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return GoPolicyConfig(
        data=str(write_games(tmp_path / "games.sgf", 5, 120)),
        size=5,
        layers=2,
        filters=16,
        training=TrainingConfig(batch_size=32, epochs=6.0, learning_rate=1e-2),
    )


def test_turned_games_have_turned_planes() -> None:
    size, options = 5, GoOptions(size=5, rules="chinese")
    random, boards = np.random.default_rng(0), ladder_boards(5)
    for source in symmetries(size):
        place = np.argsort(source)
        plain, turned = GO.initial_state(options), GO.initial_state(options)
        mask = np.zeros(26, np.uint8)
        for _ in range(25):
            legal(plain, mask)
            moves = np.flatnonzero(mask[:-1])
            if not len(moves):
                break
            move = int(random.choice(moves))
            GO.play(plain, move)
            GO.play(turned, int(place[move]))
            one, other = (np.zeros((48, size, size), np.uint8) for _ in range(2))
            observe(plain, boards, one)
            observe(turned, boards, other)
            assert np.array_equal(one.reshape(48, -1)[:, source], other.reshape(48, -1))


def test_batches_are_turned_with_their_moves(config: GoPolicyConfig) -> None:
    examples = np.arange(200)
    bare = MovePrediction(replace(config, augment=False))
    plain = bare.batch(examples, np.random.default_rng(1))
    turned = MovePrediction(config).batch(examples, np.random.default_rng(1))
    seen = set()
    for row in range(len(examples)):
        planes, move = plain["planes"][row].reshape(48, -1), plain["moves"][row]
        fits = [
            turn
            for turn, source in enumerate(symmetries(5))
            if np.array_equal(planes[:, source], turned["planes"][row].reshape(48, -1))
            and source[turned["moves"][row]] == move
        ]
        assert fits
        seen.update(fits)
    assert seen == set(range(8))
    # A move is made on an empty point.
    assert plain["planes"].reshape(200, 48, -1)[examples, 2, plain["moves"]].all()


def test_the_tower_is_the_papers() -> None:
    tower = PolicyTower(48, 19)
    first, inner = 25 * 48 * 192 + 192, 9 * 192 * 192 + 192
    assert sum(p.numel() for p in tower.parameters()) == first + 11 * inner + 192 + 361
    small = PolicyTower(48, 5, layers=2, filters=4)
    torch.nn.init.zeros_(small.last.weight)
    small.bias.data = torch.arange(25.0)
    assert torch.equal(small(torch.rand(2, 48, 5, 5)), torch.arange(25.0).expand(2, 25))


def test_a_rule_is_learned_and_scored(make_trainer: MakeTrainer, config: GoPolicyConfig) -> None:
    trainer = make_trainer("go-policy", config)
    trainer.run()
    scored = score(config, trainer.agent.state_dict(), "cpu", lambda: False)
    assert scored is not None
    # Openings, a quarter of the moves, are random, and cannot be told.
    assert scored.scores["accuracy"] > 0.5
    assert scored.scores["top_5"] > scored.scores["accuracy"]
    assert "of games not learned from" in scored.lines[0]


def test_resume_equals_an_uninterrupted_run_bit_for_bit(
    make_trainer: MakeTrainer, config: GoPolicyConfig
) -> None:
    whole = make_trainer("go-policy", config, "whole", total_steps=256)
    whole.run()
    cut = make_trainer("go-policy", config, "cut", total_steps=256)
    cut._start()
    for _ in range(4):
        cut._advance()
    cut.save()
    cut._advance()  # lost with the interruption
    resumed = make_trainer("go-policy", config, "cut", total_steps=256)
    assert resumed.agent_steps == 128
    resumed.run()
    mine, theirs = resumed.agent.state_dict(), whole.agent.state_dict()
    assert mine["problem"] == theirs["problem"]
    for name, weight in mine["network"].items():
        assert torch.equal(weight, theirs["network"][name]), name


def test_an_image_network_is_a_torso(make_trainer: MakeTrainer, config: GoPolicyConfig) -> None:
    options = {"network": "resnet20", "network_options": "blocks=1 widths=8,8,8"}
    trainer = make_trainer("go-policy", replace(config, **options), total_steps=64)
    trainer.run()
    assert trainer.agent_steps == 64


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_are_sound(preset: str) -> None:
    check(replace(resolve(GoPolicyConfig, PRESETS[preset][1]), data="games"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data": ""}, "tengen games go --out FOLDER"),
        ({"network_options": "blocks=1"}, "for image networks"),
        ({"network": "lstm_small"}, "lstm_small"),
    ],
)
def test_options_that_cannot_work_are_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(replace(GoPolicyConfig(data="games"), **changes))
