"""One network of Zero for boards of several sizes: batches, lanes, self-play, resume, play."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.zero.agent import Zero, zero_loss
from agents.zero.build import assess_agent, build, describe
from agents.zero.config import ZeroConfig
from agents.zero.mixture import MixedStore, padded_together
from agents.zero.self_play import GameInProgress
from agents.zero.store import GameStore
from commands.dispatch import main
from core.config import RunConfig, check
from core.errors import UserError
from core.learner import Arithmetic
from core.trainer import Trainer
from envs.games.lanes import GameLanes, MixedLanes
from envs.games.options import GoOptions
from envs.games.registry import load_game
from envs.games.session import Session
from networks.control.zero import ZeroNetwork, ZeroShape
from studies.zero_networks import load_run

GO = load_game("go")


def sizes_config(sizes: str = "3,5", **changes: Any) -> ZeroConfig:
    run = RunConfig(total_steps=4_000, evaluate_every=0, evaluate_episodes=8, seed=3)
    options: dict[str, Any] = {
        "sizes": sizes, "lanes": 9, "blocks": 2, "channels": 8, "simulations": 4,
        "first_simulations": 4, "first_rows": 60, "batch_size": 32, "passes_from": 12,
        "komi_spread": 2.0, "rows_per_new_row": 1.5, "evaluation_simulations": 2, "run": run,
    }  # fmt: skip
    return ZeroConfig(**(options | changes))


def filled_store(size: int, games: int, folder: Path, rng: np.random.Generator) -> GameStore:
    """Random games, played to their end."""
    options = GoOptions(size, 1.0, "cgos", move_limit=2 * size * size)
    store = GameStore(GO, options, folder, print)
    for _ in range(games):
        session, game = Session(GO, options), GameInProgress(2, 0, False)
        while not session.is_over:
            policy = rng.dirichlet(np.ones(size * size + 1)).astype(np.float16)
            game.learn_from(policy, 0.0)
            game.moves.append(int(rng.choice(np.flatnonzero(session.legal_mask()))))
            session.play(game.moves[-1])
        store.add(game.record(*store.finish(2, game.moves), False, 0.0, rng))
    return store


# ------------------------------------------------------------------ batches


def test_a_mixed_batch_costs_what_its_boards_cost_alone(tmp_path: Path) -> None:
    """Padded to 5x5, every loss is the mean of those of each size without any padding."""
    rng = np.random.default_rng(0)
    counts = {2: 6, 3: 10, 5: 8}
    parts = [filled_store(size, 2, tmp_path, rng).sample(count, rng, True)
             for size, count in counts.items()]  # fmt: skip
    mixed = padded_together(parts, (5, 5))
    torch.manual_seed(0)
    network = ZeroNetwork(ZeroShape(GO.planes, 5, 5, 26, "points"), 3, 8)
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    network.eval()
    config = ZeroConfig()
    with torch.no_grad():
        total, found = zero_loss(network, mixed, config, Arithmetic())
        alone = [zero_loss(network, rows, config, Arithmetic()) for rows in parts]
    shares = np.array(list(counts.values())) / 24
    for name in ("policy", "value", "normaliser", "ownership", "margin", "entropy"):
        wanted = sum(share * float(own[1][name]) for share, own in zip(shares, alone, strict=True))
        assert float(found[name]) == pytest.approx(wanted, rel=1e-4), name
    wanted = sum(share * float(own[0]) for share, own in zip(shares, alone, strict=True))
    assert float(total) == pytest.approx(wanted, rel=1e-4)


def test_rows_are_drawn_and_kept_in_the_proportions_in_which_they_come(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    store = MixedStore([filled_store(2, 12, tmp_path / "2", rng),
                        filled_store(3, 12, tmp_path / "3", rng)])  # fmt: skip
    few, many = (one.window_rows for one in store.stores)
    assert store.window_rows == store.total_rows == few + many
    rows = store.sample(3_000, rng, True)
    assert rows.on_board is not None
    smaller = rows.on_board.sum(axis=(1, 2)) == 4
    assert smaller.mean() == pytest.approx(few / (few + many), abs=0.04)
    assert (rows.policy[smaller].reshape(-1, 10)[:, [2, 5, 6, 7, 8]] == 0).all()
    np.testing.assert_allclose(rows.policy.sum(axis=1), 1, rtol=1e-5)
    store.trim((few + many) // 2)
    for one, whole in zip(store.stores, (few, many), strict=True):
        assert 0 <= one.window_rows - whole / 2 <= 19  # a whole game more at most
    assert len(store.games) < 24 == store.total_games


def test_lanes_of_several_boards_are_theirs_side_by_side() -> None:
    boards = [GameLanes(GO, GoOptions(size, 1.0), lanes) for size, lanes in ((2, 2), (3, 3))]
    alone = [GameLanes(GO, GoOptions(size, 1.0), lanes) for size, lanes in ((2, 2), (3, 3))]
    mixed = MixedLanes(boards)
    assert (mixed.num_lanes, mixed.num_actions) == (5, 10)
    mixed.reset(0)
    for lanes in alone:
        lanes.reset(0)
    for actions in ([0, 3, 8, 0, 9], [4, 4, 9, 9, 9], [4, 2, 0, 1, 4]):
        mixed.send(np.array(actions))
        together = mixed.receive()
        for lanes, own in zip(alone, (actions[:2], actions[2:]), strict=True):
            lanes.send(np.array(own))
        small, large = (lanes.receive() for lanes in alone)
        np.testing.assert_array_equal(together.observation[:2, :, :2, :2], small.observation)
        assert not together.observation[:2, :, 2:].any()
        assert not together.observation[:2, :, :, 2:].any()
        np.testing.assert_array_equal(together.observation[2:], large.observation)
        assert small.legal is not None and large.legal is not None and together.legal is not None
        np.testing.assert_array_equal(together.legal[:2, :5], small.legal)
        assert not together.legal[:2, 5:].any()
        np.testing.assert_array_equal(together.legal[2:], large.legal)
        ended = [*small.terminated, *large.terminated]
        assert together.terminated.tolist() == ended
    assert any(ended) and not all(ended)
    with pytest.raises(ValueError, match=r"0\.\.4"):
        mixed.send(np.array([5, 0, 0, 0, 0]))  # no action of 2x2
    again = MixedLanes([GameLanes(GO, lanes.options, lanes.num_lanes) for lanes in boards])
    again.reset(0)
    again.load_state_dict(mixed.state_dict())
    for lanes, restored in zip(boards, again.boards, strict=True):
        np.testing.assert_array_equal(lanes.states, restored.states)


# ------------------------------------------------------------------ runs


def test_self_play_on_several_boards_feeds_one_network(tmp_path: Path) -> None:
    agent = build(sizes_config(), tmp_path, lambda text: None, Arithmetic()).agent.agent
    assert isinstance(agent, Zero)
    assert [board.lanes.num_lanes for board in agent.boards] == [4, 5]
    step = agent.lanes.reset(0)
    for tick in range(64):
        actions = agent.act(step, 9 * tick)
        agent.lanes.send(actions)
        agent.learn(9 * tick)
        outcome = agent.lanes.receive()
        agent.observe(step, actions, outcome)
        step = outcome
    assert agent.learner.updates > 5
    small, large = agent.boards
    for board, komi, cells, passes_from in ((small, 18, 9, 4), (large, 50, 25, 12)):
        games = board.store.games
        assert len(games) >= 3
        assert all(abs(game.komi - komi) <= 16 for game in games)
        for game in games:
            assert game.policies.shape[1] == cells + 1
            # Legal on its own board, and played out by its own rules.
            played = (game.outcome, game.margin)
            assert board.store.finish(game.komi, game.moves.tolist()) == played
            assert cells not in game.moves[: min(passes_from, cells // 2)]
    metrics = agent.metrics()
    lengths = [metrics.scalars[f"games/length_{size}"] for size in ("3x3", "5x5")]
    assert 2 <= lengths[0] < lengths[1] <= 70
    total = sum(metrics.scalars[f"store/total_games_{size}"] for size in ("3x3", "5x5"))
    assert metrics.scalars["store/total_games"] == total == agent.store.total_games
    assert {"games/last_3x3", "games/first_move_5x5"} <= set(metrics.images)
    found = assess_agent(agent, ["random"], 576, lambda: False, 1)
    assert found is not None and len(found.scores) == 8
    scores = [found.scalars[f"score/random{board}"] for board in ("", "_3x3", "_5x5")]
    assert scores[0] == pytest.approx((scores[1] + scores[2]) / 2)
    assert assess_agent(agent, ["random"], 585, lambda: True, 1) is None


def test_a_resumed_run_of_several_sizes_equals_one_that_was_never_stopped(
    make_trainer: Callable[..., Trainer],
) -> None:
    config = sizes_config("2,3", lanes=8, first_rows=40)
    whole = make_trainer("zero", config, "whole", total_steps=480)
    whole.run()
    half = make_trainer("zero", config, "half", total_steps=240)
    # The schedules must run to the same end.
    half.agent.agent.config = replace(config, run=replace(config.run, total_steps=480))  # type: ignore[attr-defined]
    half.run()
    resumed = make_trainer("zero", config, "half", total_steps=480)
    assert resumed.agent_steps == 240
    resumed.run()
    wanted, found = (one.agent.state_dict() for one in (whole, resumed))
    assert wanted["learner"]["updates"] == found["learner"]["updates"] > 10
    for name, weight in wanted["newest"].items():
        assert torch.equal(weight, found["newest"][name]), name
    for one, other in zip(wanted["agent"]["games"], found["agent"]["games"], strict=True):
        assert one["moves"].tolist() == other["moves"].tolist()
        assert one["komi"] == other["komi"]
    for kept in ("2x2", "3x3"):
        assert wanted["replay"][kept]["total_games"] == found["replay"][kept]["total_games"] > 0


def test_a_run_of_several_sizes_plays_on_each_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    argv = ["train", "zero", "--preset", "go7", "--sizes", "5,7", "--blocks", "1", "--channels"]
    argv += ["8", "--lanes", "4", "--total-steps", "8", "--evaluate-every", "0", "--simulations"]
    argv += ["2", "--precision", "fp32", "--threads", "1", "--no-progress", "--run-dir", run]
    assert main(argv) == 0
    for size, corner in (("5", "E5"), ("7", "G7")):
        monkeypatch.setattr("sys.stdin", io.StringIO(f"{corner}\nquit\n"))
        assert main(["play", "go", "--size", size, "--agent", f"{run}:10"]) == 0
        assert "its chance to win" in capsys.readouterr().out
    assert load_run(Path(run), "go").options.size == 7
    assert load_run(Path(run), "go", 5).options.komi == 25
    with pytest.raises(UserError, match="learned go-5-7, not boards of 9 lines"):
        load_run(Path(run), "go", 9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sizes": "5,21"}, "the size of the board is 21; it must be from 1 to 19"),
        ({"sizes": ","}, "--sizes must be numbers such as 5,7,9, got ','"),
        ({"sizes": "5x7"}, "--sizes must be numbers"),
        ({"sizes": "5,7,5"}, "names a size twice"),
        ({"game": "othello", "sizes": "4,6"}, "--sizes is for Go"),
        ({"sizes": "4,5,7", "lanes": 2}, "3 sizes need as many --lanes"),
        ({"network": "transformer"}, "only the tower learns from boards of several --sizes"),
        ({"network": "resnet20"}, "only the tower .* not --network resnet20"),
    ],
)
def test_sizes_that_cannot_be_are_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        check(sizes_config(**changes))


def test_each_size_has_the_komi_that_it_is_worth() -> None:
    config = sizes_config("9,5 7", komi=6.5)
    check(config)
    assert [(board.size, board.komi) for board in config.boards()] == [(5, 25), (7, 9), (9, 6.5)]
    assert config.env == "go-5-7-9"
    assert "boards: 5x5 with komi 25, 7x7 with komi 9, 9x9 with komi 6.5" in describe(config)
    assert sizes_config("", size=7, komi=6.5).boards()[0].komi == 6.5
