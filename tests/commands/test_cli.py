"""The command line: quick help, one-line errors, exit codes, and which source of options wins."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from agents.registry import AGENTS, load_object
from commands.dispatch import COMMANDS, main
from commands.options import CommandOptions, ResumeOptions, parse_overrides, parse_training
from commands.other_names import OURS
from core.config import leaf_types
from core.errors import UserError

ROOT = Path(__file__).resolve().parent.parent.parent
HEAVY = ("torch", "numpy", "gymnasium", "tensorboard", "numba", "stable_baselines3")


def run_main(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command line."""
    try:
        code = main(list(argv))
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


HELP = [
    ["--help"],
    ["--version"],
    *([command, "--help"] for command in COMMANDS),
    *(["train", agent, "--help"] for agent in AGENTS),
    ["play", "go", "--help"],
    ["match", "go", "--help"],
]


@pytest.mark.parametrize("argv", HELP, ids=" ".join)
def test_help_imports_nothing_heavy(argv: Sequence[str]) -> None:
    program = (
        "import sys, tengen\n"
        f"sys.argv = ['tengen', *{list(argv)!r}]\n"
        "try: tengen.main()\n"
        "except SystemExit as stop: assert not stop.code\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert argv == ["--version"] or f"tengen {' '.join(argv[:-1])}".strip() in done.stdout


def test_help_lists_agent_options_before_run_options_and_presets(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = run_main(capsys, "train", "dqn", "--help")
    places = [out.index(text) for text in ("nature2015: ", "--n-step", "--protocol", "--seed INT")]
    assert places == sorted(places)
    assert "--no-dueling" in out and "--run.seed" not in out
    assert "(at least 1; default: 8)" in out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("trian dqn", "no command 'trian'; did you mean 'train'?"),
        ("train dqm", "no agent 'dqm'; did you mean 'dqn'?"),
        ("train dqn --resume runs/pong", "a run goes on with: tengen resume RUN"),
        ("train dqn --sed 3", "no option --sed; did you mean '--seed'?"),
        ("evaluate one --seed 3 two", "one is not the folder of a run"),
        ("train dqn --stop-at-score -1e3 --sed 3", "no option --sed"),
        ("train dqn --total_stepz=3", "no option --total-stepz; did you mean '--total-steps'?"),
        ("train dqn -x", "no option -x"),
        ("export runs/pong --out x", "OUT stands on its own, without --out"),
        ("train dqn --no-loss", "no option --no-loss"),
        ("train dqn breakout", "'breakout' belongs to no option"),
        ("train dqn --seed x", "--seed must be a whole number, got 'x'"),
        ("train dqn --seed=1e-3", "--seed must be a whole number, got '1e-3'"),
        ("train dqn --seed 1.5", "--seed must be a whole number, got '1.5'"),
        ("train dqn --seed inf", "--seed must be a whole number, got 'inf'"),
        ("train dqn --seed 1e999999999", "--seed must be a whole number"),
        ("train dqn --lr 1e-3", "no option --lr; did you mean '--learning-rate'?"),
        ("train dqn --env-id Pong", "no option --env-id; did you mean '--env'?"),
        ("train dqn --total_timesteps 9", "did you mean '--total-steps'?"),
        ("train dqn --gamma 0.9", "no option --gamma; did you mean '--discount'?"),
        ("train sb3-dqn --discount 0.9", "no option --discount; did you mean '--gamma'?"),
        ("train dqn --num-envs 4", "no option --num-envs; did you mean '--lanes'?"),
        ("train dqn --buffer-size 4", "did you mean '--replay-capacity'?"),
        ("train dqn --learning-starts 4", "did you mean '--warmup-steps'?"),
        ("evaluate --n-eval-episodes 3 run", "did you mean '--episodes'?"),
        ("train dqn --seed", "--seed needs a value"),
        ("train dqn --seed --double", "--seed needs a value"),
        ("train dqn --seed -1", "--seed must be at least 0 and under 2**63, got -1"),
        ("train dqn --total-steps 0", "--total-steps must be at least 1, got 0"),
        ("train dqn --protocol sb3 --env-threads=-1", "--env-threads must be at least 0, got -1"),
        ("train dqn --evaluation-epsilon=-0.5", "at least 0 and at most 1, or -1, got -0.5"),
        ("match tic-tac-toe --games 0", "--games must be at least 1, got 0"),
        *[
            (f"{command} --seed -1", "--seed must be at least 0 and under 2**63, got -1")
            for command in ("evaluate run", "match go", "play go", "gtp", "games go", "analysis")
        ],
        ("match go --size 5 --save /proc/x", "could not make the folder /proc/x: "),
        ("resume --total-steps 4 absent", "there is no run here; name its folder"),
        ("evaluate --lanes 0 run", "--lanes must be at least 1, got 0"),
        ("train dqn --learning-rate fast", "--learning-rate must be a number, got 'fast'"),
        ("train dqn --max-gradient-norm inf", "--max-gradient-norm must be a finite number"),
        ("train dqn --loss hubr", "must be one of mse, huber; got 'hubr'; did you mean 'huber'?"),
        ("train dqn --double=yes", "--double/--no-double takes no value, got 'yes'"),
        ("train dqn --protocol machado", "did you mean 'machado2018'?"),
        ("train dqn --preset natur2015", "no preset 'natur2015' for dqn; did you mean 'nature"),
        ("train dqn --config absent.toml", "cannot read the config file absent.toml"),
        ("train dqn --runs bad\nname", "cannot be read"),
        ("resume --total-steps 4", "there is no run here; name its folder"),
        ("resume absent", "absent is not the folder of a run"),
        ("train --resume absent", "absent is not the folder of a run"),
        ("export absent", "tengen export RUN OUT"),
        ("export absent out", "absent is not the folder of a run"),
        ("evaluate --episods 3 run", "did you mean '--episodes'?"),
        ("watch --port 70000", "--port must be at least 1 and at most 65535, got 70000"),
        ("watch absent", "absent"),
    ],
)  # fmt: skip
def test_user_errors_are_one_line(
    line: str,
    expected: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "events.out.tfevents.1").touch()
    code, out, err = run_main(capsys, *line.split(" "))
    assert (code, out) == (2, "")
    assert err.startswith("tengen: error: ") and err.count("\n") == 1 and err.endswith("\n")
    assert expected in err


