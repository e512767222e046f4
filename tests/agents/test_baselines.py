"""stable-baselines3 on our lanes, against slow versions of what it must see."""

from __future__ import annotations

import base64
import json
import pickle
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import ale_py
import gymnasium
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3 import PPO
from stable_baselines3.common.atari_wrappers import (
    ClipRewardEnv,
    EpisodicLifeEnv,
    FireResetEnv,
    MaxAndSkipEnv,
)
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv, VecFrameStack

from agents.baselines.config import SB3DQNConfig, SB3PPOConfig
from agents.baselines.policy import SB3Policy, load_sb3_policy
from agents.baselines.vec_env import LanesVecEnv
from agents.registry import AGENTS
from commands.options import ResumeOptions
from commands.saved import saved_config
from commands.session import resume_training, start_training
from core.config import RunConfig
from core.errors import UserError
from core.evaluation import play_episodes
from core.lanes import ObservationSpec, Step, check_actions, first_step
from envs.atari.lanes import AtariLanes
from envs.atari.protocol import PROTOCOLS, AtariConfig
from envs.gymnasium.config import GymnasiumConfig
from envs.make import make_lanes
from tests.envs.slow_atari import area_resize


class Game:
    """One lane that plays a script: per episode its rewards, the steps that lose a life, and
    whether it is cut off. Every pixel of a frame is the number of frames shown so far."""

    num_lanes, num_actions, restorable, overlaps = 1, 2, False, False
    observation_spec = ObservationSpec((6, 5), "uint8", 3)

    def __init__(self, script: list[tuple[list[float], set[int], bool]]) -> None:
        self.script = script

    def _frame(self) -> np.ndarray:
        self.shown += 1
        return np.full((1, 6, 5), self.shown, dtype=np.uint8)

    def reset(self, seed: int) -> Step:
        self.shown, self.episode, self.time = 0, 0, 0
        return first_step(self._frame())

    def send(self, actions: np.ndarray) -> None:
        check_actions(actions, 1, self.num_actions)

    def receive(self) -> Step:
        rewards, lives, cut = self.script[self.episode % len(self.script)]
        if self.time == len(rewards):
            self.episode, self.time = self.episode + 1, 0
            return first_step(self._frame())
        ended = self.time == len(rewards) - 1
        flags = [ended and not cut, ended and cut, self.time in lives, True, False]
        step = Step(self._frame(), np.array([rewards[self.time]]), *(np.array([f]) for f in flags))
        self.time += 1
        return step

    def close(self) -> None:
        self.closed = True


SCRIPT = [([3.0, -2.0, 0.0, 5.0], {1}, False), ([0.5], set(), True), ([-4.0, 0.0], set(), False)]


def expected(lives_end: bool) -> Iterator[dict[str, Any]]:
    """What SAME_STEP autoreset shows of SCRIPT, written out from the script alone."""
    frame = 1
    for rewards, lives, cut in SCRIPT * 2:
        frames = [frame]
        for t, reward in enumerate(rewards):
            frame += 1
            frames.append(frame)
            stack = ([0, 0, *frames])[-3:]
            ended = t == len(rewards) - 1
            row = {
                "reward": np.sign(reward),
                "done": ended or (lives_end and t in lives),
                "truncated": ended and cut,
                "terminal": stack,
                "seen": stack,
                "score": sum(rewards) if ended else None,
                "length": len(rewards),
            }
            if ended:
                frame += 1
                row["seen"] = [0, 0, frame]
            yield row


@pytest.mark.parametrize("lives_end", [False, True])
def test_an_episode_and_the_next_ones_first_frame_arrive_in_one_step(lives_end: bool) -> None:
    env = LanesVecEnv(lambda lane: Game(SCRIPT), 2, clip_rewards=True, life_loss_terminal=lives_end)
    first = env.reset()
    assert first.shape == (2, 3, 6, 5) and env.observation_space.contains(first[0])
    for row in expected(lives_end):
        observation, reward, done, infos = env.step(np.array([0, 1]))
        for lane in range(2):
            info = infos[lane]
            assert observation[lane, :, 0, 0].tolist() == row["seen"]
            assert (observation[lane] == observation[lane, :, :1, :1]).all()
            assert (reward[lane], done[lane]) == (row["reward"], row["done"])
            assert info["TimeLimit.truncated"] == row["truncated"]
            assert ("terminal_observation" in info) == row["done"]
            if row["done"]:
                assert info["terminal_observation"][:, 0, 0].tolist() == row["terminal"]
            assert ("episode" in info) == (row["score"] is not None)
            if "episode" in info:
                assert (info["episode"]["r"], info["episode"]["l"]) == (row["score"], row["length"])


class Shrunk(gymnasium.ObservationWrapper[Any, Any, Any]):
    """Grey screens to 84x84: `WarpFrame` without OpenCV."""

    observation_space = spaces.Box(0, 255, (84, 84, 1), np.uint8)

    def observation(self, observation: np.ndarray) -> np.ndarray:
        return area_resize(observation).astype(np.uint8)[:, :, None]


