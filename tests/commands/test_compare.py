"""`tengen compare` and `tengen evaluate` on small runs made here."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from agents.registry import AGENTS, load_object
from commands.compare import HOW_IT_RAN, read_run, training_minutes
from commands.dispatch import main
from commands.export import _halved
from core.config import resolve, to_toml
from core.errors import UserError
from core.files.json_files import flatten
from core.files.run_folder import RunFolder

QUIET = ["--threads", "1", "--precision", "fp32", "--no-video", "--no-progress"]
SHORT = ["--total-steps", "800", "--evaluate-every", "400", "--evaluate-episodes", "4"]


def train(path: Path, *more: str) -> str:
    arguments = ["train", "dqn", "--preset", "catch", *QUIET, *SHORT, "--run-dir", str(path)]
    assert main([*arguments, *more]) == 0
    return str(path)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("runs")
    return [train(folder / f"seed{seed}", "--seed", str(seed)) for seed in (1, 2, 3)]


def test_three_seeds_give_a_table_an_interval_and_a_picture(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "curves.png"
    assert main(["compare", *runs, "--out", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "interquartile mean" in shown and "3 runs" in shown
    assert all(run[-44:] in shown for run in runs)
    assert Image.open(picture).size[0] >= 800
    drawing = tmp_path / "curves.svg"
    assert main(["compare", *runs, "--curve", "return", "--out", str(drawing)]) == 0
    assert drawing.read_text().lstrip().startswith("<?xml")


def test_what_differs_is_named_and_few_runs_claim_nothing(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = train(tmp_path / "other", "--n-step", "1")
    assert main(["compare", runs[0], other, "--out", str(tmp_path / "c.png")]) == 0
    shown = capsys.readouterr().out
    assert "n_step: 3 in dqn A, 1 in dqn B" in shown
    assert "too few" in shown


def fake_atari_run(path: Path, protocol: str, n_step: int = 3, **more: Any) -> str:
    from agents.dqn.config import DQNConfig

    folder = RunFolder.create(path.parent, "dqn", "ALE/Pong-v5", 1, path)
    atari = {"protocol": protocol, **more.pop("atari", {})}
    options = {"atari": atari, "n_step": n_step, **more}
    folder.write_config(to_toml(resolve(DQNConfig, options)))
    folder.write_meta({"agent": "dqn"})
    folder.append_jsonl("evaluations.jsonl", {
        "agent_steps": 10, "seconds": 20.0, "scores": [1.0, 2.0], "mean": 1.5,
        "human_normalised": 0.6})  # fmt: skip
    return str(path)


def test_what_changes_only_the_speed_splits_no_group(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    how: list[dict[str, Any]] = [
        {}, {"atari": {"env_threads": 2}}, {"gymnasium": {"env_workers": 2}}, {"replay": "packed"},
        {"save_replay": False}, {"run": {"device": "cpu"}},
    ]  # fmt: skip
    same = [fake_atari_run(tmp_path / str(n), "sb3", **options) for n, options in enumerate(how)]
    drawing = tmp_path / "c.svg"
    assert main(["compare", *same, "--out", str(drawing)]) == 0
    assert "of 6 runs" in capsys.readouterr().out
    assert "stable-baselines3 DQN, 10M" in drawing.read_text()
    assert "Dopamine DQN (Adam), 10M" in drawing.read_text(), "the yardstick of every protocol"
    assert "Dopamine DQN (RMSProp)" not in drawing.read_text()
    other = fake_atari_run(tmp_path / "other", "sb3", evaluation_epsilon=0.5)
    assert main(["compare", *same, other, "--out", str(drawing)]) == 0
    assert "evaluation_epsilon: -1.0 in dqn A, 0.5 in dqn B" in capsys.readouterr().out


def test_what_changes_only_the_speed_are_options_there_are() -> None:
    configs = [
        flatten(dataclasses.asdict(load_object(entry.config)())) for entry in AGENTS.values()
    ]
    assert {name for config in configs for name in config} >= HOW_IT_RAN


def test_a_score_is_reached_at_a_step_and_a_minute_of_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fake_atari_run(tmp_path / "run", "dopamine")
    for steps, seconds, mean in ((100, 200.0, 3.0), (200, 400.0, 15.5), (300, 600.0, 20.0)):
        RunFolder.open(Path(run)).append_jsonl("evaluations.jsonl", {
            "agent_steps": steps, "seconds": seconds, "scores": [mean], "mean": mean,
            "evaluation_seconds": 80.0})  # fmt: skip
    drawing = tmp_path / "c.svg"
    assert main(["compare", run, "--reach", "15", "--out", str(drawing)]) == 0
    shown = capsys.readouterr().out
    # 400 seconds, of which the first two evaluations took 160.
    assert f"{run}: 15.50 after 200 steps, 4m00s of training" in shown
    assert "agent steps" in drawing.read_text()
    assert (
        main(["compare", run, "--reach", "21", "--against", "minutes", "--out", str(drawing)]) == 0
    )
    assert f"{run}: 21 not reached in 4 evaluations" in capsys.readouterr().out
    assert "minutes of training" in drawing.read_text()
    assert main(["compare", run, "--out", str(drawing)]) == 0
    assert "of training" not in capsys.readouterr().out
    # An episode that ended before an evaluation at the same step was made before it.
    before = {"agent_steps": 200, "seconds": 320.0}
    assert training_minutes(read_run(Path(run)), [before]) == [4.0]


def test_protocols_are_not_mixed_silently(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = [fake_atari_run(tmp_path / "a", "machado2018"), fake_atari_run(tmp_path / "b", "sb3")]
    out = str(tmp_path / "c.png")
    assert main(["compare", *mixed, "--out", out]) == 2
    assert "different protocols (machado2018, sb3)" in capsys.readouterr().err
    assert main(["compare", *mixed, "--out", out, "--mix-protocols"]) == 0


def test_no_kind_of_run_is_dropped_however_many_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kinds = [fake_atari_run(tmp_path / f"n{n}", "machado2018", n) for n in range(1, 31)]
    drawing = tmp_path / "c.svg"
    assert main(["compare", *kinds, "--out", str(drawing)]) == 0
    shown = capsys.readouterr().out
    assert all(kind[-44:] in shown for kind in kinds)
    assert "dqn A: 1 evaluated" in shown and "dqn AD: 1 evaluated" in shown
    assert "dqn AD" in drawing.read_text()


def test_a_picture_that_cannot_be_written_leaves_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = fake_atari_run(tmp_path / "run", "machado2018")
    (tmp_path / "file").touch()
    assert main(["compare", run, "--out", str(tmp_path / "file" / "c.png")]) == 2
    said = capsys.readouterr()
    assert "1.50 ± 0.50" in said.out
    assert said.err.count("\n") == 1 and "could not write the picture" in said.err


def test_evaluate_scores_films_and_writes_json(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "scores.json"
    assert main(["evaluate", runs[0], "--episodes", "25", "--video", "--out", str(out)]) == 0
    shown = capsys.readouterr().out
    result = json.loads(out.read_text())
    assert len(result["scores"]) == 25 and set(result["scores"]) <= {-1.0, 1.0}
    assert result["summary"]["mean"] == pytest.approx(sum(result["scores"]) / 25)
    assert f"mean {result['summary']['mean']:.2f}" in shown
    assert Path(shown.partition("video: ")[2].strip()).stat().st_size > 1000
    assert main(["evaluate", runs[0], "--episodes", "25", "--out", str(out)]) == 0
    again = json.loads(out.read_text().splitlines()[1])
    assert again["scores"] == result["scores"], "the same seed again"


def test_evaluate_over_runs_and_export(
    runs: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *runs, "--episodes", "5"]) == 0
    assert "3 runs, 1 environments: interquartile mean of raw scores" in capsys.readouterr().out
    exported = tmp_path / "exported"
    assert main(["export", runs[0], str(exported)]) == 0
    assert 'run_dir = ""' in (exported / "config.toml").read_text()
    assert not (exported / "replay").exists()
    assert main(["evaluate", str(exported), "--episodes", "5"]) == 0
    assert main(["resume", str(exported)]) == 2
    assert "was exported" in capsys.readouterr().err
    half = tmp_path / "half"
    assert main(["export", runs[0], str(half), "--half"]) == 0
    whole, halved = (
        load_file(next(folder.glob("checkpoints/*/network.safetensors")))
        for folder in (exported, half)
    )
    assert {w.dtype for w in halved.values()} == {torch.float16}
    for name, weight in whole.items():
        assert torch.allclose(halved[name].float(), weight, rtol=5e-4, atol=1e-7)
    assert main(["evaluate", str(half), "--episodes", "5"]) == 0


def test_what_float16_cannot_hold_is_named() -> None:
    state = {"network": {"norm.running_var": torch.full((2,), 7e4), "steps": torch.tensor(3)}}
    with pytest.raises(UserError, match=r"norm\.running_var holds 70000"):
        _halved(state, "")


def test_board_games_are_compared_by_their_elo(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from agents.zero.config import ZeroConfig

    folder = RunFolder.create(tmp_path, "zero", "go-9", 1, tmp_path / "zero")
    folder.write_config(to_toml(ZeroConfig()))
    folder.write_meta({"agent": "zero"})
    lines = [
        {"agent_steps": steps, "mean": 1.0, "scores": [1.0], "elo/elo": elo,
         "elo/low": elo - 50, "elo/high": elo + 50}
        for steps, elo in ((100, 300.0), (200, 512.0))
    ]  # fmt: skip
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (folder.path / "evaluations.jsonl").write_text(text)
    drawing = tmp_path / "elo.svg"
    assert main(["compare", str(folder.path), "--out", str(drawing)]) == 0
    shown = capsys.readouterr().out
    assert "Elo 512 ± 50" in shown and "512.00" in shown
    assert "Elo (a random player is 0)" in drawing.read_text()
