"""`tengen train alphago`: the stages one after the other, each once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from commands.dispatch import main
from core.errors import UserError
from core.files.run_folder import RunFolder
from core.machine.environment_facts import usable_cores
from envs.games.options import GoOptions
from envs.games.registry import load_game
from envs.games.session import Session
from play.players import make_player
from search.uct import UctPlayer
from tests.agents.go_games import write_games

TOWER = "--layers 1 --filters 4"


def test_the_stages_follow_one_another_and_go_on_where_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from core.machine.kernels import cache_folder

    monkeypatch.setenv("NUMBA_CACHE_DIR", str(cache_folder()))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "alphago"
    argv = ["train", "alphago", "--run-dir", str(folder), "--size", "5", "--threads", "1"]
    argv += ["--data", str(write_games(tmp_path / "games.sgf", 5, 40)), "--no-progress"]
    argv += ["--policy", f"{TOWER} --total-steps 64 --precision fp32"]
    argv += ["--rl", f"{TOWER} --games 2 --total-steps 4 --evaluate-episodes 2 --precision fp32"]
    value = f"{TOWER} --games 80 --batch-size 8 --total-steps 16 --precision fp32"
    # The last stage is refused: the first two are finished, and are not made again.
    assert main([*argv, "--value", f"{value} --colour red"]) == 2
    said = capsys.readouterr().err
    assert "no option --colour" in said and "value: begins" in said
    weights = (folder / "rl" / "checkpoints").stat().st_mtime_ns
    assert main([*argv, "--value", value]) == 0
    said = capsys.readouterr().err
    assert "policy: finished before" in said and "rl: finished before" in said
    assert "all stages are finished" in said
    assert (folder / "rl" / "checkpoints").stat().st_mtime_ns == weights
    states = {part: RunFolder(folder / part).read_status()["state"] for part in
              ("policy", "rl", "value")}  # fmt: skip
    assert set(states.values()) == {"finished"}
    # A stage that was interrupted goes on.
    RunFolder(folder / "value").set_status("running")
    assert main([*argv, "--value", value]) == 0
    assert "value: going on" in capsys.readouterr().err

    player = make_player(f"alphago:{folder}:30,lambda=0.25")
    assert player.name == "AlphaGo policy+value+rollouts 30"
    session = Session(load_game("go"), GoOptions(5))
    judgement = player.judge(session)
    assert judgement.visits.sum() == 30 and session.legal_mask()[judgement.action]
    alone = make_player(f"alphago:{folder}:30,use=value").judge(session)
    assert alone.priors is not None
    np.testing.assert_allclose(alone.priors, 1 / 26, atol=1e-6)
    assert main(["evaluate", str(folder / "value")]) == 0
    assert "test error" in capsys.readouterr().out


def test_games_are_made_one_on_each_core_and_no_weaker_on_many(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Seen(Exception):
        pass

    def games(argv: list[str]) -> None:
        assert "uct:{level},resign=0,threads=1" in argv[argv.index("--engine") + 1]
        assert argv[argv.index("--parallel") + 1] == str(usable_cores())
        assert argv[argv.index("--levels") + 1] == "1000,2000"
        raise Seen

    monkeypatch.setattr("commands.games.main", games)
    with pytest.raises(Seen):
        main(["train", "alphago", "--run-dir", str(tmp_path), "--preset", "9x9"])
    player = make_player("uct:100,resign=0,threads=1")
    assert isinstance(player, UctPlayer) and player.options.threads == 1
    with pytest.raises(UserError, match="threads=1 may follow"):
        make_player("uct:100,threads=many")
