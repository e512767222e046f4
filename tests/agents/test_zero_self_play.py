"""Zero at work: self-play, giving up, passes, matches, the gate and the pool."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.zero.agent import REFRESH_EVERY, Zero
from agents.zero.assess import RandomSide, UctSide, anchor_names, play_match, rate
from agents.zero.build import assess_agent, build, pass_gate
from agents.zero.config import ZeroConfig
from agents.zero.self_play import GameInProgress, without_passes
from agents.zero.store import GameStore
from core.config import RunConfig, check
from core.errors import UserError
from core.lanes import Step
from core.learner import Arithmetic
from envs.games.lanes import GameLanes
from envs.games.options import ConnectFourOptions, TicTacToeOptions
from envs.games.registry import load_game
from search.tree_search import SearchResult


def small_config(**changes: Any) -> ZeroConfig:
    run = RunConfig(total_steps=1000, device="cpu", threads=1, precision="fp32", progress=False)
    options: dict[str, Any] = {
        "size": 5, "komi": 24.0, "lanes": 4, "blocks": 2, "channels": 8, "simulations": 4,
        "first_simulations": 4, "first_rows": 50, "batch_size": 16, "run": run,
    }  # fmt: skip
    return ZeroConfig(**(options | changes))


def small_agent(tmp_path: Path, **changes: Any) -> Zero:
    built = build(small_config(**changes), tmp_path, lambda text: None, Arithmetic())
    agent = built.agent.agent
    assert isinstance(agent, Zero)
    return agent


def self_play(agent: Zero, ticks: int) -> None:
    step = agent.lanes.reset(0)
    for tick in range(ticks):
        actions = agent.act(step, tick * agent.lanes.num_lanes)
        agent.lanes.send(actions)
        agent.learn(tick * agent.lanes.num_lanes)
        outcome = agent.lanes.receive()
        agent.observe(step, actions, outcome)
        step = outcome


# ------------------------------------------------------------------ self-play


def test_self_play_stores_games_and_learns(tmp_path: Path) -> None:
    agent = small_agent(tmp_path, komi_spread=2.0, opening_moves=2.0)
    self_play(agent, 160)
    assert agent.store.total_games > 4
    assert agent.learner.updates > 5
    komis = {record.komi for record in agent.store.games}
    assert len(komis) > 2 and all(abs(komi - 48) < 20 for komi in komis)
    metrics = agent.metrics()
    for tag in ("loss/total", "policy/divergence_from_target", "games/length",
                "speed/evaluations_per_second", "search/divergence_from_policy"):  # fmt: skip
        assert np.isfinite(metrics.scalars[tag]), tag
    assert metrics.images["games/last"].ndim == 3


def test_giving_up_ends_games_early_and_is_checked(tmp_path: Path) -> None:
    agent = small_agent(tmp_path, resign_below=0.9, resign_checked=0.5)
    self_play(agent, 60)
    resigned = [record for record in agent.store.games if record.resigned]
    assert resigned
    for record in resigned:
        # Nobody expects 0.9 of a game: the first player may give up at the second own move.
        assert len(record.moves) in (2, 3)
        assert record.outcome == (-1 if len(record.moves) % 2 == 0 else 1)
    notes: list[str] = []
    again = GameStore(agent.store.game, agent.store.options, agent.store.folder, notes.append)
    again.restore(agent.store.checkpoint())
    assert len(again.games) == len(agent.store.games) and not notes
    assert "games/wrong_resignations" in agent.metrics().scalars or not any(
        not record.resigned for record in agent.store.games
    )


def test_games_without_hope_are_searched_less_and_seldom_learned_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = small_agent(tmp_path, game="tic-tac-toe", simulations=8, first_simulations=8,
                        quick_simulations=2, first_rows=10_000)  # fmt: skip
    seen: list[np.ndarray] = []
    search = agent.boards[0].search.run

    def run(*given: Any, **named: Any) -> SearchResult:
        result = search(*given, **named)
        seen.append(result.visits.sum(axis=1))
        return result

    monkeypatch.setattr(agent.boards[0].search, "run", run)
    hopes = iter([1.0, 0.0, 0.5, 1.0] * 40)  # of four lanes
    monkeypatch.setattr(GameInProgress, "hope", lambda game, below, moves: next(hopes))
    self_play(agent, 40)
    assert np.unique(np.stack(seen), axis=0).tolist() == [[8, 2, 5, 8]]
    kept = sum(len(game.plies) for game in [*agent.store.games, *agent.boards[0].games])
    assert 0.55 < kept / 160 < 0.78  # (1 + 0.1 + 0.55 + 1) / 4 of 40 moves in four lanes


def test_simulations_double_at_equal_distances(tmp_path: Path) -> None:
    agent = small_agent(tmp_path, first_simulations=4, simulations=32)
    asked = [agent.simulations(step) for step in (0, 249, 250, 500, 749, 750, 1000, 5000)]
    assert asked == [4, 4, 8, 16, 16, 32, 32, 32]


def test_lanes_play_on_after_a_game_ends() -> None:
    lanes = GameLanes(load_game("tic-tac-toe"), TicTacToeOptions(), 2)
    step: Step = lanes.reset(0)
    assert step.first.all()
    for ply, action in enumerate((0, 3, 1, 4, 2)):
        lanes.send(np.array([action, 8 - action]))
        step = lanes.receive()
        assert step.valid.all()
        assert step.terminated.tolist() == [ply == 4] * 2
    assert step.reward.tolist() == [1, 1]
    assert not step.observation.any()
    lanes.send(np.array([0, 0]))
    step = lanes.receive()
    lanes.resign(np.array([True, False]))
    lanes.send(np.array([1, 1]))
    step = lanes.receive()
    assert step.terminated.tolist() == [True, False]
    assert step.reward.tolist() == [1, 0]  # the second player gave up
    with pytest.raises(UserError, match="this run needs"):
        lanes.load_state_dict({"states": np.zeros((1, 3), np.int32)})


# ------------------------------------------------------------------ matches


def test_matches_give_colours_in_turn_and_know_who_is_better() -> None:
    game, options = load_game("connect-four"), ConnectFourOptions()
    sides = [UctSide(game, options, 100, 0), RandomSide(game, options, 0)]
    results = play_match(game, options, sides[0], sides[1], 20, 0, lambda: False)
    assert results is not None and results.sum() >= 16
    turned = play_match(game, options, sides[1], sides[0], 20, 0, lambda: False)
    assert turned is not None and turned.sum() <= -16
    assert play_match(game, options, *sides, 4, 0, lambda: True) is None
    points = float((results + 1).sum() / 2)
    result = {"first": "uct", "second": "random", "points": points, "games": 20}
    ratings = rate([result], ["random", "uct"])
    assert ratings["random"] == (0, 0) and ratings["uct"][0] > 300


def test_anchors_are_checked() -> None:
    assert anchor_names("uct:50") == ["random", "uct:50"]
    assert anchor_names("uct:50, random uct:50") == ["random", "uct:50"]
    with pytest.raises(UserError, match="no anchor 'uct'"):
        anchor_names("uct")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"game": "chess"}, "no game 'chess'"),
        ({"size": 99}, "must be from 1 to 19"),
        ({"lanes": 0}, "--lanes must be at least 1"),
        ({"full_share": 0.0}, "--full-share"),
        ({"rows_per_new_row": 0.0}, "--rows-per-new-row"),
        ({"window_rows": 10}, "--window-rows"),
        ({"learning_rate": 2.0}, "--learning-rate"),
        ({"komi_spread": -1.0}, "--komi-spread"),
        ({"gate": 0.55, "run": RunConfig(evaluate_every=0)}, "--gate lets self-play have"),
    ],
)
def test_options_that_cannot_be_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(small_config(**changes))


def test_self_play_does_not_pass_early(tmp_path: Path) -> None:
    agent = small_agent(tmp_path, passes_from=12, lanes=16)
    # A network that would pass always.
    with torch.no_grad():
        assert agent.averaged.network.policy_others is not None
        agent.averaged.network.policy_others.bias.fill_(20.0)
    agent.play_averaged()
    agent.learner.update = lambda loss: None  # type: ignore[assignment]
    self_play(agent, 60)
    games = list(agent.store.games)
    assert games
    passing = 25
    for game in games:
        assert passing not in game.moves[:12]
        early = game.policies[game.plies < 12].astype(np.float32)
        assert (early[:, passing] == 0).all()
        np.testing.assert_allclose(early.sum(axis=1), 1, atol=0.01)
        assert passing in game.moves[12:]  # later it may


def test_a_forced_pass_stays_a_pass() -> None:
    policy = np.array([[0.0, 0.0, 1.0], [0.0, 0.0, 1.0], [0.2, 0.3, 0.5]], np.float32)
    priors = np.array([[0.0, 0.0, 1.0], [0.1, 0.3, 0.6], [0.1, 0.3, 0.6]], np.float32)
    nothing = np.zeros((3, 3), np.float32)
    found = SearchResult(
        np.array([2, 2, 2]), nothing, nothing, priors, policy, nothing[:, 0], nothing[:, 0]
    )
    result = without_passes(found, np.array([True, True, False]))
    assert result.actions.tolist() == [2, 1, 2]
    np.testing.assert_allclose(
        result.policy_target, [[0, 0, 1], [0.25, 0.75, 0], [0.2, 0.3, 0.5]], rtol=1e-6
    )


def test_gate_keeps_the_network_in_use_until_a_better_one_comes(tmp_path: Path) -> None:
    agent = small_agent(tmp_path, gate=0.55)
    agent.play_averaged()
    before = {name: value.clone() for name, value in agent.played.state_dict().items()}
    self_play(agent, 60)
    assert agent.learner.updates > REFRESH_EVERY

    def in_use(weights: dict[str, torch.Tensor]) -> bool:
        played = agent.played.state_dict()
        return all(torch.equal(played[name], value) for name, value in weights.items())

    assert in_use(before)
    lanes = agent.boards[0].lanes
    game, options = lanes.game, lanes.options
    weak, strong = RandomSide(game, options, 1), UctSide(game, options, 400, 1)
    share = pass_gate(agent, [weak], 20, 1, lambda: False, 1)
    assert share is not None
    assert share < 0.55
    assert in_use(before)
    share = pass_gate(agent, [strong], 20, 1, lambda: False, 1)
    assert share is not None
    assert share >= 0.55
    assert in_use(agent.averaged.state_dict())
    assert pass_gate(agent, [strong], 20, 1, lambda: True, 1) is None


@pytest.mark.parametrize(("every", "members"), [(1, [1, 2, 3, 4, 5]), (2, [1, 3, 5]), (4, [1, 5])])
def test_networks_join_the_pool_every_so_many_evaluations(
    every: int, members: list[int], tmp_path: Path
) -> None:
    run = RunConfig(device="cpu", threads=1, precision="fp32", evaluate_episodes=2)
    agent = small_agent(
        tmp_path, game="tic-tac-toe", pool_every=every, evaluation_simulations=1, run=run
    )
    for evaluation in range(1, 6):
        stopped = assess_agent(agent, ["random"], evaluation, lambda: True, 1)
        assert stopped is None  # leaves no trace
        assert assess_agent(agent, ["random"], evaluation, lambda: False, 1) is not None
    assert [member["name"] for member in agent.pool] == [f"step {number}" for number in members]


def test_first_weights_do_not_depend_on_what_was_measured(tmp_path: Path) -> None:
    found = []
    for precision in ("fp32", "auto"):  # nothing to measure, and several things
        run = RunConfig(device="cpu", threads=1, precision=precision)  # type: ignore[arg-type]
        config = small_config(game="tic-tac-toe", run=run)
        agent = build(config, tmp_path / precision, lambda text: None).agent.agent
        assert isinstance(agent, Zero)
        found.append(agent.network.state_dict())
    assert all(torch.equal(found[0][name], found[1][name]) for name in found[0])
