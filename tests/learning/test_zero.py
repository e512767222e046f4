"""Zero on a solved game: after a minute of self-play it never loses Tic-tac-toe, whatever is played
against it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.zero.config import PRESETS, ZeroConfig
from agents.zero.player import ZeroPlayer, ZeroPlayerOptions
from agents.zero.store import GameStore
from core.config import resolve, to_toml
from core.trainer import Trainer
from envs.games.options import TicTacToeOptions
from envs.games.registry import load_game
from envs.games.session import Session

MakeTrainer = Callable[..., Trainer]


def train(
    make_trainer: MakeTrainer, folder: str = "run", concurrent_ticks: int = 0, **run: Any
) -> Trainer:
    config = resolve(ZeroConfig, PRESETS["tic-tac-toe"][1])
    config = replace(config, concurrent_ticks=concurrent_ticks)
    trainer = make_trainer("zero", config, folder, checkpoint_seconds=1e9, **run)
    trainer.folder.write_meta({"agent": "zero"})
    trainer.folder.write_config(to_toml(config))
    trainer.run()
    return trainer


def losses(player: ZeroPlayer, side: int) -> int:
    """Lost games over every way of playing against a player of one side."""
    game, options = load_game("tic-tac-toe"), TicTacToeOptions()
    waiting, lost = [Session(game, options)], 0
    answers: dict[bytes, int] = {}
    while waiting:
        session = waiting.pop()
        if session.is_over:
            lost += session.outcome == (-1 if side == 0 else 1)
            continue
        if session.to_move == side:
            key = session.cells().tobytes()
            if key not in answers:
                player.new_game(0)
                answers[key] = player.judge(session).action
            moves = [answers[key]]
        else:
            moves = np.flatnonzero(session.legal_mask()).tolist()
        for action in moves:
            after = Session(game, options, session.state)
            after.play(int(action))
            waiting.append(after)
    return lost


def test_tic_tac_toe_is_never_lost(make_trainer: MakeTrainer) -> None:
    run = train(make_trainer, total_steps=40_000, evaluate_every=40_000, evaluate_episodes=20)
    (evaluation,) = run.folder.read_jsonl("evaluations.jsonl")
    assert evaluation["score/random"] > 0.7
    assert evaluation["elo/elo"] > 100

    player = ZeroPlayer(run.folder.path, ZeroPlayerOptions(visits=50), threads=1)
    assert losses(player, 0) == 0
    assert losses(player, 1) == 0
    start = Session(load_game("tic-tac-toe"), TicTacToeOptions())
    player.new_game(0)
    assert abs(player.judge(start).value) < 0.2

    # One visit a move is the network alone.
    alone = ZeroPlayer(run.folder.path, ZeroPlayerOptions(visits=1), threads=1)
    assert losses(alone, 0) <= 20
    assert losses(alone, 1) <= 20


@pytest.mark.parametrize("concurrent_ticks", [0, 4])
def test_a_resumed_run_equals_one_that_was_never_stopped(
    make_trainer: MakeTrainer, concurrent_ticks: int
) -> None:
    options = {"evaluate_every": 0, "seed": 4, "concurrent_ticks": concurrent_ticks}
    whole = train(make_trainer, "whole", total_steps=2_560, **options)
    config = whole.agent.agent.config  # type: ignore[attr-defined]
    run = replace(config.run, total_steps=1_280)
    half = make_trainer("zero", replace(config, run=run), "half")
    # The schedules must run to the same end.
    half.agent.agent.config = config  # type: ignore[attr-defined]
    half.run()
    resumed = make_trainer("zero", config, "half")
    assert resumed.agent_steps == 1_280
    resumed.run()
    wanted, found = (one.agent.state_dict() for one in (whole, resumed))
    assert wanted["learner"]["updates"] == found["learner"]["updates"] > 10
    for name, weight in wanted["newest"].items():
        assert torch.equal(weight, found["newest"][name]), name
    for one, other in zip(wanted["agent"]["games"], found["agent"]["games"], strict=True):
        assert one["moves"].tolist() == other["moves"].tolist()


def test_damaged_games_are_named_and_left_out(make_trainer: MakeTrainer, tmp_path: Path) -> None:
    options = {"evaluate_every": 0, "seed": 5}
    whole = train(make_trainer, "whole", total_steps=1_280, **options)
    store = whole.agent.agent.store  # type: ignore[attr-defined]
    listed = store.checkpoint() | {"window_games": 1 << 30}
    games = store.total_games
    (path,) = (whole.folder.replay).glob("games-*")
    said: list[str] = []
    fresh = GameStore(store.game, store.options, whole.folder.replay, said.append)
    fresh.restore(listed)
    assert len(fresh.games) == games and not said

    content = bytearray(path.read_bytes())
    # Moves lie after the table of games and before the rows, the widest numbers first.
    moves = fresh.games[0].moves
    place = content.index(np.concatenate([game.moves for game in fresh.games]).tobytes()[:64])
    assert moves[0] != moves[1]
    content[place : place + 2] = content[place + 2 : place + 4]  # the first move twice
    path.write_bytes(content)
    fresh.restore(listed)
    assert len(fresh.games) == games - 1
    assert any(f"game 1 of {path}: move 2 is not legal" in line for line in said)

    said.clear()
    path.write_bytes(content[: len(content) // 2])
    fresh.restore(listed)
    assert not fresh.games
    assert len(said) == 1 and str(path) in said[0]
