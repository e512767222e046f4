"""Collections of games: what is left out and why, and positions rebuilt from moves."""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from agents.alphago import positions as data
from agents.alphago.collection import Counts, Filters, rank_number, read_games
from agents.alphago.positions import Positions, compiled
from core.errors import UserError
from core.files import atomic
from envs.games.go import rules
from envs.games.go.features import copy_cells
from envs.games.go.game import GO
from envs.games.options import GoOptions
from envs.games.session import Session
from envs.games.sgf.record import GameRecord, write_records
from envs.games.state import HEIGHT, SECOND, WIDTH
from tests.agents.go_games import game_by_rule, write_games
from tests.envs.games.slow_go import SlowGo


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; the kernels stay where they are."""
    from core.machine.kernels import cache_folder

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache_folder()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


def silent(text: str) -> None:
    """Hears nothing."""


def place_stones(state: np.ndarray, stones: tuple[int, ...]) -> None:
    """Black stones on an empty board; White moves."""
    board = np.zeros(state[HEIGHT] * state[WIDTH], np.int8)
    board[list(stones)] = 1
    rules.set_position(state, board, SECOND)


def handicap_game(size: int = 5) -> GameRecord:
    """Two black stones, then White moves first."""
    state = GO.initial_state(GoOptions(size=size, rules="chinese"))
    stones = (6, 18)
    place_stones(state, stones)
    session = Session(GO, GoOptions(size=size, rules="chinese"), state)
    for _ in range(12):
        session.play(int(np.flatnonzero(session.legal_mask()[:-1])[-1]))
    moves = tuple((player + 1, cell) for player, cell in session.actions)
    return GameRecord(size=size, handicap=2, black_stones=stones, to_move=2, moves=moves)


def test_what_is_left_out_is_counted_by_reason(tmp_path: Path) -> None:
    good = replace(game_by_rule(5, 1), black_rank="3d", white_rank="1d?")
    colours = [(1, cell) for _, cell in good.moves]
    games = [
        good,
        replace(game_by_rule(5, 2), black_rank="9p", white_rank="1d"),
        replace(good, black="somebody else"),
        replace(game_by_rule(7, 3), black_rank="3d", white_rank="1d"),
        replace(good, white_rank="1k"),
        replace(good, white_rank="?"),
        replace(handicap_game(), black_rank="3d", white_rank="3d"),
        replace(good, white_stones=(3,)),
        replace(good, moves=tuple(colours)),
        replace(good, moves=((1, 0), (2, 0), *good.moves)),
        replace(good, moves=good.moves[:5]),
    ]
    write_records(tmp_path / "a.sgf", games)
    (tmp_path / "b.sgf").write_text("(;SZ[5];B[aa];W[bb")
    counts = Counts()
    files = [tmp_path / "a.sgf", tmp_path / "b.sgf"]
    kept = list(read_games(files, Filters(5, lowest_rank="1d"), counts, silent))
    assert [game.result for game in kept] == [1, -1]
    assert counts.kept == 2
    assert counts.left_out == Counter(
        {
            "there twice": 1, "another size": 1, "rank too low or unknown": 2, "handicap": 1,
            "begins with given stones": 1, "colours not in turn": 1, "illegal move": 1,
            "too short": 1,
        }
    )  # fmt: skip
    assert len(counts.damaged) == 1
    assert "b.sgf: line 1" in counts.damaged[0]
    assert "11 games found, 2 kept; left out: rank too low or unknown 2" in counts.lines()[0]


@pytest.mark.parametrize(
    ("text", "number"),
    [("30k", -29), ("1k", 0), ("1d", 1), ("9P", 18), (" 3 dan", 3), ("?", None), ("", None)],
)
def test_ranks_grow_with_strength(text: str, number: int | None) -> None:
    assert rank_number(text) == number


def test_variations_and_moves_after_the_end_are_ignored(tmp_path: Path) -> None:
    moves = "".join(f";{'BW'[i % 2]}[{'abcde'[i % 5]}{'abcde'[i // 5]}]" for i in range(10))
    text = f"(;SZ[5]RE[B+R]{moves}(;B[];W[];B[ee])(;B[ec]))"
    (tmp_path / "game.sgf").write_text(text)
    (game,) = read_games([tmp_path / "game.sgf"], Filters(5), Counts(), silent)
    assert game.moves.tolist() == [*range(10), 25, 25]


def test_positions_are_those_of_the_games(tmp_path: Path) -> None:
    records = [*(game_by_rule(5, seed) for seed in range(30)), handicap_game()]
    passing = replace(game_by_rule(5, 40), moves=((1, 12), (2, None), *game_by_rule(5, 41).moves))
    write_records(tmp_path / "games.sgf", [*records, passing])
    found = compiled(tmp_path / "games.sgf", Filters(5, most_handicap=2), silent)
    parts = [found.samples(part) for part in (data.TRAINING, data.VALIDATION, data.TEST)]
    numbers = np.random.default_rng(0).permutation(np.concatenate(parts))
    samples = found.read(numbers)
    seen: set[tuple[int, int]] = set()
    for record, start in zip([*records, passing], found.starts, strict=False):
        state = GO.initial_state(GoOptions(size=5, rules="chinese"))
        slow = SlowGo(5, "simple", False)
        if record.black_stones:
            place_stones(state, record.black_stones)
            cells = tuple(int(cell in record.black_stones) for cell in range(25))
            slow = SlowGo(5, "simple", False, cells, 2)
        session = Session(GO, GoOptions(size=5, rules="chinese"), state)
        for ply, (colour, cell) in enumerate(record.moves):
            row = np.flatnonzero(numbers == start + ply)
            assert len(row) == (cell is not None)
            if cell is not None:
                assert np.array_equal(samples.states[row[0]], session.state)
                board = np.zeros(25, np.int8)
                copy_cells(samples.states[row[0]], board)
                assert tuple(board) == slow.board
                assert samples.moves[row[0]] == cell
                won = {"B": 1, "W": -1}.get(record.result[:1], 0) * (1 if colour == 1 else -1)
                assert samples.results[row[0]] == won
                seen.add((int(start), ply))
            session.play(25 if cell is None else cell)
            slow.play(cell)
    assert len(seen) == len(numbers)


def test_parts_are_of_whole_games_and_stay_with_them(tmp_path: Path) -> None:
    games = [game_by_rule(5, seed) for seed in range(120)]
    write_records(tmp_path / "one.sgf", games)
    write_records(tmp_path / "two.sgf", games[::-1])

    def parts(name: str) -> dict[bytes, int]:
        found = compiled(tmp_path / name, Filters(5), silent)
        assert len(np.unique(found.parts)) == 3
        moves = np.split(found.moves, found.starts[1:-1])
        of_game = {game.tobytes(): int(part) for game, part in zip(moves, found.parts, strict=True)}
        for part in range(3):
            places = np.searchsorted(found.starts, found.samples(part), side="right") - 1
            assert set(np.unique(places)) == set(np.flatnonzero(found.parts == part))
        return of_game

    assert parts("one.sgf") == parts("two.sgf")


def test_a_collection_is_compiled_once_and_again_when_it_changed(tmp_path: Path) -> None:
    folder = tmp_path / "games"
    (folder / "below").mkdir(parents=True)
    write_games(folder / "below" / "some.SGF", 5, 5)
    told: list[str] = []
    assert compiled(folder, Filters(5), told.append).facts["games"] == 5
    assert told == ["5 games found, 5 kept"]
    compiled(folder, Filters(5), told.append)
    assert len(told) == 1
    write_records(folder / "more.sgf", [game_by_rule(5, 99)])
    assert compiled(folder, Filters(5), told.append).facts["games"] == 6
    assert told[1:] == ["6 games found, 6 kept"]


def test_a_compilation_that_was_cut_off_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_games(tmp_path / "games.sgf", 5, 5)

    def fail(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(atomic, "rename", fail)
        with pytest.raises(UserError, match="No space left"):
            compiled(path, Filters(5), silent)
    assert len(compiled(path, Filters(5), silent).samples(data.TRAINING)) > 0


def test_damaged_files_of_the_cache_are_said(tmp_path: Path) -> None:
    path = write_games(tmp_path / "games.sgf", 5, 5)
    compiled(path, Filters(5), silent)
    (folder,) = data.cache_folder().iterdir()
    moves = np.load(folder / "moves.npy")
    np.save(folder / "moves.npy", np.full_like(moves, 30_000))
    with pytest.raises(UserError, match="not those that were written"):
        Positions.mapped(folder)
    (folder / "facts.json").write_text("[]")
    with pytest.raises(UserError, match="is damaged"):
        Positions.mapped(folder)
    os.truncate(folder / "moves.npy", 60)
    with pytest.raises(UserError, match="is damaged"):
        Positions.mapped(folder)


def test_no_games_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="tengen games go --out FOLDER"):
        compiled(tmp_path, Filters(5), silent)
    path = write_games(tmp_path / "games.sgf", 5, 3)
    with pytest.raises(UserError, match=r"no game is left .* another size 3"):
        compiled(path, Filters(9), silent)
    with pytest.raises(UserError, match="'strong' is no rank"):
        compiled(path, Filters(5, lowest_rank="strong"), silent)