def wrapped_by_stable_baselines3() -> Any:
    gymnasium.register_envs(ale_py)
    env = gymnasium.make("BreakoutNoFrameskip-v4", obs_type="grayscale")
    env = FireResetEnv(EpisodicLifeEnv(MaxAndSkipEnv(Monitor(env))))
    return ClipRewardEnv(Shrunk(env))


def test_atari_under_sb3_is_the_librarys_own_wrappers() -> None:
    """FIRE after every lost life, and stacks that start anew there; over a whole game."""
    protocol = replace(PROTOCOLS["sb3"], noop_max=0)
    ours = LanesVecEnv(
        lambda lane: AtariLanes("ALE/Breakout-v5", 1, protocol, threads=1),
        1,
        clip_rewards=True,
        life_loss_terminal=True,
    )
    theirs = VecFrameStack(DummyVecEnv([wrapped_by_stable_baselines3]), 4)
    observation, wanted = ours.reset(), theirs.reset()
    assert isinstance(wanted, np.ndarray)
    rng = np.random.default_rng(0)
    scores, lives = [], 0
    while not scores:
        difference = observation.astype(int) - np.moveaxis(wanted, -1, 1)
        assert np.abs(difference).max() <= 1
        action = rng.integers(0, 4, 1)
        observation, reward, done, (info,) = ours.step(action)
        wanted, wanted_reward, wanted_done, (wanted_info,) = theirs.step(action)
        assert (reward[0], done[0]) == (wanted_reward[0], wanted_done[0])
        lives += int(done[0])
        assert ("episode" in info) == ("episode" in wanted_info)
        if "episode" in info:
            scores.append((info["episode"]["r"], wanted_info["episode"]["r"]))
    assert lives == 5 and scores[0][0] == scores[0][1]
    ours.close()


def test_cartpole_is_gymnasiums_own_with_its_time_limit() -> None:
    env = LanesVecEnv(
        lambda lane: make_lanes("CartPole-v1", 1, AtariConfig()),
        1,
        clip_rewards=False,
        life_loss_terminal=False,
    )
    (seed,) = env.seed(3)
    truth = gymnasium.make("CartPole-v1")
    shown, _ = truth.reset(seed=int(np.random.SeedSequence(seed).generate_state(1)[0]))
    observation = env.reset()
    kinds = set()
    for tick in range(700):
        np.testing.assert_array_equal(observation[0], shown)
        # Balances for the whole 500 steps at first, then lets the pole fall.
        action = int(shown[2] + shown[3] > 0) if tick < 500 else 0
        shown, reward, terminated, truncated, _ = truth.step(action)
        observation, rewards, dones, infos = env.step(np.array([action]))
        assert (rewards[0], dones[0]) == (reward, terminated or truncated)
        assert infos[0]["TimeLimit.truncated"] == (truncated and not terminated)
        if dones[0]:
            np.testing.assert_array_equal(infos[0]["terminal_observation"], shown)
            kinds.add((terminated, truncated))
            shown, _ = truth.reset()
    assert kinds == {(True, False), (False, True)}


def catch_env(lanes: int) -> LanesVecEnv:
    return LanesVecEnv(
        lambda lane: make_lanes("tengen/Catch", 1, AtariConfig()),
        lanes,
        clip_rewards=True,
        life_loss_terminal=False,
    )


def test_that_librarys_evaluation_and_ours_give_the_same_scores() -> None:
    env = catch_env(2)
    model = PPO("MlpPolicy", env, seed=5, n_steps=8, batch_size=8, device="cpu")
    seeds = env.seed(11)
    theirs, lengths = evaluate_policy(
        model, env, 20, deterministic=True, return_episode_rewards=True
    )
    ours = []
    for seed in seeds:
        lanes = make_lanes("tengen/Catch", 1, AtariConfig())
        policy = SB3Policy(model, lanes, np.random.default_rng(0))
        ours.append([e.score for e in play_episodes(lanes, policy, 10, seed)])
    # Every game is as long as any other, so both lanes finish each in turn.
    assert theirs == [score for pair in zip(*ours, strict=True) for score in pair]
    assert set(theirs) == {-1.0, 1.0} and set(lengths) == {11}


def run_config(folder: Path, total_steps: int) -> RunConfig:
    return RunConfig(
        total_steps=total_steps,
        run_dir=str(folder),
        device="cpu",
        threads=1,
        evaluate_every=100,
        evaluate_episodes=3,
        log_seconds=1e-3,
        progress=False,
    )


