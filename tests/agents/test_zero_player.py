"""A network of Zero as a player: limits, the kept tree, faces. Its strength is tested elsewhere."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest

from agents.zero.player import ZeroPlayer, ZeroPlayerOptions
from commands.dispatch import main
from core.errors import UserError
from envs.games.go import rules
from envs.games.options import GoOptions
from envs.games.registry import load_game
from envs.games.session import Session
from play.gtp.board import GtpBoard
from play.players import default_player, make_player
from search.player import RESIGN, Limits


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that has learned nothing."""
    folder = tmp_path_factory.mktemp("zero") / "run"
    argv = ["train", "zero", "--preset", "go5", "--blocks", "1", "--channels", "8", "--lanes", "4"]
    argv += ["--total-steps", "8", "--evaluate-every", "0", "--simulations", "2", "--precision"]
    argv += ["fp32", "--threads", "1", "--no-progress", "--run-dir", str(folder)]
    assert main(argv) == 0
    return folder


def go(size: int = 5, moves: tuple[int, ...] = ()) -> Session:
    session = Session(load_game("go"), GoOptions(size))
    for action in moves:
        session.play(action)
    return session


def player(run: Path, **options: float) -> ZeroPlayer:
    return ZeroPlayer(run, ZeroPlayerOptions(**options), threads=1)  # type: ignore[arg-type]


def test_it_spends_its_visits_and_keeps_its_tree(run: Path) -> None:
    zero, session = player(run, visits=100), go()
    first = zero.judge(session)
    assert first.visits.sum() == 100
    assert session.legal_mask()[first.action]
    assert first.variation[0] == first.action
    assert -1 <= first.value <= 1
    session.play(first.action)
    reply = int(np.argmax(session.legal_mask()))
    session.play(reply)
    second = zero.judge(session)
    assert second.visits.sum() >= 100
    undone = go(5, (0, 1))
    assert zero.judge(undone).visits.sum() == 100


def test_it_keeps_no_tree_where_the_same_player_moved_twice(run: Path) -> None:
    zero, board = player(run, visits=100), GtpBoard(GoOptions(5))
    zero.judge(board.turned_to(1))
    board.play(0, "c3")
    board.play(0, "d4")
    judgement = zero.judge(board.turned_to(1))
    assert judgement.visits.sum() == 100 and not judgement.visits[[12, 8]].any()


def test_a_client_may_ask_for_more_than_the_player_would_do(run: Path) -> None:
    zero = player(run, visits=10)
    assert zero.judge(go(), Limits(playouts=500)).visits.sum() == 500


def test_it_keeps_no_tree_of_another_beginning(run: Path) -> None:
    zero = player(run, visits=100)
    zero.judge(go(5, (0,)))
    other = Session(load_game("go"), GoOptions(5), go(5, (12, 13)).state)
    other.play(0)
    assert zero.judge(other).visits[[12, 13]].sum() == 0


