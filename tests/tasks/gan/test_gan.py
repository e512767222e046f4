"""Adversarial training: learned, resumed, scored, and told what is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Literal, cast

import numpy as np
import pytest
import torch

from commands.dispatch import main
from core.config import RunConfig
from core.trainer import Trainer
from tasks.gan.agent import AdversarialLearning
from tasks.gan.config import GANConfig
from tasks.gan.growing import growth_at, prepared
from tasks.gan.points import Points, centres_of, count_hits

Objective = Literal["minimax", "non_saturating", "wgan", "wgan_gp"]
SMALL = "noise=4 hidden=64,64 critic_hidden=64,64"


def test_the_ring_is_learned(make_trainer: Callable[..., Trainer]) -> None:
    config = GANConfig(
        deviation=0.1, network_options="noise=8 hidden=64,64 critic_hidden=128,128", batch_size=128,
        learning_rate=3e-3, beta1=0.0, beta2=0.9, averaging=0.9, samples=1000,
    )  # fmt: skip
    trainer = make_trainer("gan", config, total_steps=200, evaluate_every=200)
    before = trainer.task.evaluate(0, 1, lambda: False)
    trainer.run()
    assert before is not None and before.best_by < 3
    assert (
        trainer.last_evaluation is not None and trainer.last_evaluation > 8.2
    )  # 30 % are good; of points spread evenly over the disk, 10 %


@pytest.mark.parametrize("objective", ["minimax", "non_saturating", "wgan", "wgan_gp"])
def test_critics_favour_data_and_generators_favour_critics(
    objective: Objective, make_trainer: Callable[..., Trainer]
) -> None:
    still = 1e-12
    config = GANConfig(
        network_options=SMALL, objective=objective, batch_size=64, clip=1.0, samples=50
    )
    critics = replace(config, learning_rate=still, critic_learning_rate=3e-3)
    first = make_trainer("gan", critics, "critic", total_steps=30, evaluate_every=0)
    first.run()
    agent = cast(AdversarialLearning, first.agent)
    real = torch.from_numpy(agent.target.draw(999, 500))
    noise = torch.randn(500, 4, generator=torch.Generator().manual_seed(0))
    made = agent.generator(noise)
    assert agent.critic(real).mean() > agent.critic(made).mean() + 0.1

    generators = replace(config, learning_rate=3e-3, critic_learning_rate=still)
    second = make_trainer("gan", generators, "generator", total_steps=10, evaluate_every=0)
    second.agent.start_from(agent.state_dict()["network"])
    second.run()
    moved = cast(AdversarialLearning, second.agent).generator(noise)
    assert agent.critic(moved).mean() > agent.critic(made).mean() + 0.1


def test_what_counts_as_a_mode() -> None:
    centres = centres_of("ring")
    np.testing.assert_allclose(np.linalg.norm(centres, axis=1), 2)
    samples = centres[:2] + np.array([[0.0, 0.0599], [0.0, 0.0601]])
    assert count_hits(samples, centres, 0.02).tolist() == [1, 0, 0, 0, 0, 0, 0, 0]
    points = Points(GANConfig(data="grid"))
    hits = count_hits(points.draw(0, 20_000), points.centres, points.deviation)
    assert hits.sum() / 20_000 == pytest.approx(1 - np.exp(-4.5), abs=3e-3)  # Rayleigh within 3
    assert hits.min() / 20_000 == pytest.approx(1 / 25, rel=0.2)
    assert not np.array_equal(points.draw(0, 10), points.draw(1, 10))


def test_a_resumed_run_is_the_run_that_was_never_stopped(
    make_trainer: Callable[..., Trainer],
) -> None:
    config = GANConfig(network_options=SMALL, averaging=0.5, critic_updates=2, samples=10)
    whole = make_trainer("gan", config, "whole", total_steps=10, evaluate_every=7)
    whole.run()
    make_trainer("gan", config, "halves", total_steps=4, evaluate_every=0).run()
    second = make_trainer("gan", config, "halves", total_steps=10, evaluate_every=0)
    second.run()
    for part in ("network", "newest"):
        one, other = (trainer.agent.state_dict()[part] for trainer in (whole, second))
        assert one and all(torch.equal(tensor, other[name]) for name, tensor in one.items())


def test_growth_takes_its_phases() -> None:
    phases = [growth_at(update, 3, 10) for update in range(0, 60, 5)]
    assert [phase.level for phase in phases if phase] == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2]
    assert [phase.alpha for phase in phases if phase][:6] == [1, 1, 0.1, 0.6, 1, 1]
    assert growth_at(3, 1, 10) is None and growth_at(3, 5, 0) is None
    images = torch.arange(16.0).view(1, 1, 4, 4).repeat_interleave(4, 2).repeat_interleave(4, 3)
    small = prepared(images, growth_at(0, 3, 10))
    assert torch.equal(small[0, 0], torch.arange(16.0).view(4, 4))
    assert torch.equal(prepared(images, growth_at(35, 3, 10)), images)


def test_a_run_is_scored_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    argv = ["train", "gan", "--total-steps", "3", "--evaluate-every", "2", "--threads", "1",
            "--device", "cpu", "--no-progress", "--run-dir", str(run)]  # fmt: skip
    assert main(argv) == 0 and main(["evaluate", str(run)]) == 0
    result = json.loads((run / "scores.jsonl").read_text())
    assert set(result["scores"]) == {"modes", "good_share", "rarest_mode"}
    assert (run / f"scores-step{result['agent_steps']}-samples.png").is_file()
    assert "of 8 modes hit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("--model gann", "did you mean 'gan'?"),
        ("--model lenet5", "of kind image, this task needs one of kind generator"),
        ("--data rings", "no data set 'rings'"),
        ("--data digits --deviation 0.1", "--deviation is for --data ring"),
        ("--precision bf16", "full precision"),
        ("--network-options sample_shape=3", "the data decide it"),
    ],
)
def test_user_errors_are_one_line(
    line: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = str(tmp_path / "run")
    assert main(["train", "gan", *line.split(), "--run-dir", run]) == 2
    err = capsys.readouterr().err
    assert expected in err.splitlines()[-1] and "Traceback" not in err
    assert not Path(run).exists()
    assert replace(GANConfig(), run=RunConfig()).env == "ring"
