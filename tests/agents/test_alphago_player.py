"""AlphaGo as a player: its parts, what it searches with, faces. Its strength is no test."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.alphago.evaluator import PolicyAndValue, with_pass
from agents.alphago.game import ALPHAGO_GO
from agents.alphago.player import AlphaGoPlayer
from commands.dispatch import main
from core.errors import UserError
from core.learner import Arithmetic
from envs.games.go.alphago_planes import SENSIBLE
from envs.games.options import GoOptions
from envs.games.registry import load_game
from envs.games.session import Session
from play.gtp.analysis import STREAMING
from play.gtp.extras import COMMANDS
from play.gtp.server import GtpServer
from play.players import make_player
from search.player import Limits


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy that has learned next to nothing."""
    folder = tmp_path_factory.mktemp("alphago") / "policy"
    argv = ["train", "go-rl", "--size", "5", "--layers", "1", "--filters", "4", "--games", "2"]
    argv += ["--total-steps", "2", "--evaluate-every", "0", "--precision", "fp32", "--threads"]
    assert main([*argv, "1", "--no-progress", "--run-dir", str(folder)]) == 0
    return folder


def go(size: int = 5, moves: tuple[int, ...] = ()) -> Session:
    session = Session(load_game("go"), GoOptions(size))
    for action in moves:
        session.play(action)
    return session


def player(name: str) -> AlphaGoPlayer:
    made = make_player(name, threads=1)
    assert isinstance(made, AlphaGoPlayer)
    return made


def test_a_pass_is_one_of_the_sensible_moves_and_sure_without_them() -> None:
    points = torch.tensor([[2.0, 1.0, 0.0], [5.0, 5.0, 5.0]])
    sensible = torch.tensor([[True, True, False], [False, False, False]])
    chances = with_pass(points, sensible).softmax(dim=1)
    policy = torch.tensor([2.0, 1.0]).softmax(0)
    wanted = torch.tensor([policy[0] * 2 / 3, policy[1] * 2 / 3, 0, 1 / 3])
    torch.testing.assert_close(chances[0], wanted, atol=1e-6, rtol=0)
    assert chances[1, 3] > 1 - 1e-6


def test_a_turned_board_has_turned_answers() -> None:
    state = go(5, (3, 7, 12)).state
    planes = np.zeros((1, 49, 5, 5), np.uint8)
    ALPHAGO_GO.observe(state, planes[0])

    class Corner(torch.nn.Module):
        def forward(self, boards: torch.Tensor) -> torch.Tensor:
            return boards[:, 0].flatten(1) * 3.0

    evaluator = PolicyAndValue(Corner(), None, Arithmetic())
    handicap = np.zeros(1, np.int32)
    plain = evaluator.begin(planes, handicap, None)()[0][0, :25]
    order = np.rot90(np.arange(25).reshape(5, 5)).ravel().astype(np.int32)
    turned = evaluator.begin(planes, handicap, order)()[0][0, :25]
    np.testing.assert_allclose(turned, plain[order], atol=1e-6)
    assert (plain[planes[0, SENSIBLE].ravel() == 0] < -40).all()


def test_it_searches_with_the_policy_and_rollouts_of_a_run(run: Path) -> None:
    alphago, session = player(f"alphago:{run.parent}:60"), go()
    judgement = alphago.judge(session)
    assert judgement.visits.sum() == 60
    assert session.legal_mask()[judgement.action]
    assert alphago.name == "AlphaGo policy+rollouts 60"
    session.play(judgement.action)
    assert alphago.judge(session).visits.sum() >= 60
    only = alphago.judge(session, Limits(allowed=frozenset({0, 4})))
    assert only.action in (0, 4)
    alphago.close()


def test_rollouts_alone_need_no_run() -> None:
    alphago = player("alphago:use=rollouts,40,expand_after=4,exploration=0.7")
    assert alphago.judge(go(7)).visits.sum() == 40
    assert alphago.judge(go(5)).visits.sum() == 40


def test_a_policy_alone_plays_its_likeliest_move(run: Path) -> None:
    alphago, session = player(f"alphago:policy={run},use=policy"), go(5, (12,))
    judgement = alphago.judge(session)
    assert judgement.priors is not None and judgement.action == judgement.priors.argmax()
    assert judgement.visits.sum() == 1
    assert player(str(run)).name == "AlphaGo policy+rollouts 400"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("alphago:use=value", "nothing is left"),
        ("alphago:use=strength", "use takes some of"),
        ("alphago:use=rollouts,lambda=2", "from 0 to 1"),
        ("alphago:use=rollouts,width=3", "says nothing about alphago"),
        ("alphago:policy=pretrained/zero-go9", "is a run of zero"),
        ("alphago:/nowhere", "no run of AlphaGo"),
    ],
)
def test_names_that_say_nothing_are_refused(name: str, said: str) -> None:
    with pytest.raises(UserError, match=said):
        make_player(name)


def test_another_board_is_refused(run: Path) -> None:
    with pytest.raises(UserError, match="on 5 lines"):
        player(str(run)).check(load_game("go"), GoOptions(9))


def test_gtp_plays_it(run: Path) -> None:
    said, asked = io.StringIO(), io.BytesIO(b"boardsize 5\ngenmove b\ngenmove w\nquit\n")
    GtpServer(player(f"alphago:{run}:20"), GoOptions(5), COMMANDS, STREAMING, asked, said).run()
    replies = said.getvalue().split("\n\n")
    assert len(replies) == 5
    for reply in replies[1:3]:
        assert reply.startswith("= ") and reply[2] in "ABCDEp", replies  # a point, or a pass
