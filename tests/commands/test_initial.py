"""`--initial`: a new run begins with the weights of another."""

from __future__ import annotations

from pathlib import Path

import pytest

from commands.dispatch import main
from core.files import checkpoint

QUIET = ["--device", "cpu", "--threads", "1", "--precision", "fp32", "--no-progress"]
SHORT = ["--total-steps", "64", "--evaluate-every", "0"]
AGENTS = {
    "dqn": ["--preset", "catch"],
    "pqn": ["--preset", "catch"],
    "reinforce": ["--env", "tengen/Catch", "--lanes", "8"],
    "q-learning": [],
    "zero": ["--preset", "tic-tac-toe", "--lanes", "4", "--simulations", "4"],
    "classify": ["--preset", "digits", "--epochs", "1"],
}


@pytest.mark.parametrize("agent", AGENTS)
def test_a_new_run_begins_with_the_weights_of_another(
    agent: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    train = ["train", agent, *AGENTS[agent], *QUIET, *SHORT]
    assert main([*train, "--seed", "1", "--run-dir", str(first)]) == 0
    assert main([*train, "--seed", "2", "--run-dir", str(second), "--initial", str(first)]) == 0
    assert f"beginning with the weights of {first}" in capsys.readouterr().err
    wanted = checkpoint.load(first).state["network"]
    found = checkpoint.load(second / "checkpoints" / "step_000000000").state["network"]
    assert found.keys() == wanted.keys()
    assert all(found[name].equal(wanted[name]) for name in wanted)
    assert main(["resume", str(second), "--total-steps", "128"]) == 0
    assert "beginning" not in capsys.readouterr().err


def test_weights_that_do_not_fit_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = tmp_path / "first"
    train = ["train", "dqn", "--preset", "catch", *QUIET, *SHORT]
    assert main([*train, "--run-dir", str(first)]) == 0
    second = ["--run-dir", str(tmp_path / "second"), "--network", "mlp"]
    for initial, said in ((first, "another network"), (tmp_path / "none", "there is no such")):
        assert main([*train, *second, "--initial", str(initial)]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "second").exists()
