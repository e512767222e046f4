"""Zero's parts: losses, network, stored rows, each against something slower or known."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.zero import losses
from agents.zero.agent import build_learner, update
from agents.zero.config import ZeroConfig
from agents.zero.self_play import GameInProgress, surprises
from agents.zero.store import GameStore, Rows
from core.learner import Arithmetic
from envs.games.options import ConnectFourOptions, GoOptions, OthelloOptions, TicTacToeOptions
from envs.games.registry import load_game
from envs.games.session import Session
from envs.games.symmetry import symmetries, turn_actions, turn_planes
from networks.control.folding import folded
from networks.control.zero import ZeroNetwork, ZeroShape

# ------------------------------------------------------------------ losses


def test_losses_equal_slow_ones() -> None:
    rng = np.random.default_rng(0)
    batch, actions, size = 5, 7, 3
    logits = rng.normal(size=(batch, actions))
    target = rng.dirichlet(np.ones(actions), batch)
    wanted = 0.0
    for row in range(batch):
        odds = np.exp(logits[row]) / np.exp(logits[row]).sum()
        wanted -= sum(p * np.log(q) for p, q in zip(target[row], odds, strict=True)) / batch
    found = losses.policy_loss(torch.tensor(logits), torch.tensor(target))
    assert float(found) == pytest.approx(wanted)
    assert float(losses.target_entropy(torch.tensor(target))) <= wanted
    wanted = np.mean([np.log(np.exp(row).sum()) ** 2 for row in logits])
    assert float(losses.normaliser_loss(torch.tensor(logits))) == pytest.approx(wanted)

    own = rng.uniform(-1, 1, (batch, size, size))
    owners = rng.integers(-1, 2, (batch, size, size))
    settled = np.array([1, 0, 1, 1, 0])
    wanted = np.mean([((own[i] - owners[i]) ** 2).mean() for i in np.flatnonzero(settled)])
    found = losses.ownership_loss(*(torch.tensor(x) for x in (own, owners, settled)))
    assert float(found) == pytest.approx(wanted)
    none = torch.zeros(batch)
    assert float(losses.ownership_loss(torch.tensor(own), torch.tensor(owners), none)) == 0
    margin, known = torch.tensor([0.5, 3.0, 0.0]), torch.tensor([1.0, 1.0, 0.0])
    found = losses.margin_loss(margin, torch.tensor([0.0, 0.0, 9.0]), known)
    assert float(found) == pytest.approx((0.5 * 0.25 + (3 - 0.5)) / 2)


# ------------------------------------------------------------------ network


@pytest.mark.parametrize(("weight", "stays"), [(0.0, True), (0.001, False)])
def test_what_all_logits_share_is_brought_back(weight: float, stays: bool) -> None:
    """No policy depends on it, so only the normaliser's loss can."""
    config = ZeroConfig(game="connect-four", normaliser_weight=weight, learning_rate=0.03)
    torch.manual_seed(0)
    network = ZeroNetwork(ZeroShape(2, 6, 7, 7, "columns"), 1, 8)
    torch.nn.init.constant_(network.policy_cells.bias, -30.0)
    learner = build_learner(network, config, Arithmetic())
    rows = Rows(
        np.zeros((16, 2, 6, 7), np.uint8), np.zeros(16, np.int32),
        np.full((16, 7), 1 / 7, np.float32), np.zeros(16, np.float32), np.zeros((16, 42), np.int8),
        np.zeros(16, np.int32), np.zeros(16, np.bool_),
    )  # fmt: skip
    before = losses.policy_loss(torch.full((1, 7), -30.0), torch.full((1, 7), 1 / 7))
    for _ in range(100):
        update(network, learner, rows, config)
    metrics = learner.drain_metrics()
    logits = network(torch.from_numpy(rows.planes).float(), torch.zeros(16)).policy_logits
    assert (float(logits.detach().mean()) < -25) == stays
    assert metrics["policy"] == pytest.approx(float(before), abs=0.01)


@pytest.mark.parametrize(
    ("shape", "blocks", "channels"),
    [
        (ZeroShape(17, 9, 9, 82, "points"), 3, 16),
        (ZeroShape(2, 6, 7, 7, "columns"), 1, 8),
        (ZeroShape(2, 8, 8, 65, "points"), 2, 8),
        (ZeroShape(2, 5, 5, 40, "own"), 2, 8),
    ],
)
def test_the_network_fits_every_kind_of_action(
    shape: ZeroShape, blocks: int, channels: int
) -> None:
    network = ZeroNetwork(shape, blocks, channels)
    planes = torch.randint(0, 2, (4, shape.planes, shape.height, shape.width)).float()
    outputs = network(planes, torch.zeros(4))
    assert outputs.policy_logits.shape == (4, shape.actions)
    assert outputs.value.shape == outputs.margin.shape == (4,)
    assert outputs.ownership.shape == (4, shape.height, shape.width)
    assert outputs.value.abs().max() <= 1


