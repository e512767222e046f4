"""`python -m studies.rollout_policy`: weights of fast rollouts from records of games."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.numpy import load_file

from studies.rollout_policy import main
from tests.agents.go_games import write_games


def test_it_learns_and_says_how_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    games = write_games(tmp_path / "games.sgf", 5, 40)
    out = tmp_path / "new" / "weights.safetensors"
    main([str(games), "--size", "5", "--epochs", "2", "--out", str(out)])
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "36 games to learn from, 4 held out" and said[2].startswith("epoch 2: ")
    learned, uniform = (float(line.split(", ")[-1].split()[0]) for line in said[-2:])
    assert learned < uniform, "nats a move on games not learned from"
    assert load_file(out)["weights"].dtype == "float16"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "error: name files of games, or folders of them"),
        (("nosuch.sgf",), "error: no games in nosuch.sgf"),
        (("a.sgf", "--epoch", "2"), "there is no option --epoch; did you mean '--epochs'?"),
    ],
)
def test_a_mistake_is_one_line(arguments: tuple[str, ...], expected: str) -> None:
    with pytest.raises(SystemExit) as raised:
        main(arguments)
    assert expected in str(raised.value) and "\n" not in str(raised.value)