def test_moves_that_are_drawn_are_no_suicide_either(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Chunks of the same size on every machine: in smaller ones other leaves are judged together,
    # and a network that has learned nothing may come to see a gain in a suicide.
    monkeypatch.setattr("search.tree_player._CHUNK_SECONDS", 1e9)
    # As in tests/play/test_match.py: all of Black's moves lose, and B5 takes two of his own off.
    picture = np.array([[1, 0, 2, 2, 2], [2, 2, 2, 2, 0], [2] * 5, [2] * 5, [0] + [2] * 4], np.int8)
    session = Session(load_game("go"), GoOptions(5, rules="tromp-taylor"))
    assert rules.set_position(session.state, picture.ravel(), 0)
    suicide = session.action_of("B5")
    zero = player(run, visits=200, temperature=100.0)
    tried = 0
    for seed in range(20):
        zero.new_game(seed)
        judgement = zero.judge(session)
        tried += judgement.visits[suicide] > 0
        assert judgement.action != suicide
    assert tried


@pytest.mark.parametrize("seconds", [1e-9, 0.2])
def test_seconds_end_a_search(run: Path, seconds: float) -> None:
    judgement = player(run, visits=50).judge(go(), Limits(seconds=seconds))
    assert judgement.visits.sum() > 0
    assert judgement.seconds < seconds + 2
    if seconds > 0.1:
        assert judgement.visits.sum() > 50


def test_the_watcher_sees_more_and_more_and_stops_it(run: Path) -> None:
    seen: list[int] = []

    def watch(judgement: object) -> bool:
        seen.append(int(judgement.visits.sum()))  # type: ignore[attr-defined]
        return len(seen) < 3

    player(run, visits=5000).judge(go(), None, watch)
    assert len(seen) == 3 and seen == sorted(seen)


def test_one_legal_move_and_settled_positions(run: Path) -> None:
    full = go(2, (0, 4, 1, 4, 2))
    zero = player(run, visits=20)
    judgement = zero.judge(full)
    assert full.legal_mask()[judgement.action]
    over = go(2, (4, 4))
    assert zero.judge(over).visits.sum() == 0


def test_it_plays_on_boards_that_it_was_not_trained_on(run: Path) -> None:
    zero = player(run, visits=10)
    assert zero.judge(go(9)).visits.size == 82
    with pytest.raises(UserError, match="plays go-5, not Tic-tac-toe"):
        from envs.games.options import TicTacToeOptions

        zero.judge(Session(load_game("tic-tac-toe"), TicTacToeOptions()))


def test_settings_in_a_name(run: Path) -> None:
    weak = make_player(f"{run}:30,temperature=1.5,resign=0.4")
    assert weak.judge(go()).visits.sum() == 30
    assert "30" in weak.name
    assert "2 s" in make_player(f"{run}:2s").name
    for wrong in ("x", "10,strength=3", "5s,resign=2s", "0", "30,resign=0.9"):
        with pytest.raises(UserError):
            make_player(f"{run}:{wrong}")


def test_it_gives_up_when_told_to(run: Path) -> None:
    lost = go(3, (9, 4, 9, 1, 9, 3, 9, 5, 9, 7))
    hopeless = ZeroPlayer(run, ZeroPlayerOptions(visits=300, resign=0.49), threads=1)
    assert hopeless.judge(lost).action == RESIGN
    assert player(run, visits=300).judge(lost).action != RESIGN


def test_what_is_no_run_of_zero_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no player"):
        make_player(str(tmp_path))
    with pytest.raises(UserError, match="not of zero"):
        make_player("pretrained/pqn-pong")


@pytest.mark.parametrize("size", [5, 6, 7, 9])
def test_who_plays_a_board_where_nobody_is_named(size: int) -> None:
    name = default_player("go", GoOptions(size))
    assert name.startswith(
        {6: "uct:10000,prior", 9: "shipped"}.get(size, f"pretrained/zero-go{size}")
    )
    found = make_player(name, threads=1)
    found.check(load_game("go"), GoOptions(size))
    assert size == 6 or (isinstance(found, ZeroPlayer) and found.config.size == size)


def test_gtp_shows_what_the_network_thinks(
    run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    lines = "boardsize 5\nkomi 24\ngenmove b\nkata-genmove_analyze w ownership true\nquit\n"
    monkeypatch.setattr("play.lines.standard_input", lambda: io.BytesIO(lines.encode()))
    assert main(["gtp", "--size", "5", "--agent", f"{run}:20"]) == 0
    said = capfd.readouterr().out
    assert "info move" in said and " prior " in said
    owners = said.partition("ownership ")[2].splitlines()[0].split()
    assert len(owners) == 25
    assert all(-1 <= float(owner) <= 1 for owner in owners)


def test_it_plays_in_the_terminal(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("c3\nhint\nquit\n"))
    assert main(["play", "go", "--size", "5", "--agent", f"{run}:20"]) == 0
    said = capsys.readouterr().out
    assert "its chance to win" in said and "would play" in said
