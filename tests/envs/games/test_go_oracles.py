"""Go against programs that others wrote: GNU Go, and PettingZoo's go_v5 and connect_four_v3."""

from __future__ import annotations

import os
import random
import shutil

import numpy as np
import pytest

from core.machine.random_numbers import random_below, random_state
from envs.games.go import rules
from envs.games.go.board import BLACK_PRISONERS, WHITE_PRISONERS
from envs.games.go.game import GO
from envs.games.notation import parse_action
from envs.games.options import GoOptions
from envs.games.registry import load_game
from envs.games.session import Session
from envs.games.state import TO_MOVE, is_over
from play.engine import Engine

GNUGO = shutil.which("gnugo", path=f"{os.environ.get('PATH', '')}:/usr/games")
COLOURS = ("black", "white")


@pytest.mark.skipif(GNUGO is None, reason="GNU Go is not installed")
@pytest.mark.parametrize(("size", "ruleset"), [(9, "cgos"), (5, "cgos"), (7, "tromp-taylor")])
def test_random_games_agree_with_gnu_go(size: int, ruleset: str) -> None:
    suicide = "--allow-suicide" if ruleset == "tromp-taylor" else "--forbid-suicide"
    command = f"{GNUGO} --mode gtp --level 0 --chinese-rules --positional-superko {suicide}"
    draw = random.Random(size)
    options = GoOptions(size=size, rules=ruleset, komi=0.0)
    with Engine(command) as engine:
        for _ in range(3):
            session = Session(GO, options)
            engine.send(f"boardsize {size}")
            engine.send("clear_board")
            while not session.is_over:
                side = COLOURS[session.to_move]
                mask = session.legal_mask()
                theirs = engine.send(f"all_legal {side}").split()
                ours = [session.name_of(int(a)) for a in np.flatnonzero(mask[:-1])]
                assert sorted(theirs) == sorted(ours)
                moves = np.flatnonzero(mask[:-1])
                few = len(session.actions) > 4 * size * size
                action = size * size if few or not len(moves) else int(draw.choice(moves))
                session.play(action)
                engine.send(f"play {side} {session.name_of(action)}")
                cells = session.cells().ravel()
                for colour, name in enumerate(COLOURS, start=1):
                    stones = engine.send(f"list_stones {name}").split()
                    found = {parse_action(GO, options, word) for word in stones}
                    assert found == set(np.flatnonzero(cells == colour))
            # A count of prisoners: what Black captured are white stones.
            assert int(engine.send("captures black")) == session.state[WHITE_PRISONERS]
            assert int(engine.send("captures white")) == session.state[BLACK_PRISONERS]


def test_random_games_agree_with_pettingzoo_go() -> None:
    pytest.importorskip("pygame")
    from pettingzoo.classic import go_v5

    size = 7
    theirs = go_v5.raw_env(board_size=size, komi=5.5)
    # Simple ko is what go_v5 knows.
    options = GoOptions(size=size, rules="chinese", komi=5.5)
    draw = random.Random(0)
    for _ in range(15):
        theirs.reset()
        state = GO.initial_state(options)
        mask = np.zeros(size * size + 1, np.uint8)
        while not is_over(state) and not all(theirs.terminations.values()):
            rules.legal(state, mask)
            agent = theirs.agent_selection
            np.testing.assert_array_equal(theirs.observe(agent)["action_mask"], mask)
            moves = np.flatnonzero(mask[:-1])
            action = int(draw.choice(moves)) if len(moves) and draw.random() < 0.99 else size * size
            theirs.step(action)
            rules.play(state, action)
        if is_over(state) and state[rules.END] == rules.TWO_PASSES:
            assert theirs.terminations[theirs.agents[0]]
            assert np.sign(rules.score(state)) == theirs.rewards["black_0"]


def test_random_games_agree_with_pettingzoo_connect_four() -> None:
    pytest.importorskip("pygame")
    from pettingzoo.classic import connect_four_v3

    theirs = connect_four_v3.raw_env()
    game = load_game("connect-four")
    rng = random_state(4)[0]
    mask = np.zeros(7, np.uint8)
    for _ in range(100):
        theirs.reset()
        state = game.initial_state(game.options())
        while not is_over(state):
            game.legal(state, mask)
            observed = theirs.observe(theirs.agent_selection)
            np.testing.assert_array_equal(observed["action_mask"], mask)
            moves = np.flatnonzero(mask)
            action = int(moves[random_below(rng, len(moves))])
            mover = int(state[TO_MOVE])
            game.play(state, action)
            theirs.step(action)
        assert theirs.rewards[theirs.possible_agents[mover]] == (1 if abs(state[2]) == 1 else 0)
