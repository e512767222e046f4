"""The value network: games by the recipe, one position of each or all, learning, resuming."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from agents.alphago import value_games
from agents.alphago.networks import build_policy_network
from agents.alphago.rl_config import GoRLConfig
from agents.alphago.self_play import Choice, PolicyPlayer
from agents.alphago.value import Outcomes
from agents.alphago.value_build import score
from agents.alphago.value_config import GoValueConfig
from agents.alphago.value_games import make_games, play_chunk, read_chunk, read_games
from core.errors import UserError
from core.files import tensor_file
from core.learner import Arithmetic
from core.trainer import Trainer
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.session import Session
from networks.control.alphago import ValueTower
from tasks.options import TrainingConfig
from tests.agents.go_games import write_games

MakeTrainer = Callable[..., Trainer]
OPTIONS = GoOptions(size=4, komi=0.5)


class FirstPoint:
    """Plays the first, or the last, sensible point; counts its moves by game and ply."""

    def __init__(self, place: int) -> None:
        self.place = place

    def choose(self, states: np.ndarray, random: np.random.Generator) -> Choice:
        mask, actions = np.zeros(17, np.uint8), []
        for state in states:
            GO.legal(state, mask)
            points = np.flatnonzero(mask[:-1])
            actions.append(int(points[self.place]) if len(points) and state[1] < 30 else 16)
        nothing = np.zeros(len(states), np.int64)
        return Choice(np.array(actions), nothing, nothing, nothing > 0)


def policies() -> list[PolicyPlayer]:
    torch.manual_seed(0)
    config = GoRLConfig(size=4, layers=1, filters=4)
    return [PolicyPlayer(build_policy_network(config), Arithmetic(), 4) for _ in range(2)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(value_games, "CHUNK", 100)
    make_games(tmp_path / "games", 300, OPTIONS, policies, 0, lambda text: None)
    return tmp_path / "games"


def test_games_follow_the_recipe() -> None:
    first, last = FirstPoint(0), FirstPoint(-1)
    players = [first, value_games.UniformPlayer(), last]
    chunk = play_chunk(players, 40, OPTIONS, np.random.default_rng(2))
    begin = 0
    seen = 0
    for length, sampled, result in zip(
        chunk["lengths"].tolist(), chunk["sampled"].tolist(), chunk["results"].tolist(), strict=True
    ):
        session = Session(GO, OPTIONS)
        for ply, move in enumerate(chunk["moves"][begin : begin + length].tolist()):
            points = np.flatnonzero(session.legal_mask()[:-1])
            if sampled >= 0 and len(points) and ply < 30:
                if ply < sampled - 1:
                    assert move == points[0]
                elif ply >= sampled:
                    assert move == points[-1]
                seen += ply == sampled
            session.play(move)
        assert session.is_over and session.outcome == result
        begin += length
    assert seen > 20
    assert len(set(chunk["sampled"].tolist())) > 5


def test_an_interrupted_making_goes_on_and_gives_the_same_games(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_games(folder, 300, OPTIONS)
    (folder / "games-00001.safetensors").unlink()
    made: list[str] = []
    make_games(folder, 300, OPTIONS, policies, 0, made.append)
    assert made == ["made 200 of 300 games"]
    again = read_games(folder, 300, OPTIONS)
    assert all(np.array_equal(whole[name], again[name]) for name in whole)

    def never() -> list[PolicyPlayer]:
        raise AssertionError("nothing is missing")

    make_games(folder, 300, OPTIONS, never, 0, made.append)
    make_games(folder, 301, OPTIONS, policies, 0, made.append)
    assert made[1:] == ["made 301 of 301 games"]
    more = read_games(folder, 301, OPTIONS)
    assert len(more["lengths"]) == 301
    assert np.array_equal(more["lengths"][:300], whole["lengths"])


def test_one_position_of_a_game_is_learned_or_all(folder: Path) -> None:
    config = GoValueConfig(data=str(folder), games=300, size=4, komi=0.5, layers=1, filters=4)
    one, everything = Outcomes(config), Outcomes(replace(config, positions="all"))
    games = read_games(folder, 300, OPTIONS)
    learned = one.positions.read(one.learned)
    assert len(set(one._games_of(one.learned).tolist())) == len(one.learned)
    # The mover's outcome, after exactly the moves before the sampled position.
    sampled = games["sampled"][one._games_of(one.learned)]
    assert learned.states[:, 1].tolist() == sampled.tolist()
    signs = 1 - 2 * (sampled % 2)
    assert (learned.results == games["results"][one._games_of(one.learned)] * signs).all()
    # All: that position and those after it.
    owners = everything._games_of(everything.learned)
    after = everything.learned - everything.positions.starts[owners]
    assert (after >= games["sampled"][owners]).all() and (games["sampled"][owners] >= 0).all()
    assert everything.num_examples > 2 * one.num_examples
    assert everything.held_out.keys() == one.held_out.keys()
    batch = one.batch(np.arange(8), np.random.default_rng(0))
    assert (batch["planes"][:, 48] == (sampled[:8] % 2 == 0)[:, None, None]).all()


def test_one_position_of_each_game_of_a_collection(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from core.machine.kernels import cache_folder

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache_folder()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    data = str(write_games(tmp_path / "games.sgf", 5, 60))
    config = GoValueConfig(data=data, size=5, layers=1, filters=4)
    one, everything = Outcomes(config), Outcomes(replace(config, positions="all"))
    assert one.num_examples < 60 < everything.num_examples
    with pytest.raises(UserError, match="another size 60"):
        Outcomes(replace(config, size=7))


def test_the_tower_is_the_papers() -> None:
    tower = ValueTower(49, 19)
    body = 25 * 49 * 192 + 192 + 12 * (9 * 192 * 192 + 192)
    top = 192 + 1 + 361 * 256 + 256 + 256 + 1
    assert sum(p.numel() for p in tower.parameters()) == body + top
    values = ValueTower(49, 5, 1, 2)(torch.rand(3, 49, 5, 5) * 100)
    assert values.shape == (3,) and (values.abs() <= 1).all()


def test_it_learns_scores_and_resumes(make_trainer: MakeTrainer, folder: Path) -> None:
    training = TrainingConfig(batch_size=16, epochs=20.0, learning_rate=5e-3)
    config = GoValueConfig(data=str(folder), games=300, size=4, komi=0.5, layers=2, filters=8,
                           training=training)  # fmt: skip
    trainer = make_trainer("go-value", config, "whole", evaluate_every=0, total_steps=1600)
    fresh = score(config, trainer.agent.state_dict(), "cpu", lambda: False)
    trainer.run()
    scored = score(config, trainer.agent.state_dict(), "cpu", lambda: False)
    assert fresh is not None and scored is not None
    assert scored.scores["training_error"] < fresh.scores["training_error"] - 0.1
    cut = make_trainer("go-value", config, "cut", evaluate_every=0, total_steps=1600)
    cut._start()
    for _ in range(10):
        cut._advance()
    cut.save()
    cut._advance()
    resumed = make_trainer("go-value", config, "cut", evaluate_every=0, total_steps=1600)
    resumed.run()
    theirs = trainer.agent.state_dict()["network"]
    for name, weight in resumed.agent.state_dict()["network"].items():
        assert torch.equal(weight, theirs[name]), name


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("facts", [9, 1], "of 9 lines"),
        ("moves", "first", "has an illegal move"),
        ("moves", 99, "outside the board"),
        ("lengths", 0, "do not fit"),
        ("sampled", 400, "outside the board"),
    ],
)
def test_games_that_cannot_be_are_refused(
    folder: Path, name: str, value: object, said: str
) -> None:
    path = folder / "games-00000.safetensors"
    chunk = {key: array.copy() for key, array in read_chunk(path, OPTIONS).items()}
    if value == "first":
        chunk[name][1] = chunk[name][0]
    elif isinstance(value, list):
        chunk[name][:] = value
    else:
        chunk[name][0] = value
    path.write_bytes(b"".join(bytes(part) for part in tensor_file.chunks(chunk)))
    with pytest.raises(UserError, match=said):
        read_games(folder, 300, OPTIONS)


def test_two_policies_are_needed_to_make_games() -> None:
    from core.config import check

    with pytest.raises(UserError, match="--supervised and --reinforced"):
        check(GoValueConfig(data="games", supervised="run"))
