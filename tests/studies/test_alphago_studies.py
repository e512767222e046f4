"""The studies of AlphaGo: matches side by side, tellers of outcomes, each study in small."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from agents.alphago.networks import build_policy_network
from agents.alphago.positions import TRAINING
from agents.alphago.rl_config import GoRLConfig
from agents.alphago.self_play import PolicyPlayer
from agents.alphago.value import positions_of
from agents.alphago.value_config import GoValueConfig
from commands.dispatch import main as tengen
from commands.study import main
from core.errors import UserError
from core.learner import Arithmetic
from envs.games.go import rules
from envs.games.go.game import GO
from envs.games.go.rollout import SHIPPED
from envs.games.options import GoOptions
from envs.games.session import Session
from play.match import open_randomly
from search.player import RESIGN
from studies.alphago_ablation import VARIANTS, parts_of
from studies.alphago_tellers import pattern_teller, policy_teller, uniform_teller
from studies.alphago_values import errors_of, held_out, mean_and_interval
from studies.side_by_side import VOID, SingleSide, play_match
from tests.agents.go_games import write_games

BOARD = GoOptions(size=5, komi=0.5)
TOWER = "--layers 1 --filters 4 --precision fp32"


@pytest.fixture(scope="module")
def stages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All stages on 5 lines, which have learned next to nothing."""
    folder = tmp_path_factory.mktemp("alphago")
    argv = ["train", "alphago", "--run-dir", str(folder / "runs"), "--size", "5", "--threads", "1"]
    argv += ["--data", str(write_games(folder / "games.sgf", 5, 40)), "--no-progress"]
    argv += ["--policy", f"{TOWER} --total-steps 64"]
    argv += ["--rl", f"{TOWER} --games 2 --total-steps 4 --evaluate-every 0"]
    argv += ["--value", f"{TOWER} --games 80 --batch-size 8 --total-steps 16 --komi 0.5"]
    assert tengen(argv) == 0
    return folder / "runs"


class ByRule:
    """Plays the first or the last legal point, by the number of moves so far."""

    def __init__(self, step: int) -> None:
        self.step = step

    def judge(self, session: Session) -> SimpleNamespace:
        points = np.flatnonzero(session.legal_mask()[:-1])
        over = len(session.actions) > 20 or not len(points)
        place = (self.step * len(session.actions)) % max(1, len(points))
        return SimpleNamespace(action=25 if over else int(points[place]))

    def close(self) -> None:
        pass


