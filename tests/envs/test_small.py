"""The small worlds: exact continuation, known scores, and the table against simulation."""

from __future__ import annotations

import copy

import numpy as np
import pytest

from core.errors import UserError
from core.evaluation import play_episodes
from core.lanes import Step
from envs.small import CatchLanes, GridLanes, make_small


def play_random(lanes: CatchLanes | GridLanes, ticks: int, seed: int) -> list[Step]:
    rng = np.random.default_rng(seed)
    steps = []
    for _ in range(ticks):
        lanes.send(rng.integers(0, lanes.num_actions, lanes.num_lanes))
        steps.append(lanes.receive())
    return steps


def equal(left: list[Step], right: list[Step]) -> bool:
    names = ("observation", "reward", "terminated", "truncated", "life_lost", "valid")
    return all(
        np.array_equal(getattr(a, name), getattr(b, name))
        for a, b in zip(left, right, strict=True)
        for name in names
    )


@pytest.mark.parametrize("env_id", ["tengen/Catch", "tengen/Grid"])
@pytest.mark.parametrize("played", [1, 7, 11, 12, 40])
def test_saved_lanes_go_on_exactly(env_id: str, played: int) -> None:
    lanes = make_small(env_id, 3)
    assert isinstance(lanes, CatchLanes | GridLanes)
    assert lanes.restorable
    lanes.reset(1)
    play_random(lanes, played, seed=2)
    state = lanes.state_dict()
    kept = copy.deepcopy(state)
    expected = play_random(lanes, 60, seed=3)
    assert np.any([step.done for step in expected])
    other = type(lanes)(3)
    other.reset(99)
    other.load_state_dict(state)
    assert equal(play_random(other, 60, seed=3), expected)
    other.load_state_dict(state)  # neither lanes touched what was saved
    assert equal(play_random(other, 60, seed=3), expected)
    assert str(state) == str(kept)


@pytest.mark.parametrize("env_id", ["tengen/Catch", "tengen/Grid"])
def test_seeds_and_the_next_step_contract(env_id: str) -> None:
    lanes = make_small(env_id, 4)
    first = lanes.reset(0)
    assert first.first.all()
    runs = []
    for seed in (0, 0, 1):
        lanes.reset(seed)
        runs.append(play_random(lanes, 80, seed=5))  # type: ignore[arg-type]
    assert equal(runs[0], runs[1])
    assert not equal(runs[0], runs[2])
    done = np.zeros(4, dtype=bool)
    for step in runs[0]:
        assert np.array_equal(step.valid, ~done)
        assert not step.reward[~step.valid].any()
        assert not step.done[~step.valid].any()
        assert step.observation.shape == (4, *lanes.observation_spec.shape)
        assert step.observation.dtype == lanes.observation_spec.dtype
        done = step.done
    with pytest.raises(ValueError, match="actions"):
        lanes.send(np.full(4, lanes.num_actions))


class CatchPlayer:
    """Reads ball and paddle off the screen and runs to where the ball will land."""

    def act(self, step: Step) -> np.ndarray:
        actions = []
        for lane, screen in enumerate(step.observation):
            rows, columns = np.nonzero(screen == 255)
            row, column = int(rows[0]), int(columns[0])
            if step.first[lane]:
                self.last = {**getattr(self, "last", {}), lane: column}
            drift = column - self.last[lane]
            self.last[lane] = column
            for _ in range(screen.shape[0] - 1 - row):
                if not 0 <= column + drift < screen.shape[1]:
                    drift = -drift
                column += drift
            paddle = np.nonzero(screen[-1] == 128)[0]
            centre = 1 if row == screen.shape[0] - 1 else int(paddle.mean())
            actions.append(1 + np.sign(np.clip(column, 1, screen.shape[1] - 2) - centre))
        return np.array(actions)


class RandomPlayer:
    def __init__(self, actions: int, lanes: int) -> None:
        self.rng, self.actions, self.lanes = np.random.default_rng(0), actions, lanes

    def act(self, step: Step) -> np.ndarray:
        return self.rng.integers(0, self.actions, self.lanes)


def test_catch_scores() -> None:
    perfect = play_episodes(CatchLanes(8), CatchPlayer(), 200, seed=0)
    assert {episode.score for episode in perfect} == {1.0}
    assert {episode.length_steps for episode in perfect} == {11}
    scores = [e.score for e in play_episodes(CatchLanes(50), RandomPlayer(3, 50), 2000, seed=0)]
    assert set(scores) == {-1.0, 1.0}
    # Three of ten columns are caught; the paddle is less often at the walls than the ball.
    assert np.mean(scores) == pytest.approx(-0.4, abs=0.12)


def test_grid_table_agrees_with_simulation() -> None:
    lanes = GridLanes(200)
    probability, reward, ends = lanes.transitions()
    np.testing.assert_allclose(probability.sum(axis=2), 1.0)
    assert (reward[ends] != -0.02).all()
    count = np.zeros_like(probability)
    cell = lanes.reset(0).observation[:, 0]
    assert not ends[cell].any()
    rng = np.random.default_rng(1)
    for _ in range(1500):
        actions = rng.integers(0, 4, 200)
        lanes.send(actions)
        step = lanes.receive()
        went = step.observation[:, 0]
        valid = step.valid
        np.add.at(count, (cell[valid], actions[valid], went[valid]), 1)
        assert np.array_equal(step.reward[valid], reward[went[valid]])
        assert np.array_equal(step.terminated, valid & ends[went])
        cell = went
    visits = count.sum(axis=2)
    seen = visits > 300
    assert seen.sum() == 4 * sum(row.count(".") for row in lanes.ROWS)
    frequency = count[seen] / visits[seen][:, None]
    spread = np.sqrt(probability[seen] * (1 - probability[seen]) / visits[seen][:, None])
    assert (np.abs(frequency - probability[seen]) <= 5 * spread).all()


def test_grid_moves_by_hand() -> None:
    """From the top left: up is a wall, right is cell 1, down is cell 5."""
    probability = GridLanes(1).transitions()[0]
    assert probability[0, 0, [0, 1]].tolist() == pytest.approx([0.95, 0.05])  # left slip: wall
    assert probability[0, 1, [1, 0, 5]].tolist() == pytest.approx([0.9, 0.05, 0.05])
    assert probability[1, 2, [1, 0, 2]].tolist() == pytest.approx([0.9, 0.05, 0.05])  # onto '#'


def test_unknown_worlds_are_refused() -> None:
    with pytest.raises(UserError, match="did you mean 'tengen/Catch'"):
        make_small("tengen/Cath", 1)
