"""The GTP engine: the standard's commands, and golden transcripts of what each client sends."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from play.gtp.clock import Clock
from play.gtp.protocol import Command, answer
from tests.play.gtp_client import said, talk


def test_answers_have_the_exact_format() -> None:
    assert talk("7 protocol_version\n\n# a comment\nname # another\n") == "=7 2\n\n= Tengen\n\n"
    assert talk("3 nonsense\n12\n") == "?3 unknown command\n\n?12 unknown command\n\n"
    assert talk("na\x01me\r\nplay\tb\tc3\n") == "= Tengen\n\n=\n\n"
    assert talk("quit\nname\n") == "=\n\n"


def test_list_commands_holds_the_standard() -> None:
    listed = talk("list_commands\n")[2:].split()
    required = """protocol_version name version known_command list_commands quit boardsize
        clear_board komi play genmove fixed_handicap place_free_handicap set_free_handicap undo
        time_settings time_left final_score final_status_list loadsgf reg_genmove showboard"""
    assert set(required.split()) <= set(listed)
    assert listed == sorted(listed)
    for name in listed:
        assert talk(f"known_command {name}\n") == "= true\n\n"
    assert talk("known_command sing\n") == "= false\n\n"


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        ("play b c3\nplay w c3\n", "? illegal move"),
        ("play b i5\n", "? syntax error"),
        ("play b\n", "? syntax error"),
        ("play red c3\n", "? syntax error"),
        ("boardsize 20\n", "? unacceptable size"),
        ("boardsize nine\n", "? syntax error"),
        ("boardsize 99999999999999999999\n", "? syntax error"),
        ("rectangular_boardsize 9 7\n", "? unacceptable size"),
        ("komi nan\n", "? komi must be a multiple of 0.5"),
        ("komi inf\n", "? komi must be a multiple of 0.5"),
        ("komi 1e999\n", "? komi must be a multiple of 0.5"),
        ("komi x\n", "? syntax error"),
        ("undo\n", "? cannot undo"),
        ("boardsize 9\nfixed_handicap 1\n", "? invalid number of stones"),
        ("boardsize 9\nplay b a1\nfixed_handicap 2\n", "? board not empty"),
        ("set_free_handicap a1 a1\n", "? bad vertex list"),
        ("set_free_handicap a1 pass\n", "? bad vertex list"),
        ("final_status_list ill\n", "? invalid status"),
        ("time_settings 10 x 1\n", "? syntax error"),
        ("loadsgf\n", "? syntax error"),
        ("loadsgf no/such.sgf\n", "? cannot load file: no/such.sgf: No such file or directory"),
        ("printsgf /etc/passwd\n", "? cannot write: the file's name must end in .sgf"),
        ("findlib a1\n", "? vertex is empty"),
        ("gg-undo 3\n", "? cannot undo"),
    ],
)
def test_mistakes_are_answered_and_change_nothing(sent: str, said: str) -> None:
    answers = talk(sent).strip().split("\n\n")
    assert answers[-1] == said
    assert all(line.startswith("=") for line in answers[:-1])


def test_illegal_moves_leave_the_position(  ) -> None:  # fmt: skip
    shown = talk("play b c3\nshowboard\nplay w c3\nplay w z9\nshowboard\n").split("\n\n")
    assert shown[1] == shown[4]


def test_colours_may_play_twice_and_be_taken_back() -> None:
    text = talk("play b a1\nplay b a2\nundo\nundo\nundo\ngenmove w\nlist_stones w\n")
    assert text.strip().split("\n\n")[-3:] == ["? cannot undo", "= A5", "= A5"]


def test_play_goes_on_after_two_passes() -> None:
    text = talk("play b pass\nplay w pass\nplay b c3\nlist_stones b\nundo\nplay b c4\n")
    assert "?" not in text
    assert "= C3" in text


def test_scores() -> None:
    wall = "".join(f"play b c{row}\nplay w d{row}\n" for row in range(1, 6))
    assert talk(wall + "komi 0.5\nfinal_score\n", size=5).strip().endswith("= B+4.5")
    assert talk(wall + "komi 7.5\nfinal_score\n", size=5).strip().endswith("= W+2.5")
    # A white stone in Black's area of one line is dead.
    wall = "".join(f"play b b{row}\nplay w c{row}\n" for row in range(1, 6))
    dead = talk(wall + "kgs-rules chinese\nplay w a3\nfinal_status_list dead\nfinal_status a3\n")
    assert dead.strip().split("\n\n")[-2:] == ["= A3", "= dead"]


def test_dead_stones_are_those_that_gnu_go_names() -> None:
    # A game between GNU Go's level 1; in the end its level 10 answers `final_status_list dead`.
    game = """d6 e2 j5 e6 g6 f7 d7 e5 c4 b3 g7 d3 b4 g8 h8 f8 c3 h9 g4 h3 j6 g3 e8 c2 b2 b1 a3 e7
        d8 d5 c5 d4 a2 e9 d9 f9 a1 c1 pass pass"""
    moves = "".join(f"play {'bw'[i % 2]} {move}\n" for i, move in enumerate(game.split()))
    said = talk(f"kgs-rules chinese\n{moves}final_status_list dead\n", size=9)
    assert set(said.split("=")[-1].split()) == {"H8", "G7", "G6", "J6", "J5", "G4"}


def test_handicap() -> None:
    assert "= C3 G7 C7 G3" in talk("boardsize 9\nfixed_handicap 4\n")
    assert "= w" not in talk("set_free_handicap a1 b2 c3\n")
    text = talk("boardsize 9\nplace_free_handicap 3\nquery_boardsize\nlist_stones b\n")
    assert text.split("\n\n")[1].split()[1:] == ["C3", "G7", "C7"]


CLIENTS = {
    "GoGui": "list_commands\nname\nversion\nprotocol_version\nboardsize 9\nclear_board\nkomi 6.5\n"
    "time_settings 600 30 5\nplay b e5\ntime_left b 590 0\ngenmove w\nundo\ngg-undo 1\n"
    "gogui-analyze_commands\nfinal_status_list dead\nquit\n",
    "Sabaki": "1 name\n2 protocol_version\n3 version\n4 list_commands\n5 komi 7.5\n6 boardsize 9\n"
    "7 clear_board\n8 set_free_handicap C3 G7\n9 play W E5\n10 genmove B\n11 quit\n",
    "q5Go": "protocol_version\nknown_command rectangular_boardsize\nrectangular_boardsize 9 9\n"
    "clear_board\nkomi 7.5\nknown_command lz-analyze\nknown_command kata-analyze\n"
    "known_command kata-set-rules\nkata-set-rules chinese\ntime_settings 1 1 0\nplay black E5\n"
    "kata-genmove_analyze white 100\nquit\n",
    "Kigo": "name\nversion\nboardsize 9\nlevel 5\nkomi 5.5\nclear_board\nfixed_handicap 2\n"
    "list_stones black\nplay white E5\nlist_stones white\ncaptures black\ncaptures white\n"
    "all_legal black\nfinal_status E5\ntop_moves_white\nmove_history\nquery_boardsize\nget_komi\n"
    "get_handicap\nfindlib E5\nundo\nestimate_score\nfinal_score\nquit\n",
    "qGo": "name\nversion\nprotocol_version\nboardsize 9\nkomi 5.5\nlevel 10\nplay black E5\n"
    "genmove white\nis_legal black A1\ncaptures white\nundo\nfinal_score\n"
    "final_status_list alive\nquit\n",
    "gtp2ogs": "list_commands\nboardsize 9\nclear_board\nkomi 7.5\n"
    "kgs-time_settings byoyomi 600 30 5\ntime_settings 600 30 1\ntime_left black 600 0\n"
    "set_free_handicap C3 G7\nplay white E5\n"
    "genmove black\nshowboard\nfinal_score\nkgs-genmove_cleanup white\nquit\n",
    "LizzieYZY": "name\nversion\nlist_commands\nboardsize 9\nkata-get-rules\nkomi 7.5\n"
    "clear_cache\ntime_settings 0 1 1\nplay B E5\nlz-genmove_analyze W 50\nundo\n"
    "place_free_handicap 2\nclear_board\nplace_free_handicap 2\nquit\n",
}
GOLDEN = Path(__file__).parent / "golden"
REFUSED = {"LizzieYZY": 1}
"""Lizzie asks for handicap stones on a board that has a stone."""


def without_scores(text: str) -> str:
    """What random playouts say of the score changes with them."""
    return re.sub(r"(score\w+) [-\d.]+", r"\1 *", text)


@pytest.mark.parametrize("client", CLIENTS)
def test_what_clients_send_is_answered(client: str) -> None:
    sent = CLIENTS[client]
    text = talk(sent, size=9)
    answers = text.removesuffix("\n\n").split("\n\n")
    assert len(answers) == sent.count("\n")
    assert sum(a.startswith("?") for a in answers) == REFUSED.get(client, 0)
    for line, answered in zip(sent.splitlines(), answers, strict=True):
        number = re.match(r"\d*", line)
        assert number
        assert re.match(rf"[=?]{number[0]}(\s|$)", answered)
    # Rewrite after a wanted change: python -m tests.play.test_gtp
    assert without_scores(text) == (GOLDEN / f"{client}.txt").read_text("utf-8")


def test_records_are_loaded_and_written(tmp_path: Path) -> None:
    file = tmp_path / "game.sgf"
    setup = f"boardsize 9\nkomi 5.5\nfixed_handicap 2\nplay w e5\nplay b pass\nprintsgf {file}\n"
    assert "?" not in talk(setup)
    text = talk(f"loadsgf {file}\nlist_stones b\nlist_stones w\nget_komi\nundo\nundo\nundo\n")
    answers = text.removesuffix("\n\n").split("\n\n")
    assert answers == ["= white", "= G7 C3", "= E5", "= 5.5", "=", "=", "? cannot undo"]
    assert "= white" in talk(f"loadsgf {file} 1\n")
    spaced = file.rename(tmp_path / "a game 1.sgf")
    assert "= white" in talk(f"loadsgf {spaced}\n")
    assert "= black" in talk(f"loadsgf {spaced} 2\n")
    wide = spaced.rename(tmp_path / "two  blanks.sgf")
    assert "= black" in talk(f"7 loadsgf {wide} 2\n").replace("=7", "=")
    assert talk(f"loadsgf {'a' * 300} 5\nname\n").startswith("? cannot load file: ")
    file.write_text("(;SZ[9];B[aa];W[aa])")
    shown = talk(f"play b c3\nloadsgf {file}\nlist_stones b\n").split("\n\n")
    assert shown[1:3] == ["? cannot load file: move 2 is an illegal move", "= C3"]


def test_what_a_record_does_not_say_clearly_is_said_on_standard_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "game.sgf"
    file.write_text("(;SZ[9]KM[375];B[aa];W[bb];AB[cc];W[dd])")
    assert said(f"loadsgf {file}\nget_komi\n") == ["= black", "= 7.5"]
    assert capsys.readouterr().err.splitlines() == [
        f"tengen: warning: {file}: stones are set up after move 2; read up to there",
        f"tengen: warning: {file}: KM: '375' is taken for 7.5",
    ]


def test_clock() -> None:
    clock = Clock()
    assert clock.seconds(0, 81) is None
    clock.set(600, 0, 0)
    seconds = clock.seconds(0, 80)
    assert seconds is not None
    assert 10 < seconds <= 15
    clock.left[0] = (10, 5)
    assert clock.seconds(0, 80) == pytest.approx(2.0)
    clock.left[0] = (-3, 0)
    assert 0 < (clock.seconds(0, 80) or 0) <= 0.05
    clock.set(0, 10, 0)
    assert clock.seconds(0, 80) is None


@pytest.mark.parametrize(
    ("settings", "spent", "left"),
    [
        ((60, 0, 0), [10, 30], (20, 0)),  # absolute
        ((20, 30, 2), [15, 12, 3], (30, 2)),  # Canadian: the second move ends the main time
        ((20, 30, 3), [15, 12, 3], (20, 1)),
        ((0, 30, 5, True), [20, 29], (30, 5)),  # byo-yomi: within a period nothing is lost
        ((0, 30, 5, True), [70], (30, 3)),
    ],
)
def test_a_clock_runs_without_being_told(
    settings: tuple[int, int, int], spent: list[float], left: tuple[float, int]
) -> None:
    clock = Clock()
    clock.set(*settings)
    for seconds in spent:
        clock.spend(1, seconds)
    assert clock.left == {1: left}


def test_a_game_ends_within_its_time() -> None:
    clock, seconds = Clock(), 0.0
    clock.set(300, 0, 0)
    for empty in range(361, 1, -2):
        taken = clock.seconds(0, empty) or 0.0
        clock.spend(0, taken)
        seconds += taken
    assert 200 < seconds < 300
    clock.set_fischer(60, 5)
    clock.spend(0, 20)
    assert clock.left == {0: (45, 0)}
    clock.set(0, 1, 0)  # no limit
    clock.spend(0, 20)
    assert clock.seconds(0, 80) is None and not clock.left


def test_who_took_a_ko_may_fill_it() -> None:
    stones = "".join(
        f"play b {b}\nplay w {w}\n"
        for b, w in zip(["d5", "e6", "e4", "a1"], ["f6", "f4", "g5", "e5"], strict=True)
    )
    taken = f"boardsize 9\n{stones}play b f5\n"
    assert said(f"{taken}is_legal w e5\nis_legal b e5\n")[-2:] == ["= 0", "= 1"]
    assert said(f"{taken}play b e5\n")[-1] == "="
    assert said(f"{taken}play w e5\n")[-1] == "? illegal move"
    assert said(f"{taken}gogui-setup_player b\nall_legal b\n")[-1].count("E5") == 1


def test_multi_line_answers_hold_no_empty_line() -> None:
    assert answer(Command("4", "x", ()), "\na\n\nb\n") == "=4\na\nb\n\n"


if __name__ == "__main__":
    for name, lines in CLIENTS.items():
        (GOLDEN / f"{name}.txt").write_text(without_scores(talk(lines, size=9)), "utf-8")
