"""Whatever comes on the line: any text, bytes, a client that dies, lines while it thinks."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import UserError
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.session import Session
from play.engine import Engine
from play.gtp.analysis import STREAMING
from play.gtp.extras import COMMANDS
from play.gtp.protocol import parse_line
from play.gtp.server import GtpServer
from search.player import Judgement, Limits, RandomPlayer, Watcher
from tests.play.gtp_client import FirstLegal


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


@pytest.fixture
def compiled_rules() -> None:
    """A process that finds them in no cache says on stderr that it compiles."""
    Session(GO, GoOptions(5))


@pytest.mark.usefixtures("compiled_rules")
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


@pytest.mark.usefixtures("compiled_rules")
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


def test_the_command_serves_a_real_process() -> None:
    command = [sys.executable, "-m", "tengen", "gtp", "--agent", "uct:50", "--size", "5"]
    with Engine(command) as engine:
        assert engine.send("name") == "Tengen"
        assert engine.send("genmove black")
        assert engine.send("showboard").count("\n") >= 6
