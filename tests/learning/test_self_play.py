"""A policy and value agent learns Tic-tac-toe from games against itself, on the trainer of all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from core.agent import Assessment, Task
from core.config import RunConfig
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.lane_agent import OnLanes
from core.learner import Arithmetic
from core.report.progress import Progress
from core.trainer import Trainer
from envs.games.lanes import GameLanes
from envs.games.options import TicTacToeOptions
from envs.games.registry import load_game
from tests.learning.self_play import SelfPlay, against_random

LANES = 64


def boards(lanes: int) -> GameLanes:
    return GameLanes(load_game("tic-tac-toe"), TicTacToeOptions(), lanes)


def trainer_in(path: Path, steps: int) -> Trainer:
    path.mkdir(exist_ok=True)
    folder = RunFolder(path)
    torch.set_num_threads(1)
    agent = SelfPlay(boards(LANES), folder.replay)

    def evaluate(agent_steps: int, seed: int, stop: object) -> Assessment:
        scores = against_random(agent, boards(400), seed=agent_steps)
        return Assessment(scores, float(np.mean(scores)), {}, "against random")

    task = Task("tic-tac-toe", "", 1, evaluate, lambda score: None)
    config = RunConfig(
        total_steps=steps, evaluate_every=steps, checkpoint_seconds=1e9, progress=False, video=False
    )
    return Trainer(
        OnLanes(agent, config.seed), task, config, folder, identity={}, hyperparameters={},
        progress=Progress(False), arithmetic=Arithmetic(),
    )  # fmt: skip


def test_it_hardly_loses_against_random_play(tmp_path: Path) -> None:
    trainer = trainer_in(tmp_path / "run", 64_000)
    assert trainer.run() == "finished"
    (evaluation,) = trainer.folder.read_jsonl("evaluations.jsonl")
    scores = np.array(evaluation["scores"])
    assert len(scores) == 400
    assert (scores == -1).mean() < 0.05, "a random player loses four games of ten"
    assert scores.mean() > 0.8


def test_a_resumed_run_equals_one_that_was_never_stopped(tmp_path: Path) -> None:
    whole = trainer_in(tmp_path / "whole", 6_400)
    whole.run()
    first = trainer_in(tmp_path / "cut", 6_400)
    first._start()
    while first.agent_steps < 3_264:  # 51 ticks: in the middle of games
        first._advance()
    first.save()
    for _ in range(10):  # lost with the interruption
        first._advance()
    resumed = trainer_in(tmp_path / "cut", 6_400)
    resumed.restore(checkpoint.load(resumed.folder.checkpoints).state)
    assert resumed.agent_steps == 3_264
    resumed.run()
    mine, theirs = (one.agent.state_dict() for one in (resumed, whole))
    assert mine["learner"]["updates"] == theirs["learner"]["updates"] > 50
    for name, tensor in theirs["network"].items():
        assert tensor.equal(mine["network"][name]), name
    for name, column in theirs["replay"]["columns"].items():
        np.testing.assert_array_equal(column, mine["replay"]["columns"][name])
