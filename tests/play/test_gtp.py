"""The GTP engine: golden transcripts of what each client sends, and what no client should send."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from envs.games.options import GoOptions
from envs.games.session import Session
from envs.games.state import TO_MOVE
from play.engine import Engine
from play.gtp.analysis import STREAMING
from play.gtp.board import GtpBoard
from play.gtp.clock import Clock
from play.gtp.extras import COMMANDS
from play.gtp.protocol import Command, answer, parse_line
from play.gtp.server import GtpServer
from search.player import Judgement, Limits, RandomPlayer, Watcher
from search.uct import UctOptions, UctPlayer


class FirstLegal(RandomPlayer):
    """Plays the first legal point, so that transcripts are fixed."""

    name = "first"

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        mask = session.legal_mask()
        action = int(np.flatnonzero(mask)[0])
        visits = np.zeros(len(mask), np.int64)
        visits[action] = 3
        values = np.where(visits, 0.5, np.nan)
        judgement = Judgement(action, 0.5, visits, values, variation=(action,))
        endless = limits is not None and (limits.seconds or 0) > 1e6
        while watch and endless and watch(judgement):
            pass
        return judgement


def talk(text: str, player: Any = None, **options: Any) -> str:
    """What the engine writes for a whole input."""
    sink = io.StringIO()
    source, chosen = io.BytesIO(text.encode()), GoOptions(**{"size": 5, **options})
    GtpServer(player or FirstLegal(), chosen, COMMANDS, STREAMING, source, sink).run()
    return sink.getvalue()


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
    for line, said in zip(sent.splitlines(), answers, strict=True):
        number = re.match(r"\d*", line)
        assert number
        assert re.match(rf"[=?]{number[0]}(\s|$)", said)
    # Rewrite after a wanted change: python -m tests.play.test_gtp
    assert without_scores(text) == (GOLDEN / f"{client}.txt").read_text("utf-8")


@pytest.mark.parametrize("command", ["lz-analyze", "kata-analyze", "analyze"])
def test_analysis_runs_until_the_next_line(command: str) -> None:
    player = UctPlayer(UctOptions(playouts=100, threads=1))
    text = talk(f"5 {command} b 5 rootInfo true ownership true\n6 name\n", player)
    first, second = text.removesuffix("\n\n").split("\n\n")
    header, *lines = first.split("\n")
    assert (header, second) == ("=5", "=6 Tengen")
    assert lines
    for line in lines:
        assert re.match(
            r"info move \S+ visits \d+ winrate \S+ .*prior \S+ lcb \S+ order 0 pv ", line
        )
        assert len(line.partition("ownership ")[2].split()) == 25
        rates = re.findall(r"winrate (\S+)", line)
        assert all(("." in rate) == (command != "lz-analyze") for rate in rates)


def test_genmove_analyze_ends_with_the_move() -> None:
    text = talk("lz-genmove_analyze b 100\nlist_stones b\n")
    move, stones = text.removesuffix("\n\n").split("\n\n")
    assert move.split("\n")[-1] == "play A5"
    assert stones == "= A5"


def test_records_are_loaded_and_written(tmp_path: Path) -> None:
    file = tmp_path / "game.sgf"
    setup = f"boardsize 9\nkomi 5.5\nfixed_handicap 2\nplay w e5\nplay b pass\nprintsgf {file}\n"
    assert "?" not in talk(setup)
    text = talk(f"loadsgf {file}\nlist_stones b\nlist_stones w\nget_komi\nundo\nundo\nundo\n")
    answers = text.removesuffix("\n\n").split("\n\n")
    assert answers == ["= white", "= G7 C3", "= E5", "= 5.5", "=", "=", "? cannot undo"]
    assert "= white" in talk(f"loadsgf {file} 1\n")
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


@settings(max_examples=300)
@given(st.text(max_size=60), st.lists(st.sampled_from(sorted(COMMANDS)), max_size=2))
def test_any_line_gets_one_answer_or_none(text: str, names: list[str]) -> None:
    server = GtpServer(
        FirstLegal(), GoOptions(size=3), COMMANDS, STREAMING, io.BytesIO(), io.StringIO()
    )
    for line in (text, *(f"1 {name} {text}" for name in names)):
        command = parse_line(line.replace("\n", " "))
        if command is None or command.name in STREAMING:
            continue
        said = server.respond(command)
        assert re.match(r"[=?]\d*", said)
        assert said.endswith("\n\n")
        assert said.count("\n\n") == 1


class Recorder(FirstLegal):
    """Notes how each search was limited, and how often it asked whether to go on."""

    def __init__(self) -> None:
        super().__init__()
        self.searches: list[tuple[int, bool, int]] = []

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        asked = 0

        def counted(judgement: Judgement) -> bool:
            nonlocal asked
            asked += 1
            return watch is not None and watch(judgement)

        judgement = super().judge(session, limits, counted)
        endless = limits is not None and (limits.seconds or 0) > 1e6
        self.searches.append((len(session.actions), endless, asked))
        return judgement


def test_pondering_searches_what_the_opponent_sees_until_a_line_comes() -> None:
    recorder = Recorder()
    text = "genmove b\nplay w e5\ngenmove b\nquit\n"
    options, sink = GoOptions(size=5), io.StringIO()
    GtpServer(
        recorder, options, COMMANDS, STREAMING, io.BytesIO(text.encode()), sink, ponder=True
    ).run()
    assert sink.getvalue() == "= A5\n\n=\n\n= B5\n\n=\n\n"
    moves, endless, asked = zip(*recorder.searches, strict=True)
    assert moves == (0, 1, 2, 3)
    assert endless == (False, True, False, True)
    assert asked[0] == asked[2] == 0 and asked[1] > 0 and asked[3] > 0

    recorder = Recorder()
    GtpServer(recorder, options, COMMANDS, STREAMING, io.BytesIO(text.encode()), sink).run()
    assert [endless for _, endless, _ in recorder.searches] == [False, False]


def test_pondering_that_fails_ends_nothing() -> None:
    class Fails(RandomPlayer):
        def judge(
            self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
        ) -> Judgement:
            if watch is not None:
                raise UserError("the engine is gone")
            return super().judge(session, limits)

    sink = io.StringIO()
    source = io.BytesIO(b"genmove b\nname\n")
    GtpServer(Fails(), GoOptions(size=5), COMMANDS, STREAMING, source, sink, ponder=True).run()
    assert sink.getvalue().endswith("= Tengen\n\n")


def test_bytes_that_are_no_text_and_long_lines_are_lines() -> None:
    sink = io.StringIO()
    sent = b"1 \xff\xfe\xc3\n2 name\xe9\n" + b"3 play " + b"b c3 " * 20_000 + b"\n4 name\n\xff"
    server = GtpServer(FirstLegal(), GoOptions(5), COMMANDS, STREAMING, io.BytesIO(sent), sink)
    server.run()
    assert sink.getvalue().split("\n\n") == [
        "?1 unknown command", "?2 unknown command", "?3 the line is longer than 65536 bytes",
        "=4 Tengen", "? unknown command", "",
    ]  # fmt: skip


class Broken(io.BytesIO):
    """An input that fails in a way that nobody foresaw."""

    def readline(self, size: int | None = -1, /) -> bytes:
        raise RuntimeError("the reader died")


def test_a_reader_that_dies_ends_the_server() -> None:
    server = GtpServer(FirstLegal(), GoOptions(5), COMMANDS, STREAMING, Broken(), io.StringIO())
    with pytest.raises(RuntimeError, match="the reader died"):
        server.run()


def test_random_bytes_never_stop_a_process_in_a_utf8_locale() -> None:
    rng = np.random.default_rng(3)
    noise = b"".join(rng.bytes(40).replace(b"\n", b"") + b"\n" for _ in range(300))
    command = [sys.executable, "-m", "tengen", "gtp", "--agent", "random"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "PYTHONUTF8": "0"}
    done = subprocess.run(
        command, input=noise + b"77 name\nquit\n", capture_output=True, env=environment, check=True
    )
    assert b"=77 Tengen\n\n=\n\n" in done.stdout[-40:]
    assert done.stderr == b""


def test_quit_ends_the_process_while_the_input_is_open() -> None:
    command = [sys.executable, "-m", "tengen", "gtp", "--agent", "random"]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, **pipes) as process:
        assert process.stdin and process.stdout and process.stderr
        process.stdin.write(b"quit\n")
        process.stdin.flush()
        assert process.stdout.read() == b"=\n\n"
        assert process.stderr.read() == b""
        assert process.wait() == 0


def test_multi_line_answers_hold_no_empty_line() -> None:
    assert answer(Command("4", "x", ()), "\na\n\nb\n") == "=4\na\nb\n\n"


def test_the_command_serves_a_real_process() -> None:
    command = [sys.executable, "-m", "tengen", "gtp", "--agent", "uct:50", "--size", "5"]
    with Engine(command) as engine:
        assert engine.send("name") == "Tengen"
        assert engine.send("genmove black")
        assert engine.send("showboard").count("\n") >= 6


def said(text: str, player: Any = None, **options: Any) -> list[str]:
    """The answers to a whole input, one by one."""
    return talk(text, player, **options).removesuffix("\n\n").split("\n\n")


def test_rules_change_and_the_game_goes_on() -> None:
    game = "boardsize 9\nkomi 5.5\nfixed_handicap 2\nplay w e5\nplay b e6\n"
    shown = said(game + "showboard\nkata-set-rules chinese\nshowboard\nmove_history\nget_komi\n")
    assert shown[5] == shown[7]
    assert shown[8] == "= black E6\nwhite E5" and shown[9] == "= 5.5"
    undone = said(game + "kata-set-rules aga\nundo\nundo\nlist_stones b\nundo\n")
    assert undone[-3:] == ["=", "= G7 C3", "? cannot undo"]


def test_whose_turn_it_is_outlasts_a_change_of_rules() -> None:
    board = GtpBoard(GoOptions(size=5))
    board.play(0, "a1")
    board.session.state[TO_MOVE] = 0
    board.set_rules("aga")
    assert board.session.to_move == 0


def test_superko_holds_for_what_was_played_before_the_rules_changed() -> None:
    # A ko that White may take back after two passes by simple ko alone.
    ko = [
        f"{c} {v}"
        for c, v in zip("bwbwbwb", ["B1", "C1", "A2", "D2", "B3", "C3", "pass"], strict=True)
    ]
    moves = "".join(f"play {move}\n" for move in [*ko, "w B2", "b C2", "w pass", "b pass"])
    assert "?" not in talk("kata-set-rules chinese\n" + moves + "is_legal w B2\n")
    assert said("kata-set-rules chinese\n" + moves + "is_legal w B2\n")[-1] == "= 1"
    asked = "kata-set-rules chinese\n" + moves + "kgs-rules chinese\nis_legal w B2\n"
    assert said(asked)[-1] == "= 0"
    broken = "kata-set-rules chinese\n" + moves + "play w B2\nkgs-rules chinese\nkata-get-rules\n"
    assert said(broken)[-2] == "? move 12 of this game is illegal under chinese-superko"
    assert '"ko":"SIMPLE"' in said(broken)[-1]


def test_rules_by_name_by_object_and_by_field() -> None:
    for name in ("tromp-taylor", "chinese", "chinese-ogs", "aga", "bga", "new_zealand", "cgos"):
        first = said(f"kata-set-rules {name}\nkata-get-rules\n")
        again = said(f"kata-set-rules {first[1][2:]}\nkata-get-rules\n")
        assert again == first and first[0] == "="
    assert '"POSITIONAL"' in said("kgs-rules chinese\nkata-get-rules\n")[1]
    assert '"suicide":true' in said("kgs-rules new_zealand\nkata-get-rules\n")[1]
    one = said("kata-set-rules chinese\nkata-set-rule ko POSITIONAL\nkata-get-rules\n")
    assert '"POSITIONAL"' in one[2]
    for refused in (
        "kgs-rules japanese",
        "kata-set-rules korean",
        "kata-set-rule scoring TERRITORY",
    ):
        (answered,) = said(f"kata-set-rules chinese\n{refused}\n")[1:]
        assert answered.startswith("? territory scoring is not played here")
    assert said("kata-set-rule fun 1\n")[0].startswith("? there is no rule 'fun'; known: ko, ")
    assert said("kata-set-rules {\n") == ["? the rules are no JSON"]


def test_stones_are_dead_only_where_the_rules_let_them_be() -> None:
    wall = "".join(f"play b b{row}\nplay w c{row}\n" for row in range(1, 6)) + "play w a3\n"
    asked = "final_score\nfinal_status_list dead\nfinal_status a3\n"
    agreed = said("kata-set-rules chinese\nkomi 0.5\n" + wall + asked)[-3:]
    assert agreed == ["= W+5.5", "= A3", "= dead"]
    alive = said("kata-set-rules tromp-taylor\nkomi 0.5\n" + wall + asked)[-3:]
    assert alive == ["= W+11.5", "=", "= alive"]


def test_clocks_of_kgs_and_katago() -> None:
    server = GtpServer(FirstLegal(), GoOptions(9), COMMANDS, STREAMING, io.BytesIO(), io.StringIO())

    def seconds(*lines: str) -> float:
        for line in lines:
            command = parse_line(line)
            assert command and server.respond(command).startswith("=")
        return server.clock.seconds(0, 81) or 0.0

    # Five periods of thirty seconds: every move has one of them, whatever the number left.
    assert 25 < seconds("kgs-time_settings byoyomi 0 30 5") < 30
    assert 25 < seconds("time_left b 30 5") < 30
    assert 25 < seconds("time_left b 30 1") < 30
    assert 30 < seconds("kgs-time_settings byoyomi 600 30 5", "time_left b 600 0") < 50
    canadian = seconds("kgs-time_settings canadian 0 300 25", "time_left b 300 25")
    assert canadian == pytest.approx(11.7)
    assert seconds("kata-time_settings fischer 0.5 10.5") == pytest.approx(0.2)
    assert 9 < seconds("time_left b 20.5 0") < 11
    assert seconds("kata-time_settings fischer-capped 60 30 -1 1.5") == pytest.approx(1.2)
    assert seconds("kata-time_settings none") == 0
    assert "byoyomi" in said("kata-list_time_settings\n")[0]
    for wrong in ("kata-time_settings fischer -1 5", "kgs-time_settings fischer 1 2",
                  "kgs-time_settings byoyomi 1 2 x", "time_left b nan 0"):  # fmt: skip
        assert said(f"{wrong}\n") == ["? syntax error"]


def test_moves_can_be_avoided_or_allowed_alone() -> None:
    def moves(line: str) -> set[str]:
        player = UctPlayer(UctOptions(playouts=200, threads=1))
        return set(re.findall(r"info move (\S+)", talk(line + "\nname\n", player).split("\n\n")[0]))

    assert moves("kata-genmove_analyze b 100 allow b C3,D4,pass 1") == {"C3", "D4", "pass"}
    assert "C3" not in moves("lz-analyze b 5 avoid b C3,D4 1 avoid b A1 1")
    assert len(moves("lz-genmove_analyze b 100 avoid b C3,D4 1 avoid w A1 1")) == 24
    assert said("lz-analyze b avoid b C3\n") == ["? syntax error"]
    refused = said("play b C3\nkata-analyze w allow w C3 1\nname\n")
    assert refused[1:] == ["? every legal move is to be avoided", "= Tengen"]


class Watched(FirstLegal):
    """Shows what it has three times before it decides, each a moment later."""

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        judgement = super().judge(session, limits)
        for _ in range(3):
            time.sleep(0.06)
            assert watch is None or watch(judgement)
        return judgement


def test_genmove_analyze_shows_what_it_thinks_on_the_way() -> None:
    first, stones = said("kata-genmove_analyze b 1 pvVisits true\nlist_stones b\n", Watched())
    header, *lines, move = first.split("\n")
    assert (header, move, stones) == ("=", "play A5", "= A5")
    assert len(lines) == 4
    assert all(re.search(r" scoreLead \S+ .* pv A5 pvVisits 3$", line) for line in lines)


class Silent(FirstLegal):
    """Knows no values, as an engine behind GTP."""

    def judge(
        self, session: Session, limits: Limits | None = None, watch: Watcher | None = None
    ) -> Judgement:
        judgement = super().judge(session, limits)
        return replace(judgement, values=np.full(len(judgement.visits), np.nan))


@pytest.mark.parametrize("command", ["lz-analyze b 5", "kata-analyze b 5", "lz-genmove_analyze b"])
def test_players_without_values_are_analysed(command: str) -> None:
    first, second = said(f"{command}\nname\n", Silent())
    assert re.search(r"winrate (5000|0.500000) ", first)
    assert second == "= Tengen"


def test_positions_are_set() -> None:
    text = "komi 6.5\nplay b a1\nset_position b C3 w D4 b E5\nlist_stones b\nget_komi\nundo\n"
    assert said(text)[3:] == ["= E5 C3", "= 6.5", "? cannot undo"]
    assert said("play b a1\nset_position\nlist_stones b\n")[-1] == "="
    for wrong, why in (("b C3 w c3", "a vertex is named twice"), ("b C3 w", "syntax error"),
                       ("w A1 b A2 b B1", "a chain has no liberty")):  # fmt: skip
        shown = said(f"play b d4\nset_position {wrong}\nlist_stones b\n")
        assert shown[1:] == [f"? {why}", "= D4"]


def test_parameters_limit_the_search() -> None:
    player = UctPlayer(UctOptions(playouts=10_000, threads=1))
    line = "kata-set-param maxVisits 70\nkata-genmove_analyze b 1000 rootInfo true\n"
    assert "rootInfo visits 70 " in said(line, player)[1]
    asked = 'kata-list-params\nkata-get-param maxTime\nkata-set-params {"maxTime": 2.5}\n'
    assert said(asked + "kata-get-param maxTime\n") == [
        "= maxVisits maxPlayouts maxTime", "= 1e+20", "=", "= 2.5",
    ]  # fmt: skip
    none = 'kata-set-params {"maxVisits": 9, "maxTime": 0}\nkata-get-params\n'
    assert json.loads(said(none)[-1][2:]) == {"maxVisits": 9, "maxPlayouts": 9, "maxTime": 0}
    # What is printed is taken back.
    back = f"kata-set-param maxVisits 9\nkata-set-param maxVisits {1e20:g}\nkata-get-params\n"
    assert json.loads(said(back)[-1][2:]) == dict.fromkeys(
        ("maxVisits", "maxPlayouts", "maxTime"), 1e20
    )
    wrong = said('kata-set-params {"maxTime": 1, "fun": 2}\nkata-get-param maxTime\n')
    assert wrong[0].startswith("? there is no parameter 'fun' here") and wrong[1] == "= 1e+20"
    assert said("kata-set-param analysisWideRootNoise 0.1\n")[0].startswith("? there is no")


def test_free_handicap_has_places_on_every_board() -> None:
    player = UctPlayer(UctOptions(playouts=50, threads=1))
    placed, listed, white = said("place_free_handicap 3\nlist_stones b\ngenmove w\n", player)
    assert len(set(placed.split()[1:])) == 3
    assert sorted(placed.split()[1:]) == sorted(listed.split()[1:])
    assert white.startswith("= ")
    lost = UctPlayer(UctOptions(playouts=150, threads=1, resign=0.4))
    assert len(said("boardsize 2\nplace_free_handicap 2\n", lost, komi=50)[1].split()) == 3
    assert said("kata-raw-nn all\n", player)[0] == "? UCT 50 has no network"


if __name__ == "__main__":
    for name, lines in CLIENTS.items():
        (GOLDEN / f"{name}.txt").write_text(without_scores(talk(lines, size=9)), "utf-8")