def test_folding_changes_nothing_but_speed() -> None:
    torch.manual_seed(0)
    network = ZeroNetwork(ZeroShape(17, 9, 9, 82, "points"), 4, 16)
    planes = torch.randint(0, 2, (32, 17, 9, 9)).float()
    for _ in range(3):  # so that the running statistics are those of something
        network(planes, torch.randn(32) * 7)
    network.eval()
    with torch.no_grad():
        wanted, found = (one(planes, torch.ones(32) * 7) for one in (network, folded(network)))
    for one, other in zip(wanted, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_padded_boards_are_answered_as_if_they_were_alone(training: bool) -> None:
    """5x5 in 9x9: the numbers, the statistics kept for later, and what a loss teaches."""
    torch.manual_seed(0)
    alone, padded = (ZeroNetwork(ZeroShape(17, n, n, n * n + 1, "points"), 3, 16) for n in (5, 9))
    for parameter in alone.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    padded.load_state_dict(alone.state_dict())
    planes, komi = torch.randint(0, 2, (8, 17, 5, 5)).float(), torch.randn(8) * 7
    larger, on_board = torch.zeros(8, 17, 9, 9), torch.zeros(8, 1, 9, 9)
    larger[:, :, :5, :5], on_board[:, :, :5, :5] = planes, 1.0
    for network in (alone, padded):
        network.train(training)
    wanted, found = alone(planes, komi), padded(larger, komi, on_board)
    logits = torch.cat(
        [found.policy_logits[:, :-1].view(8, 9, 9)[:, :5, :5].flatten(1),
         found.policy_logits[:, -1:]], dim=1
    )  # fmt: skip
    close = partial(torch.testing.assert_close, atol=1e-5, rtol=1e-5)
    close(logits, wanted.policy_logits)
    close(torch.logsumexp(found.policy_logits, 1), torch.logsumexp(wanted.policy_logits, 1))
    close(found.value, wanted.value)
    close(found.margin, wanted.margin)
    close(found.ownership[:, :5, :5], wanted.ownership)
    assert not found.ownership[:, 5:].any() and not found.ownership[:, :, 5:].any()
    for outputs in (wanted, found):
        (outputs.value.sum() + outputs.ownership.sum() + outputs.margin.sum()).backward()
    for one, other in zip(alone.parameters(), padded.parameters(), strict=True):
        if one.grad is not None:
            torch.testing.assert_close(other.grad, one.grad, atol=1e-4, rtol=1e-3)
    for kept, same in zip(alone.buffers(), padded.buffers(), strict=True):
        close(same, kept)


def test_boards_of_several_sizes_in_one_batch_leave_each_other_alone() -> None:
    """Folded too, as self-play has it."""
    torch.manual_seed(0)
    network = ZeroNetwork(ZeroShape(17, 9, 9, 82, "points"), 2, 8)
    network(torch.randint(0, 2, (8, 17, 9, 9)).float(), torch.randn(8))
    twin, network = folded(network), network.eval()
    planes, on_board = torch.zeros(3, 17, 9, 9), torch.zeros(3, 1, 9, 9)
    sizes = (9, 5, 7)
    for index, size in enumerate(sizes):
        planes[index, :, :size, :size] = torch.randint(0, 2, (17, size, size)).float()
        on_board[index, :, :size, :size] = 1.0
    with torch.no_grad():
        together = twin(planes, torch.ones(3), on_board)
        for index, size in enumerate(sizes):
            alone = network(planes[index : index + 1, :, :size, :size], torch.ones(1))
            torch.testing.assert_close(together.value[index], alone.value[0], atol=1e-5, rtol=1e-5)
            torch.testing.assert_close(
                together.policy_logits[index, -1], alone.policy_logits[0, -1], atol=1e-5, rtol=1e-5
            )


def test_the_network_hears_komi() -> None:
    network = ZeroNetwork(ZeroShape(17, 5, 5, 26, "points"), 1, 8).eval()
    planes = torch.zeros(1, 17, 5, 5)
    one, other = (network(planes, torch.tensor([komi])).margin for komi in (0.0, 25.0))
    assert not torch.equal(one, other)


def test_parameters_of_the_shipped_size() -> None:
    """Counted by hand: 6 blocks x 96 channels on 9x9, heads of 48."""
    f, h = 96, 48
    stem = 18 * f * 9 + 2 * f
    blocks = 6 * 2 * (f * f * 9 + 2 * f) + 2 * (2 * f * f + f)
    policy = f * h + 2 * h + 2 * h * h + h + h + 1 + 2 * h + 1
    value = f * h + 2 * h + 2 * h * 64 + 64 + 2 * 64 + 2 + h + 1
    network = ZeroNetwork(ZeroShape(17, 9, 9, 82, "points"), 6, f)
    assert sum(p.numel() for p in network.parameters()) == stem + blocks + policy + value
    assert stem + blocks + policy + value == 1_071_029  # as docs/results/zero.md says


# ------------------------------------------------------------------ stored games


@pytest.mark.parametrize(
    ("name", "options"),
    [("go", GoOptions(5, 24.0, "cgos")), ("othello", OthelloOptions(6)),
     ("connect-four", ConnectFourOptions())],
)  # fmt: skip
def test_rebuilt_rows_equal_the_positions_that_were_played(
    tmp_path: Path, name: str, options: Any
) -> None:
    game, rng = load_game(name), np.random.default_rng(3)
    store = GameStore(game, options, tmp_path, print, threads=2)
    actions = game.actions(options)
    seen: dict[bytes, tuple[Session, int, np.ndarray]] = {}
    for number in range(12):
        session, progress = Session(game, options), GameInProgress(0, 0, False)
        progress.komi = 48 if name == "go" else 0
        while not session.is_over:
            policy = rng.dirichlet(np.ones(actions)).astype(np.float32)
            progress.learn_from(policy.astype(np.float16), 0.0)
            seen[policy.astype(np.float16).tobytes()] = (session, len(session.actions), policy)
            action = int(rng.choice(np.flatnonzero(session.legal_mask())))
            progress.moves.append(action)
            session.play(action)
        outcome, margin = store.finish(progress.komi, progress.moves)
        assert (outcome, margin / 2) == (session.outcome, session.margin())
        store.add(progress.record(outcome, margin, number == 0, 0.5, rng))
    cells, maps = symmetries(game, options)
    rows = store.sample(300, rng, turn=True)
    for i in range(300):
        found = False
        for turn in range(len(cells)):
            back = np.empty(actions, np.float32)
            back[:] = rows.policy[i][maps[turn]]
            known = [s for s in seen.values() if np.allclose(s[2], back, atol=2e-3)]
            if not known:
                continue
            session, ply, policy = known[0]
            then = Session(game, options)
            for _, action in session.actions[:ply]:
                then.play(action)
            np.testing.assert_array_equal(
                rows.planes[i], turn_planes(then.observation(), cells[turn])
            )
            np.testing.assert_allclose(turn_actions(policy, maps[turn]), rows.policy[i], atol=2e-3)
            sign = 1 if then.to_move == 0 else -1
            assert rows.value[i] == sign * session.outcome
            assert rows.margin[i] == sign * 2 * session.margin()
            assert rows.handicap[i] == (-sign * 48 if name == "go" else 0)
            if name == "go" and rows.settled[i]:
                assert int(rows.ownership[i].sum()) == sign * (session.margin() + 24)
            found = True
            break
        assert found


def test_the_window_keeps_the_newest_rows(tmp_path: Path) -> None:
    store = GameStore(load_game("tic-tac-toe"), TicTacToeOptions(), tmp_path, print)
    rng = np.random.default_rng(0)
    for _ in range(30):
        progress = GameInProgress(0, 0, False)
        for action in (0, 3, 1, 4, 2):
            progress.learn_from(np.full(9, 1 / 9, np.float16), 0.0)
            progress.moves.append(action)
        store.add(progress.record(1, 2, False, 0.0, rng))
    assert store.window_rows == store.total_rows == 150
    store.trim(52)
    assert store.window_rows == 55 and len(store.games) == 11


def test_surprising_moves_are_learned_from_more_often() -> None:
    progress, rng = GameInProgress(0, 0, False), np.random.default_rng(0)
    flat = np.full(9, 1 / 9, np.float32)
    policies = np.stack([flat, np.eye(9, dtype=np.float32)[0], flat, flat])
    surprise = surprises(policies, np.stack([flat] * 4))
    np.testing.assert_allclose(surprise, [0, np.log(9), 0, 0], atol=1e-6)
    for policy, divergence in zip(policies, surprise.tolist(), strict=True):
        progress.learn_from(policy, divergence)
    copies = np.array([progress.record(1, 2, False, 0.5, rng).copies for _ in range(2000)])
    np.testing.assert_allclose(copies.mean(axis=0), [0.5, 2.5, 0.5, 0.5], atol=0.05)
