"""Published figures: complete, keyed by real games, and equal to a few read elsewhere."""

from __future__ import annotations

import ale_py
import gymnasium

from envs.atari.scores import PUBLISHED, RANDOM_AND_HUMAN, published, random_and_human


def test_every_game_exists_and_a_human_beats_chance() -> None:
    gymnasium.register_envs(ale_py)
    assert len(RANDOM_AND_HUMAN) == 57
    for game, (random, human) in RANDOM_AND_HUMAN.items():
        assert f"ALE/{game}-v5" in gymnasium.registry
        assert human > random, game
    for *_, scores in PUBLISHED:
        for game in scores:
            assert game in RANDOM_AND_HUMAN


def test_figures_read_from_the_papers() -> None:
    assert random_and_human("Breakout") == (1.7, 30.5)
    assert random_and_human("Combat") is None
    nature = published("Breakout")[0]
    assert (nature.score, nature.protocol) == (401.2, "nature2015")
    assert [row.score for row in published("Pong") if "2013" in row.label] == [20.0]
    assert published("Combat") == ()
