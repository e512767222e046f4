"""REINFORCE learns, in the Trainer that every agent shares."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from agents.reinforce.build import build_policy
from agents.reinforce.config import DEFAULT_PRESET, PRESETS, ReinforceConfig
from core.config import resolve
from core.evaluation import play_episodes
from core.files import checkpoint
from core.trainer import Trainer
from envs.gymnasium.config import GymnasiumConfig
from envs.make import make_lanes

MakeTrainer = Callable[..., Trainer]


def test_cartpole_is_solved(make_trainer: MakeTrainer) -> None:
    config = resolve(ReinforceConfig, PRESETS[DEFAULT_PRESET][1])
    steps = config.run.total_steps
    trainer = make_trainer(
        "reinforce", config, seed=1, checkpoint_seconds=1e9, evaluate_every=steps
    )
    assert trainer.run() == "finished"
    (evaluation,) = trainer.folder.read_jsonl("evaluations.jsonl")
    assert len(evaluation["scores"]) == 100
    assert np.mean(evaluation["scores"]) >= 475

    # The checkpoint alone plays the same game.
    weights = checkpoint.load(trainer.folder.checkpoints).state["network"]
    lanes = make_lanes(config.env, 4, config.atari)
    policy = build_policy(config, lanes, weights, seed=0, device="cpu")
    assert np.mean([e.score for e in play_episodes(lanes, policy, 8, seed=3)]) >= 475


def test_resume_restores_episodes_and_starts_lanes_anew(make_trainer: MakeTrainer) -> None:
    config = ReinforceConfig(lanes=3, episodes_per_update=50)
    first = make_trainer("reinforce", config, total_steps=600, evaluate_every=0)
    first.run()
    assert len(first.agent.agent.episodes.finished) > 3  # type: ignore[attr-defined]
    resumed = make_trainer("reinforce", config, total_steps=6000, evaluate_every=0)
    kept = resumed.agent.state_dict()["episodes"]
    before = first.agent.state_dict()["episodes"]
    assert len(kept["finished"]) == len(before["finished"])
    for mine, theirs in zip(kept["finished"], before["finished"], strict=True):
        for name in ("frames", "action", "reward"):
            np.testing.assert_array_equal(mine[name], theirs[name])
    assert kept["length"].tolist() == [0, 0, 0]
    assert resumed.run() == "finished"
    assert resumed.agent.agent.learner.updates > 0  # type: ignore[attr-defined]


def test_a_resume_without_its_experience_goes_on_with_no_half_episodes(
    make_trainer: MakeTrainer,
) -> None:
    config = ReinforceConfig(lanes=3, episodes_per_update=50)
    first = make_trainer("reinforce", config, total_steps=600, evaluate_every=0)
    first.run()
    assert first.agent.agent.episodes._length.any()  # type: ignore[attr-defined]
    first.restore(checkpoint.load(first.folder.checkpoints).state, fresh_replay=True)
    assert not first.agent.agent.episodes._length.any()  # type: ignore[attr-defined]


@pytest.mark.parametrize("separate_baseline", [True, False])
def test_resume_equals_an_uninterrupted_run(
    make_trainer: MakeTrainer, separate_baseline: bool
) -> None:
    config = ReinforceConfig(
        env="tengen/Catch", lanes=3, episodes_per_update=5, separate_baseline=separate_baseline
    )
    whole = make_trainer("reinforce", config, "whole", total_steps=900, evaluate_every=0)
    whole.run()
    first = make_trainer("reinforce", config, "cut", total_steps=900, evaluate_every=0)
    first._start()
    while first.agent_steps < 400:
        first._advance()
    first.save()
    resumed = make_trainer("reinforce", config, "cut", total_steps=900, evaluate_every=0)
    assert resumed.agent_steps == first.agent_steps
    resumed.run()
    for name, tensor in whole.agent.state_dict()["network"].items():
        assert tensor.equal(resumed.agent.state_dict()["network"][name]), name
    assert (
        whole.folder.read_jsonl("episodes.jsonl")[-1]["return"]
        == resumed.folder.read_jsonl("episodes.jsonl")[-1]["return"]
    )


def test_workers_change_nothing_but_the_speed(make_trainer: MakeTrainer) -> None:
    finished = []
    for workers in (0, 2):
        config = ReinforceConfig(
            lanes=3, episodes_per_update=5, gymnasium=GymnasiumConfig(env_workers=workers)
        )
        trainer = make_trainer(
            "reinforce",
            config,
            f"{workers} workers",
            evaluate_episodes=4,
            total_steps=600,
            evaluate_every=600,
        )
        assert trainer.run() == "finished"
        trainer.agent.close()
        finished.append(trainer)
    one, other = finished
    for name, tensor in one.agent.state_dict()["network"].items():
        assert tensor.equal(other.agent.state_dict()["network"][name]), name
    scores = [run.folder.read_jsonl("evaluations.jsonl")[-1]["scores"] for run in finished]
    assert scores[0] == scores[1]
