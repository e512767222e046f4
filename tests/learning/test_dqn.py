"""DQN learns a task whose best score is known, and a stopped run equals one never stopped."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.dqn import build
from agents.dqn.agent import DQN
from agents.dqn.config import PRESETS, DQNConfig
from agents.dqn.policy import EpsilonGreedy
from core.config import RunConfig, resolve
from core.files import checkpoint
from core.files.run_folder import RunFolder
from core.lanes import FrameStack, ObservationSpec, first_step
from core.learner import Arithmetic
from core.report.progress import Progress
from core.trainer import Trainer

IDENTITY = {"agent": "dqn", "environment": "tengen/Catch"}
PLAIN = Arithmetic("cpu", threads=1)


def catch_config(**run: object) -> DQNConfig:
    config = resolve(DQNConfig, PRESETS["catch"][1])
    settings = {"progress": False, "video": False, "threads": 1, **run}
    return dataclasses.replace(config, run=dataclasses.replace(config.run, **settings))


def trainer_in(path: Path, config: DQNConfig) -> Trainer:
    folder = RunFolder(path)
    path.mkdir(exist_ok=True)
    built = build.build(config, folder.replay, lambda text: None, PLAIN)
    return Trainer(
        built.agent,
        built.task,
        config.run,
        folder,
        identity=IDENTITY,
        hyperparameters={},
        progress=Progress(False),
        arithmetic=PLAIN,
    )


def final_state(trainer: Trainer) -> dict[str, np.ndarray]:
    """Every array of the run: weights, optimiser, replay, lanes, counters."""
    state = checkpoint.load(trainer.folder.checkpoints).state
    flat: dict[str, np.ndarray] = {}

    def walk(name: str, part: object) -> None:
        if isinstance(part, dict):
            for key, value in part.items():
                walk(f"{name}/{key}", value)
        elif name not in ("/trainer/seconds",):
            flat[name] = np.asarray(part)

    walk("", state)
    return flat


def test_dqn_learns_to_catch(tmp_path: Path) -> None:
    config = catch_config(total_steps=14_000, evaluate_every=14_000, evaluate_episodes=100)
    trainer = trainer_in(tmp_path / "run", config)
    assert trainer.run() == "finished"
    assert trainer.last_evaluation is not None
    assert trainer.last_evaluation >= 0.9, "a random player scores about -0.4, a perfect one 1"
    trainer.agent.close()


@pytest.mark.parametrize("storage", ["ram", "mmap", "packed"])
def test_a_stopped_and_resumed_run_equals_the_uninterrupted_one(
    tmp_path: Path, storage: str
) -> None:
    config = dataclasses.replace(
        catch_config(total_steps=4_000, evaluate_every=1_500, evaluate_episodes=8),
        replay=storage,
        replay_capacity=2_000,
        update_every=12,
    )
    # In the middle of episodes, after learning began, between copies and evaluations.
    assert_resumes_exactly(tmp_path, config, 1_816)


def assert_resumes_exactly(tmp_path: Path, config: DQNConfig, stop: int) -> None:
    """A run stopped at that step and resumed equals one never stopped."""
    whole = trainer_in(tmp_path / "whole", config)
    whole.run()

    part = dataclasses.replace(config, run=dataclasses.replace(config.run, total_steps=stop))
    first = trainer_in(
        tmp_path / "parts",
        dataclasses.replace(part, run=dataclasses.replace(part.run, evaluate_every=0)),
    )
    first.run()
    first.agent.close()
    torch.manual_seed(999)  # whatever happened in the process meanwhile must not matter
    second = trainer_in(tmp_path / "parts", config)
    second.restore(checkpoint.load(second.folder.checkpoints).state)
    second.run()

    expected, got = final_state(whole), final_state(second)
    ours = {
        name
        for name in expected
        if not name.startswith(("/trainer/evaluated", "/trainer/last_ev", "/trainer/best_ev"))
    }
    assert ours <= set(got)
    differing = [name for name in sorted(ours) if not np.array_equal(expected[name], got[name])]
    assert differing == []
    scores = [
        [e["return"] for e in trainer.folder.read_jsonl("episodes.jsonl")]
        for trainer in (whole, second)
    ]
    assert scores[0] == scores[1]


def test_the_same_seed_gives_the_same_run_and_another_seed_another(tmp_path: Path) -> None:
    def weights(seed: int, name: str) -> np.ndarray:
        trainer = trainer_in(
            tmp_path / name, catch_config(total_steps=2_000, evaluate_every=0, seed=seed)
        )
        trainer.run()
        return trainer.agent.agent.online.torso.hidden[0].weight.detach().numpy().copy()

    first = weights(1, "a")
    np.testing.assert_array_equal(first, weights(1, "b"))
    assert not np.array_equal(first, weights(2, "c"))


def test_evaluation_does_not_change_training(tmp_path: Path) -> None:
    def weights(every: int, name: str) -> np.ndarray:
        trainer = trainer_in(
            tmp_path / name,
            catch_config(total_steps=2_000, evaluate_every=every, evaluate_episodes=4),
        )
        trainer.run()
        return trainer.agent.agent.online.advantage.weight.detach().numpy().copy()

    np.testing.assert_array_equal(weights(0, "never"), weights(300, "often"))


def test_acting_does_not_round_the_difference_between_actions_away() -> None:
    """In bf16 both values are 1.0, and the first of equals would be taken."""
    network = torch.nn.Linear(1, 2)
    with torch.no_grad():
        network.weight.fill_(0.0)
        network.bias.copy_(torch.tensor([1.0, 1.001]))
    spec = ObservationSpec((1,), "float32")
    arithmetic = Arithmetic("cpu", bf16=True)
    rng = np.random.default_rng(0)
    policy = EpsilonGreedy(network, FrameStack(spec, 3), 2, arithmetic, rng)
    step = first_step(np.zeros((3, 1), dtype=np.float32))
    assert policy.act(step).tolist() == [1, 1, 1]


@pytest.mark.parametrize("after_warmup", [True, False])
def test_exploration_falls_from_the_warm_up_or_from_the_start(
    tmp_path: Path, after_warmup: bool
) -> None:
    config = dataclasses.replace(
        catch_config(),
        warmup_steps=1_000,
        epsilon_decay_steps=2_000,
        epsilon_end=0.0,
        epsilon_after_warmup=after_warmup,
    )
    agent = trainer_in(tmp_path / "run", config).agent.agent
    step = agent.lanes.reset(0)
    seen = []
    for agent_steps in (0, 999, 1_000, 2_000, 3_000):
        agent.act(step, agent_steps)
        seen.append(agent.actor.epsilon)
    assert seen == ([1, 1, 1, 0.5, 0] if after_warmup else [1, 1, 0.5, 0, 0])
    at_once = dataclasses.replace(config, epsilon_decay_steps=0)
    agent = trainer_in(tmp_path / "other", at_once).agent.agent
    for agent_steps, epsilon in ((0, 1.0), (999, 1.0), (1_000, 0.0)):
        agent.act(step, agent_steps)
        assert agent.actor.epsilon == epsilon


def test_updates_keep_pace_with_steps(tmp_path: Path) -> None:
    config = catch_config(total_steps=3_000, evaluate_every=0)
    trainer = trainer_in(tmp_path / "run", config)
    trainer.run()
    due = (3_000 - config.lanes - config.warmup_steps) // config.update_every
    assert trainer.agent.agent.learner.updates == due


def test_updates_may_come_in_bursts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = dataclasses.replace(
        catch_config(total_steps=2_000, evaluate_every=0), update_every=2, updates_at_once=20
    )
    trainer = trainer_in(tmp_path / "run", config)
    counts = {0}
    real = type(trainer.agent.agent).observe

    def observe(agent: DQN, *arguments: object) -> None:
        counts.add(agent.learner.updates)
        real(agent, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(DQN, "observe", observe)
    trainer.run()
    assert sorted(counts) == list(range(0, 481, 20)), "one policy for 40 steps"


def lengthened(config: DQNConfig, total_steps: int) -> DQNConfig:
    return dataclasses.replace(
        config, run=RunConfig(**{**vars(config.run), "total_steps": total_steps})
    )


def test_a_run_that_lost_its_replay_warms_up_again(tmp_path: Path) -> None:
    config = catch_config(total_steps=2_000, evaluate_every=0)
    first = trainer_in(tmp_path / "run", config)
    first.run()
    made = first.agent.agent.learner.updates
    trainer = trainer_in(tmp_path / "run", lengthened(config, 3_400))
    trainer.restore(checkpoint.load(trainer.folder.checkpoints).state, fresh_replay=True)
    assert trainer.agent.agent.replay.size == 0
    assert trainer.run() == "finished"
    due = (1_400 - config.lanes - config.warmup_steps) // config.update_every
    assert trainer.agent.agent.learner.updates - made == due


def test_a_replay_that_is_not_saved_costs_no_disk_and_a_warm_up(tmp_path: Path) -> None:
    config = dataclasses.replace(
        catch_config(total_steps=2_000, evaluate_every=0), save_replay=False
    )
    first = trainer_in(tmp_path / "run", config)
    first.run()
    assert not list(first.folder.replay.iterdir())
    trainer = trainer_in(tmp_path / "run", lengthened(config, 2_400))
    trainer.restore(checkpoint.load(trainer.folder.checkpoints).state)
    assert trainer.run() == "finished"
    assert trainer.agent.agent.learner.updates == first.agent.agent.learner.updates
    assert trainer.agent.agent.replay.size == 400


def test_a_run_stops_at_the_score_that_was_wanted(tmp_path: Path) -> None:
    config = catch_config(
        total_steps=20_000, evaluate_every=200, evaluate_episodes=4, stop_at_score=-1.0
    )
    trainer = trainer_in(tmp_path / "run", config)
    assert trainer.run() == "finished"
    assert trainer.agent_steps == 200


def test_a_memory_as_small_as_the_warm_up_learns(tmp_path: Path) -> None:
    """Capacity and lanes leave a rest: it is never quite as full as its capacity."""
    config = dataclasses.replace(
        catch_config(total_steps=2_000, evaluate_every=0), lanes=16, replay_capacity=1_000
    )
    trainer = trainer_in(tmp_path / "run", config)
    trainer.run()
    assert trainer.agent.agent.learner.updates > 200


@pytest.mark.parametrize("storage", ["ram", "mmap", "packed"])
def test_a_replay_that_an_earlier_version_saved_is_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, storage: str
) -> None:
    """Its ring on disk was shorter; the resumed run keeps to that."""
    config = dataclasses.replace(
        catch_config(total_steps=2_000, evaluate_every=0),
        replay=storage,
        replay_capacity=1_500,
        update_every=50,
    )
    with monkeypatch.context() as earlier:
        earlier.setattr(build, "HEADROOM", 500)
        trainer_in(tmp_path / "run", config).run()
    trainer = trainer_in(tmp_path / "run", lengthened(config, 5_000))
    trainer.restore(checkpoint.load(trainer.folder.checkpoints).state)
    assert trainer.agent.agent.replay.dropped == 0
    assert trainer.run() == "finished"
    assert checkpoint.load(trainer.folder.checkpoints).state["replay"]["form"]["rows"] < 300
