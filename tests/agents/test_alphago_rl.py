"""The reinforced policy: signs of its gradient, legal games, learning, resuming."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from agents.alphago.networks import build_policy_network
from agents.alphago.reinforcement import Experience, ReinforcedPolicy, policy_gradient_loss
from agents.alphago.rl_config import GoRLConfig
from agents.alphago.self_play import Choice, PolicyPlayer, UniformPlayer, draw, play_games
from core.learner import Arithmetic
from core.trainer import Trainer
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.session import Session
from envs.games.state import OUTCOME, TO_MOVE, UNDECIDED

MakeTrainer = Callable[..., Trainer]
SMALL = GoRLConfig(size=3, komi=0.5, layers=1, filters=4, games=8, pool_every=2, learning_rate=0.01)


def agent(config: GoRLConfig = SMALL) -> ReinforcedPolicy:
    torch.manual_seed(0)
    return ReinforcedPolicy(config, build_policy_network(config), Arithmetic())


def test_the_gradient_is_that_of_the_expected_outcome() -> None:
    """A game of two moves, each side one: all ways to play it against a difference quotient."""
    logits = torch.tensor([[0.3, -0.2, 5.0]], dtype=torch.float64, requires_grad=True)
    allowed = torch.tensor([[True, True, False]])
    values = torch.tensor([1.0, -1.0])

    def expected(at: torch.Tensor) -> torch.Tensor:
        chances = at[0, :2].softmax(0)
        return (chances * values).sum()

    (wanted,) = torch.autograd.grad(expected(logits), logits)
    chances = logits.detach()[0, :2].softmax(0)
    for baseline in (0.0, 0.4):  # which changes nothing in expectation
        gradient = torch.zeros_like(logits)
        for move in (0, 1):
            moved = torch.tensor([move])
            loss, _ = policy_gradient_loss(logits, allowed, moved, values[moved] - baseline)
            gradient += chances[move] * torch.autograd.grad(loss, logits)[0]
        torch.testing.assert_close(-gradient, wanted)


def test_moves_of_won_games_become_likelier_and_of_lost_ones_rarer() -> None:
    learner = agent()
    experience, results = learner.play(np.random.default_rng(3))
    assert set(np.unique(experience.outcomes)) <= set(np.unique(results))
    for outcome, sign in ((1.0, 1), (-1.0, -1)):
        learner = agent()
        one = Experience(
            experience.planes[:1], experience.moves[:1], np.array([outcome], np.float32)
        )
        before = float(learner.loss(one, 0.0)[0].detach()) * -outcome
        learner.learner.update(lambda one=one, it=learner: it.loss(one, 0.0))
        after = float(learner.loss(one, 0.0)[0].detach()) * -outcome
        assert np.sign(after - before) == sign


def test_outcomes_are_those_of_the_mover() -> None:
    learner = agent()
    games: list[tuple[np.ndarray, np.ndarray]] = []
    states = np.stack([GO.initial_state(learner.options)] * 6)
    colours = np.arange(6) % 2

    def told(player: int, numbers: np.ndarray, choice: Choice) -> None:
        games.append((numbers, choice.actions))

    players = learner.player, learner.other
    assert play_games(states, players, lambda s: s[:, TO_MOVE] ^ colours,
                      np.random.default_rng(1), told)  # fmt: skip
    assert (states[:, OUTCOME] != UNDECIDED).all()
    # Played again through the rules, every move is legal, and the outcomes are the same.
    sessions = [Session(GO, learner.options) for _ in range(6)]
    for numbers, actions in games:
        for number, action in zip(numbers, actions, strict=True):
            assert sessions[number].legal_mask()[action]
            sessions[number].play(int(action))
    assert [s.outcome for s in sessions] == states[:, OUTCOME].tolist()


def test_draws_follow_the_softmax_and_no_forbidden_move_is_drawn() -> None:
    logits = np.tile(np.log([0.5, 0.3, 0.2, 1e9]), (20_000, 1))
    allowed = np.tile([True, True, True, False], (20_000, 1))
    drawn = draw(logits, allowed, np.random.default_rng(0))
    shares = np.bincount(drawn, minlength=4) / len(drawn)
    np.testing.assert_allclose(shares, [0.5, 0.3, 0.2, 0], atol=0.02)


def test_a_turned_policy_plays_where_it_drew() -> None:
    network = build_policy_network(SMALL)
    network.bias.data[:] = torch.tensor([9.0, 0, 0, 0, 0, 0, 0, 0, 0]) * 10  # type: ignore[union-attr, operator, index]
    torch.nn.init.zeros_(network.last.weight)  # type: ignore[union-attr, arg-type]
    player = PolicyPlayer(network, Arithmetic(), 3, turn=True)
    state = GO.initial_state(GoOptions(size=3))
    choice = player.choose(np.stack([state] * 64), np.random.default_rng(0))
    assert set(choice.moves) == {0} and set(choice.actions) == {0, 2, 6, 8}


def test_a_side_without_a_sensible_move_passes() -> None:
    session = Session(GO, GoOptions(size=2, komi=0.5))
    states = session.state[None].repeat(2, axis=0)
    assert (UniformPlayer().choose(states, np.random.default_rng(0)).actions < 4).all()
    board = np.array([1, 1, 1, 0], np.int8)
    from envs.games.go.rules import set_position

    set_position(states[0], board, 0)
    player = PolicyPlayer(build_policy_network(GoRLConfig(size=2, layers=1, filters=2)),
                          Arithmetic(), 2)  # fmt: skip
    choice = player.choose(states[:1], np.random.default_rng(0))
    assert choice.actions.tolist() == [4] and not choice.drawn[0]


def test_it_learns_to_beat_where_it_began(make_trainer: MakeTrainer) -> None:
    config = GoRLConfig(size=3, komi=2.5, layers=1, filters=16, games=64, pool_every=4,
                        learning_rate=0.01)  # fmt: skip
    trainer = make_trainer("go-rl", config, total_steps=64 * 16, evaluate_every=0,
                           evaluate_episodes=200)  # fmt: skip
    trainer.run()
    found = trainer.agent.evaluate(0, 5, lambda: False)  # type: ignore[attr-defined]
    assert found.scalars["match/low"] > 0.5


@pytest.mark.parametrize("augment", [False, True])
def test_resume_equals_an_uninterrupted_run_bit_for_bit(
    make_trainer: MakeTrainer, augment: bool
) -> None:
    from dataclasses import replace

    config = replace(SMALL, augment=augment)
    whole = make_trainer("go-rl", config, "whole", total_steps=64, evaluate_every=0)
    whole.run()
    cut = make_trainer("go-rl", config, "cut", total_steps=64, evaluate_every=0)
    cut._start()
    for _ in range(4):
        cut._advance()
    cut.save()
    cut._advance()  # lost with the interruption
    resumed = make_trainer("go-rl", config, "cut", total_steps=64, evaluate_every=0)
    assert resumed.agent_steps == 32
    resumed.run()
    mine, theirs = resumed.agent.state_dict(), whole.agent.state_dict()
    assert mine["agent"] == theirs["agent"] and mine["pool"].keys() == theirs["pool"].keys()
    assert len(mine["pool"]) == 5
    for name, weight in mine["network"].items():
        assert torch.equal(weight, theirs["network"][name]), name
