"""What a GTP client is shown of a search: lines, when they come, which moves are looked at."""

from __future__ import annotations

import re
import time
from dataclasses import replace

import numpy as np
import pytest

from envs.games.session import Session
from search.player import Judgement, Limits, Watcher
from search.uct import UctOptions, UctPlayer
from tests.play.gtp_client import FirstLegal, said, talk


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
