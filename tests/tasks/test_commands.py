"""Supervised tasks from the command line: trained, scored, exported, and told what is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from commands.dispatch import main

PLAIN = ["--threads", "1", "--precision", "fp32", "--device", "cpu", "--no-progress"]


def run_main(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line."""
    code = main(list(argv))
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_tasks_stand_under_a_heading_of_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run_main(capsys, "train", "--help")
    agents, tasks = out.split("supervised tasks:")
    assert "  dqn " in agents and "  zero " in agents and "agents:" in agents
    assert [line.split()[0] for line in tasks.splitlines() if line] == [
        "classify", "lm", "mlm", "label", "translate", "words", "gan",
    ]  # fmt: skip


def test_digits_are_learned_scored_and_exported(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run, exported = str(tmp_path / "run"), str(tmp_path / "exported")
    argv = ["train", "classify", "--preset", "digits", *PLAIN, "--run-dir", run]
    code, _, err = run_main(capsys, *argv)
    assert code == 0 and f"score it with: tengen evaluate {run}\n" in err
    code, out, _ = run_main(capsys, "evaluate", run)
    assert code == 0 and "test accuracy" in out
    result = json.loads((tmp_path / "run" / "scores.jsonl").read_text())
    assert result["scores"]["accuracy"] >= 0.96
    assert sum(map(sum, result["confusion"])) == 300
    assert result["task"] == "classify" and result["environment"] == "digits"
    picture = tmp_path / "run" / f"scores-step{result['agent_steps']}-confusion.png"
    assert result["pictures"] == {"confusion": str(picture)}
    with Image.open(picture) as image:
        assert image.size[0] > 300

    code, out, _ = run_main(capsys, "export", run, exported)
    assert code == 0 and f"score them with: tengen evaluate {exported}" in out
    elsewhere = tmp_path / "results" / "digits.json"
    elsewhere.parent.mkdir()
    assert run_main(capsys, "evaluate", exported, run, "--out", str(elsewhere))[0] == 0
    both = [json.loads(line) for line in elsewhere.read_text().splitlines()]
    assert [one["run"] for one in both] == [exported, run]
    assert both[0]["scores"] == both[1]["scores"] == result["scores"]
    assert len(list(elsewhere.parent.glob("digits-*-confusion.png"))) == 2

    for option in (["--video"], ["--episodes", "3"], ["--env", "tengen/Catch"]):
        code, out, err = run_main(capsys, "evaluate", run, *option)
        assert (code, out) == (2, "") and f"{option[0]} is for runs that play episodes" in err
    code, out, _ = run_main(capsys, "compare", run, "--out", str(tmp_path / "curve.png"))
    assert code == 0 and (tmp_path / "curve.png").exists()


def test_a_dry_run_says_what_would_be_trained(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = run_main(capsys, "train", "classify", "--preset", "digits", "--dry-run")
    assert code == 0 and list(tmp_path.iterdir()) == []
    assert "1,297 images to train on" in out and "6,485 examples in batches of 32" in out
    assert "parameters" in out.splitlines()[-1]


def test_a_presets_options_of_its_network_stay_with_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    argv = ["train", "classify", "--preset", "digits", "--dry-run"]
    code, out, _ = run_main(capsys, *argv, "--network", "lenet5")
    assert code == 0 and 'network_options = ""' in out
    code, out, _ = run_main(capsys, *argv, "--network", "resnet20")
    assert code == 0 and 'network_options = "blocks=1"' in out
    code, _, err = run_main(capsys, *argv, "--network", "lenet5", "--network-options", "blocks=1")
    assert code == 2 and "lenet5 has no option 'blocks'" in err
    file = tmp_path / "options.toml"
    file.write_text('network = "lenet5"\n')
    code, out, _ = run_main(capsys, *argv, "--config", str(file))
    assert code == 0 and 'network_options = ""' in out
    file.write_text('network_options = "blocks=2"\n')
    code, out, _ = run_main(capsys, *argv, "--config", str(file), "--network", "resnet56")
    assert code == 0 and 'network_options = "blocks=2"' in out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("train clasify", "no agent 'clasify'; did you mean 'classify'?"),
        ("train classify --data digit", "no data set 'digit'; did you mean 'digits'?"),
        ("train classify --data digits --network resnet200", "did you mean"),
        ("train classify --data digits --network gpt2", "of kind language, this task needs one of"),
        (
            "train classify --data digits --network-options blocks=3",
            "lenet5 has no option 'blocks'",
        ),
        ("train classify --data digits --batch-size 5000", "--batch-size must be 1 to 1297"),
        ("train classify --optimiser sdg", "must be one of sgd, "),
        ("train classify --schedule cosin", "did you mean 'cosine'?"),
        ("train lm --data absent/text.txt", "could not read absent/text.txt"),
        ("train lm --tokenizer bpe --vocabulary 9", "--vocabulary must be 256"),
        ("train translate --data absent.de --data-target absent.en", "could not read absent.de"),
        ("train mlm --hidden 0", "--hidden must be over 0"),
    ],
)
def test_user_errors_are_one_line(
    line: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    plain = PLAIN if line.startswith("train") and "clasify" not in line else []
    code, out, err = run_main(capsys, *line.split(" "), *plain)
    assert (code, out) == (2, "")
    assert expected in err.splitlines()[-1]
    assert "Traceback" not in err