def test_games_side_by_side_end_as_they_do_one_after_the_other() -> None:
    sides = SingleSide(lambda lane: ByRule(3), 2), SingleSide(lambda lane: ByRule(7), 1)
    match = play_match(sides, GO, BOARD, 12, opening_moves=3, seed=5)
    wanted, moves = [], 0
    for number in range(12):
        session = Session(GO, BOARD)
        open_randomly(session, np.random.default_rng([5, number // 2]), 3)
        while not session.is_over:
            mine = session.to_move == number % 2
            session.play(ByRule(3 if mine else 7).judge(session).action)
        wanted.append(session.outcome if number % 2 == 0 else -session.outcome)
        moves += len(session.actions)
    assert match.results == wanted and match.moves == moves and match.void == 0
    assert {1, -1} == set(wanted)
    assert match.points == sum(result > 0 for result in wanted)


def test_who_resigns_has_lost_and_a_refused_move_counts_for_neither() -> None:
    class Says(ByRule):
        def choose(self, games: Sequence[int], sessions: Sequence[Session]) -> list[int]:
            return [self.step if number > 1 else 25 for number in games]

    resigned = play_match((Says(25), Says(RESIGN)), GO, BOARD, 4, 0, 1)
    assert resigned.results == [-1, 1, 1, 1] and resigned.games == 4  # two passes: komi decides
    void = play_match((Says(VOID), Says(25)), GO, BOARD, 4, 0, 1)
    assert void.results == [-1, 1, 0, 0] and void.games == 2 and void.points == 1


def test_all_tellers_know_who_has_won_when_it_is_decided() -> None:
    torch.manual_seed(0)
    network = build_policy_network(GoRLConfig(size=5, layers=1, filters=4))
    player = PolicyPlayer(network, Arithmetic(), 5)
    board = np.ones(25, np.int8)
    board[[0, 24]] = 0  # two eyes
    states = np.stack([GO.initial_state(BOARD)] * 2)
    for state, to_move in zip(states, (0, 1), strict=True):
        rules.set_position(state, board, to_move)
    before = states.copy()
    for teller in (uniform_teller(3), pattern_teller(SHIPPED, 3), policy_teller(player, 3)):
        told = teller(states, np.random.default_rng(1))
        np.testing.assert_array_equal(told, [[1, 1, 1], [-1, -1, -1]])
    np.testing.assert_array_equal(states, before)
    drawn = uniform_teller(64)(GO.initial_state(GoOptions(5))[None], np.random.default_rng(1))
    assert {-1.0, 1.0} <= set(drawn[0].tolist()) and abs(drawn.mean()) < 0.9


def test_errors_of_averages() -> None:
    told = np.array([[1.0, -1.0, 1.0, 1.0, -1.0], [1.0, 1.0, 1.0, 1.0, 1.0]])
    outcomes = np.array([1.0, -1.0])
    np.testing.assert_allclose(errors_of(told, outcomes, 1), [(0 + 4 + 0 + 0 + 4) / 5, 4])
    np.testing.assert_allclose(errors_of(told, outcomes, 2), [(1 + 0) / 2, 4])
    np.testing.assert_allclose(errors_of(told, outcomes, 5), [(1 - 0.2) ** 2, 4])
    mean, half = mean_and_interval([1.0, 2.0, 6.0])
    assert mean == 3 and half == pytest.approx(1.96 * np.std([1, 2, 6], ddof=1) / np.sqrt(3))


def test_only_moves_that_tell_of_the_outcome_are_chosen(stages: Path) -> None:
    source = {"size": 5, "komi": 0.5, "part": "held out", "seed": 1, "stage": 4, "games": 100}
    made = str(stages / "selfplay")
    chosen = held_out(made, source)
    positions, one = positions_of(GoValueConfig(data=made, games=1000, size=5, komi=0.5))
    games = np.searchsorted(positions.starts, chosen.numbers, side="right") - 1
    first = {int(np.searchsorted(positions.starts, n, side="right")) - 1: n for n in one}
    assert all(number >= first[game] for number, game in zip(chosen.numbers, games, strict=True))
    assert (chosen.positions.parts[games] != TRAINING).all()
    stage = (chosen.numbers - positions.starts[games]) // 4
    assert len(set(zip(games.tolist(), stage.tolist(), strict=True))) == len(games)
    everything = held_out(made, {**source, "part": "all"})
    assert everything.games > chosen.games and everything.digest != chosen.digest
    records = held_out(str(stages.parent / "games.sgf"), {**source, "games": 3})
    assert records.games == 3 and len(records.numbers) == 3 * 4


def test_a_variant_is_named_by_the_weights_it_uses() -> None:
    assert parts_of("reinforced policy + value + rollouts") == {"rl", "value", "rollout"}
    assert {frozenset(parts_of(name)) for name in VARIANTS} >= {frozenset({"value"})}


def test_the_studies_write_what_they_found(
    stages: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared = ["--folder", str(stages), "--quick", "--komi", "0.5", "--processes", "1"]
    made = ["--data", str(stages / "selfplay")]
    for name, more in (
        ("alphago-ablation", ["--games", "2", "--visits", "4"]),
        ("alphago-values", [*made, "--rollouts", "5", "--policy-rollouts", "2", "--stage", "9"]),
        (
            "alphago-overfitting",
            ["--size", "5", "--layers", "1", "--filters", "4", "--epochs", "1"],
        ),
    ):
        argv = [name, *shared, *more, "--out", str(tmp_path / name)]
        assert main(argv) == 0
        first = (tmp_path / name / "results.json").read_bytes()
        assert (tmp_path / name / "figure.png").read_bytes().startswith(b"\x89PNG")
        capsys.readouterr()
        assert main(argv) == 0
        assert " cells are in" in capsys.readouterr().out
        assert (tmp_path / name / "results.json").read_bytes() == first
    rated = json.loads((tmp_path / "alphago-ablation" / "results.json").read_bytes())
    assert len(rated["pairs"]) == 10 and sum(row["points"] for row in rated["players"]) == 20
    # Where all play all, ratings are in the order of the points, which the pairs say again.
    points = [row["points"] for row in rated["players"]]
    assert points == sorted(points, reverse=True)
    for name, total in ((row["player"], row["points"]) for row in rated["players"]):
        first = [p["won"] + p["drawn"] / 2 for p in rated["pairs"] if p["first"] == name]
        second = [p["lost"] + p["drawn"] / 2 for p in rated["pairs"] if p["second"] == name]
        assert total == sum(first) + sum(second) and len(first) + len(second) == 4
    assert [row["elo"] for row in rated["players"] if row["player"] == "uct:200"] == [0]
    told = json.loads((tmp_path / "alphago-values" / "results.json").read_bytes())["tellers"]
    assert list(told["uniform rollouts"]["rollouts"]) == ["1", "2", "5"]
    assert list(told["value network"]["rollouts"]) == ["1"]
    assert all(0 <= row["error"] <= 4 for teller in told.values() for row in teller["stages"])
    read = json.loads((tmp_path / "alphago-overfitting" / "results.json").read_bytes())["learned"]
    one, few, every = (read[name] for name in ("one of each", "all of few", "all of all"))
    assert one["positions"] == one["games"] and few["games"] < one["games"] <= every["games"]
    assert one["positions"] <= few["positions"] < one["positions"] + 75  # the last game is whole
    assert one["updates"] == few["updates"] == every["updates"]
    assert len({row["training"][-1] for row in (one, few, every)}) == 3


def test_what_is_missing_is_said_before_anything_is_played(stages: Path, tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "study")]
    with pytest.raises(UserError, match="tengen train alphago makes all"):
        main(["alphago-ablation", "--folder", str(tmp_path / "nowhere"), *out])
    with pytest.raises(UserError, match="there is no player 'uctt:5'"):
        main(["alphago-ablation", "--folder", str(stages), "--anchors", "uctt:5", *out])
    with pytest.raises(UserError, match="must be even"):
        main(["alphago-ablation", "--folder", str(stages), "--games", "5", *out])
    for anchor, said in (("policy", "plays here anyhow"), ("shipped:5s", "not seconds")):
        with pytest.raises(UserError, match=said):
            main(["alphago-ablation", "--folder", str(stages), "--anchors", anchor, *out])
    with pytest.raises(UserError, match="is a run of go-policy, not of go-value"):
        main(["alphago-ablation", "--folder", str(stages), "--value", str(stages / "policy"), *out])
    assert not (tmp_path / "study").exists()