def test_exit_codes(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(argv: Sequence[str]) -> int:
        raise KeyboardInterrupt

    def mistaken(argv: Sequence[str]) -> int:
        raise ZeroDivisionError

    monkeypatch.setattr("commands.train.main", interrupted)
    assert run_main(capsys, "train")[0] == 130
    monkeypatch.setattr("commands.train.main", mistaken)
    with pytest.raises(ZeroDivisionError):
        main(["train"])


@pytest.mark.parametrize("argv", [["train", "--help"], ["train", "dqn", "--help"]])
def test_a_reader_that_left_is_no_error(argv: Sequence[str]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "tengen", *argv]
    try:
        done = subprocess.run(
            command, cwd=ROOT, stdout=writer, stderr=subprocess.PIPE, text=True, check=False
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def test_default_preset_file_command_line(tmp_path: Path) -> None:
    file = tmp_path / "some.toml"
    file.write_text('loss = "mse"\nbatch_size = 64\n[run]\nseed = 7\n')
    entry = AGENTS["dqn"]
    default = load_object(entry.config)()

    argv = ["--preset", "nature2015", "--config", str(file), "--seed=8", "--total_steps", "90"]
    config, options = parse_training(entry, [*argv, "--dueling", "--no-video"])
    assert config.run.seed == 8 and config.run.total_steps == 90  # command line over file, preset
    assert config.dueling and not config.run.video
    assert config.loss == "mse" and config.batch_size == 64  # file over preset
    assert config.target_every == 10_000 and config.atari.protocol == "nature2015"  # over default
    assert config.discount == default.discount
    assert options.preset == "nature2015" and not options.dry_run

    again, _ = parse_training(entry, [*argv, "--preset", "dqn2013"])
    assert again.target_every == 0  # the last of two counts


@pytest.mark.parametrize(
    ("line", "preset", "clipped", "total_steps"),
    [
        ("dqn", "adam", True, 10_000_000),
        ("dqn --env ALE/Breakout-v5", "adam", True, 10_000_000),
        ("dqn --env PongNoFrameskip-v4", "adam", True, 10_000_000),
        ("dqn --env CartPole-v1", "cartpole", False, 100_000),
        ("dqn --env Acrobot-v1", "acrobot", False, 100_000),
        ("dqn --env MountainCar-v0", "mountaincar", False, 120_000),
        ("dqn --env FrozenLake-v1", "gymnasium", False, 500_000),
        ("dqn --env FrozenLake-v1 --clip-rewards", "gymnasium", True, 500_000),
        ("dqn --env CartPole-v1 --preset nature2015", "nature2015", False, 50_000_000),
        ("dqn --env tengen/Catch", "catch", False, 20_000),
        ("dqn --config cartpole.toml", "cartpole", False, 7),
        ("dqn --config cartpole.toml --env ALE/Pong-v5", "adam", True, 7),
        ("sb3-dqn --env CartPole-v1", "cartpole", False, 50_000),
        ("sb3-dqn --env ALE/Pong-v5", "zoo", True, 10_000_000),
        ("sb3-ppo --env FrozenLake-v1", "gymnasium", False, 500_000),
        ("sb3-ppo --env FrozenLake-v1 --preset zoo", "zoo", False, 10_000_000),
    ],
)
def test_settings_fit_the_environment(
    line: str,
    preset: str,
    clipped: bool,
    total_steps: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is not asked for is made for the environment; only Atari's rewards are clipped."""
    monkeypatch.chdir(tmp_path)
    Path("cartpole.toml").write_text('env = "CartPole-v1"\n[run]\ntotal_steps = 7\n')
    name, *argv = line.split()
    config, options = parse_training(AGENTS[name], argv)
    assert options.preset == preset
    assert (config.clip_rewards, config.run.total_steps) == (clipped, total_steps)
    if "--env" in argv:
        assert config.env == argv[argv.index("--env") + 1]


def test_a_line_says_which_settings_were_taken(capsys: pytest.CaptureFixture[str]) -> None:
    _, _, err = run_main(capsys, "train", "dqn", "--env", "CartPole-v1", "--dry-run")
    assert "settings: preset cartpole (the default for CartPole-v1; others: --preset NAME)" in err
    _, _, err = run_main(capsys, "train", "dqn", "--preset=cpu", "--dry-run")
    assert "settings: preset cpu (as named)" in err
    _, out, _ = run_main(capsys, "train", "dqn", "--env", "CartPole-v1", "--help")
    assert "(at least 1; default: 100000)" in " ".join(out.split())
    _, out, _ = run_main(capsys, "train", "dqn", "--env", "pong", "--help")
    assert "(at least 1; default: 10000000)" in " ".join(out.split())


@pytest.mark.parametrize("text", ["1000000", "1e6", "1_000_000", "1E6", "1.0e6"])
def test_whole_numbers_may_be_written_in_any_usual_way(text: str) -> None:
    for argv in (["--total-steps", text], [f"--total_steps={text}"]):
        config, _ = parse_training(AGENTS["dqn"], argv)
        assert config.run.total_steps == 1_000_000 and type(config.run.total_steps) is int


def test_every_other_name_leads_to_an_option_of_ours() -> None:
    flags = set()
    for entry in AGENTS.values():
        flags |= set(leaf_types(load_object(entry.config)))
    flags |= set(leaf_types(CommandOptions)) | {"episodes"}
    assert {name.replace("-", "_") for name in OURS} <= flags


def test_overrides_leave_the_rest_of_a_saved_run_alone() -> None:
    saved, _ = parse_training(AGENTS["dqn"], ["--preset", "nature2015", "--lanes", "5"])
    argv = ["--total-steps", "123", "--fresh-replay"]
    config, options = parse_overrides(saved, ResumeOptions(), argv, "tengen resume RUN")
    assert config.run.total_steps == 123 and options.fresh_replay
    assert config.lanes == 5 and config.atari == saved.atari and config.loss == saved.loss
    with pytest.raises(UserError, match="no option --preset"):
        parse_overrides(saved, ResumeOptions(), ["--preset", "cpu"], "tengen resume RUN")


@pytest.mark.parametrize("name", AGENTS)
def test_every_preset_is_valid(name: str) -> None:
    module = load_object(AGENTS[name].config.partition(":")[0])
    assert module.DEFAULT_PRESET in module.PRESETS
    for preset, (summary, _) in module.PRESETS.items():
        data = ["--data", "games"] if name in ("go-policy", "go-value") else []  # no default
        parse_training(AGENTS[name], ["--preset", preset, *data])
        assert summary


def test_dry_run_prints_options_that_can_be_read_back(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    argv = ["--env", "tengen/Catch", "--replay-capacity", "5000", "--seed", "9"]
    code, out, _ = run_main(capsys, "train", "dqn", *argv, "--dry-run")
    assert code == 0 and list(tmp_path.iterdir()) == []
    (tmp_path / "printed.toml").write_text(out)
    config, _ = parse_training(AGENTS["dqn"], ["--config", "printed.toml"])
    assert config == parse_training(AGENTS["dqn"], argv)[0]


def test_windows_is_answered_in_a_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    assert main(["doctor"]) == 2
    error = capsys.readouterr().err
    assert "WSL" in error
    assert error.count("\n") == 1


def test_commands_to_copy_quote_paths_with_spaces(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    run = tmp_path / "my run"
    argv = ["--env", "tengen/Grid", "--total-steps", "64", "--evaluate-every", "0"]
    train = ["train", "q-learning", *argv, "--no-progress", "--run-dir", str(run)]
    code, _, err = run_main(capsys, *train)
    assert code == 0 and f"tengen watch '{run}'\n" in err and f"evaluate '{run}'\n" in err
    assert f"tengen resume '{run}'" in run_main(capsys, *train)[2]