@pytest.mark.parametrize("name", ["sb3-ppo", "sb3-dqn"])
def test_a_run_is_recorded_like_ours_and_goes_on_when_trusted(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    config = {
        "sb3-ppo": SB3PPOConfig(
            env="tengen/Catch", lanes=2, n_steps=32, batch_size=32, run=run_config(folder, 256)
        ),
        "sb3-dqn": SB3DQNConfig(
            env="tengen/Catch",
            lanes=2,
            learning_starts=64,
            buffer_size=512,
            run=run_config(folder, 256),
        ),
    }[name]
    run = start_training(AGENTS[name], config, "", ["test"])
    assert run.read_meta()["agent"] == name and saved_config(run) == (AGENTS[name], config)
    assert (run.read_status()["state"], run.read_status()["agent_steps"]) == ("finished", 256)
    episodes = run.read_jsonl("episodes.jsonl")
    assert len(episodes) == 2 * (128 // 11) and {e["length"] for e in episodes} == {11}
    assert {e["return"] for e in episodes} <= {-1.0, 1.0}
    evaluations = run.read_jsonl("evaluations.jsonl")
    assert [e["agent_steps"] for e in evaluations] == [100, 200, 256]
    assert all(len(e["scores"]) == 3 and e["mean"] == np.mean(e["scores"]) for e in evaluations)
    last = run.read_jsonl("metrics.jsonl")[-1]
    assert last["loss/td" if name == "sb3-dqn" else "loss/total"] is not None
    assert last["return/mean_100"] == pytest.approx(np.mean([e["return"] for e in episodes]))
    assert list(run.events.iterdir())

    def longer(entry: Any, saved: Any, trust: bool) -> tuple[Any, ResumeOptions]:
        run = replace(saved.run, total_steps=384, evaluate_every=0)
        return replace(saved, run=run), ResumeOptions(trust=trust)

    with pytest.raises(UserError, match="--trust"):
        resume_training(folder, lambda entry, saved: longer(entry, saved, False))
    assert run.read_status()["state"] == "finished"
    resume_training(folder, lambda entry, saved: longer(entry, saved, True))
    steps = [e["agent_steps"] for e in run.read_jsonl("episodes.jsonl")]
    assert steps[: len(episodes)] == [e["agent_steps"] for e in episodes]
    assert len(steps) > len(episodes) and steps == sorted(steps) and steps[-1] <= 384
    assert run.read_status()["agent_steps"] == 384


def test_numbered_states_are_seen_one_hot_and_workers_change_nothing(tmp_path: Path) -> None:
    env = LanesVecEnv(
        lambda lane: make_lanes("FrozenLake-v1", 1, AtariConfig()),
        2,
        clip_rewards=False,
        life_loss_terminal=False,
    )
    start = np.eye(16, dtype=np.float32)[[0, 0]]
    np.testing.assert_array_equal(env.reset(), start)
    assert env.observation_space.contains(start[0])
    played = []
    for workers in (0, 2):
        folder = tmp_path / str(workers)
        config = SB3PPOConfig(
            env="FrozenLake-v1",
            lanes=2,
            n_steps=32,
            batch_size=32,
            gymnasium=GymnasiumConfig(env_workers=workers),
            run=run_config(folder, 128),
        )
        run = start_training(AGENTS["sb3-ppo"], config, "", ["test"])
        played.append([(e["agent_steps"], e["return"]) for e in run.read_jsonl("episodes.jsonl")])
        assert len(run.read_jsonl("evaluations.jsonl")) == 2
    assert played[0] == played[1] and len(played[0]) > 5
    with pytest.raises(UserError, match="--env-workers must be 0 or as many as --lanes, 2"):
        replace(config, gymnasium=GymnasiumConfig(env_workers=1)).validate()


class WritesAFile:
    """What somebody could hide in an archive."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_no_archive_runs_code_unless_it_is_trusted(tmp_path: Path) -> None:
    mark, path = tmp_path / "was_here", tmp_path / "model.zip"
    hidden = base64.b64encode(pickle.dumps(WritesAFile(mark))).decode()
    options = dict.fromkeys(("exploration_final_eps", "target_update_interval"), 1)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(
            "data", json.dumps({**options, "train_freq": {":type:": "?", ":serialized:": hidden}})
        )
    lanes = make_lanes("tengen/Catch", 2, AtariConfig())
    with pytest.raises(UserError, match="--trust"):
        load_sb3_policy(path, lanes, trust=False, seed=0)
    assert not mark.exists()
    with pytest.raises(UserError, match="cannot be loaded"):
        load_sb3_policy(path, lanes, trust=True, seed=0)
    assert mark.exists()


def test_a_wrong_archive_is_one_line_and_a_right_one_acts(tmp_path: Path) -> None:
    model = PPO("MlpPolicy", catch_env(1), seed=5, n_steps=8, batch_size=8, device="cpu")
    path = tmp_path / "model.zip"
    model.save(path)
    catch = make_lanes("tengen/Catch", 4, AtariConfig())
    step = catch.reset(0)
    loaded = load_sb3_policy(path, catch, trust=True, seed=0).act(step)
    original = SB3Policy(model, catch, np.random.default_rng(0)).act(step)
    np.testing.assert_array_equal(loaded, original)
    with pytest.raises(UserError, match=r"uint8 \(2, 12, 10\).*float32 \(4,\)"):
        load_sb3_policy(path, make_lanes("CartPole-v1", 1, AtariConfig()), trust=True, seed=0)
    for name, content in {"text.zip": b"no", "empty.zip": b""}.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="no stable-baselines3 model"):
            load_sb3_policy(tmp_path / name, catch, trust=True, seed=0)
    with pytest.raises(UserError, match="cannot read"):
        load_sb3_policy(tmp_path / "absent.zip", catch, trust=True, seed=0)
